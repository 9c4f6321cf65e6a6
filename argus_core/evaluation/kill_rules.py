"""The single kill rules: one function per reason, each with its value, its threshold, a sentence and a remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from argus_core.evaluation.scoring import number, regime_share
from argus_core.settings import KillThresholds


@dataclass(frozen=True)
class KillReason:
    """One reason. ``value`` is None where the run has none (nothing measured, not computable)."""

    reason: str
    value: float | None
    threshold: float | None
    explanation: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_Rule = Callable[[Mapping[str, Any], Mapping[str, float], float | None, KillThresholds], KillReason | None]


def _not_proven(run: Mapping[str, Any], *_: Any) -> KillReason | None:
    if run.get("lookahead_ok") is not None:
        return None
    return KillReason(
        "lookahead",
        None,
        1.0,
        "No proof exists that it does not see the future.",
        "Run the experiment with its lookahead proof.",
    )


def _trades(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    count = int(number(run, "n_trades") or 0)
    if count == 0:
        return KillReason(
            "no_trades",
            0.0,
            1.0,
            "It never traded, so nothing is known about it.",
            "Loosen its entry conditions, or test it on a window in which they occur.",
        )
    if t.min_trades is None or count >= t.min_trades:
        return None
    return KillReason(
        "min_trades",
        float(count),
        float(t.min_trades),
        f"Only {count} trade{'s' if count > 1 else ''}; {t.min_trades} are the least that can be judged.",
        f"A longer window: at this pace about {t.min_trades / count:.1f} times the present one.",
    )


def _open_position(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    share = number(run, "forced_pnl_share")
    if t.open_position_pnl is None or share is None or share <= t.open_position_pnl:
        return None
    return KillReason(
        "open_position_pnl",
        share,
        t.open_position_pnl,
        f"{share:.0%} of its profit comes from positions that were still open at the end and closed by force.",
        f"An exit rule that closes positions inside the window, until at most {t.open_position_pnl:.0%} is left open.",
    )


def _penalty(name: str, component: str, words: Callable[[Mapping[str, Any]], tuple[str, str]]) -> _Rule:
    def rule(
        run: Mapping[str, Any], components: Mapping[str, float], _s: float | None, t: KillThresholds
    ) -> KillReason | None:
        limit = getattr(t, name)
        value = components[component]
        if limit is None or value < limit:
            return None
        explanation, remedy = words(run)
        return KillReason(name, value, limit, explanation, remedy)

    return rule


def _fragile_words(run: Mapping[str, Any]) -> tuple[str, str]:
    ratio = number(run, "plateau_ratio")
    if ratio is None and (number(run, "sharpe") or 0.0) <= 0:
        return (
            "It has no positive Sharpe ratio, so there is nothing that neighbouring parameter sets could keep.",
            "A parameter region that earns at all.",
        )
    kept = "none" if ratio is None or ratio <= 0 else f"{ratio:.0%}"
    return (
        f"Neighbouring parameter sets keep {kept} of its result: it stands on a peak, not on a plateau.",
        "A parameter region in which the neighbours do nearly as well.",
    )


def _walk_forward_words(run: Mapping[str, Any]) -> tuple[str, str]:
    outside, inside = number(run, "wf_oos_sharpe"), number(run, "wf_is_sharpe")
    consistency = number(run, "wf_sign_consistency")
    parts = []
    if outside is not None:
        parts.append(f"Sharpe {outside:.2f} out of sample" + (f" after {inside:.2f} in sample" if inside else ""))
    if consistency is not None:
        parts.append(f"{consistency:.0%} of the test windows agree in sign")
    return (
        f"It does not hold up on later data: {', '.join(parts) or 'no test window was profitable'}.",
        "Positive results in at least 80 % of the test windows, and most of the in-sample Sharpe kept.",
    )


def _regime_words(run: Mapping[str, Any]) -> tuple[str, str]:
    factor, share = regime_share(run)
    name = {"vol": "volatility regime", "trend": "trend regime", "session": "session"}[factor]
    return (
        f"{share or 0:.0%} of its profit and loss comes from one {name}.",
        f"Results spread over several {name}s, or a rule that trades in that one only and is judged there.",
    )


def _score(_r: Any, _c: Any, score: float | None, t: KillThresholds) -> KillReason | None:
    if t.composite_score_min is None or (score is not None and score >= t.composite_score_min):
        return None
    shown = "no" if score is None else f"a {score:.3f}"
    return KillReason(
        "composite_score_min",
        score,
        t.composite_score_min,
        f"It has {shown} composite score; {t.composite_score_min:g} is the least.",
        "More return per unit of risk, or smaller penalties; the components show which.",
    )


def _monte_carlo(key: str, metric: str, name: str, *, floor: bool, words: str, remedy: str) -> _Rule:
    def rule(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
        limit, value = getattr(t, key), number(run, metric)
        if limit is None or value is None or (value >= limit if floor else value <= limit):
            return None
        return KillReason(name, value, limit, words.format(value=value, limit=limit), remedy.format(limit=limit))

    return rule


def _unmeasured(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    """Trades that have no R-multiple leave no Monte Carlo where one was asked for: nothing passed its limits."""
    limits = (t.mc_median_return_min, t.mc_p95_drawdown_max, t.mc_ruin_prob_max, t.mc_fraction_positive_min)
    asked = run.get("mc_unit") == "r_multiples" and number(run, "n_trades") and any(one is not None for one in limits)
    if not asked or number(run, "mc_median_return") is not None:
        return None
    return KillReason(
        "mc_not_measured",
        None,
        None,
        f"Its Monte Carlo in R-multiples could not be run: {run.get('mc_reason') or 'no reason is known'}.",
        "Stops at every entry, or experiment.mc_unit: returns.",
    )


def _slippage(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    limit, value = t.slippage_sensitivity, number(run, "cost_break_even")
    if limit is None or (value is not None and value >= limit):
        return None
    if value is None:
        at_higher = number(run, "cost_pnl_150")
        if at_higher is None or at_higher > 0:
            return None
        return KillReason(
            "slippage_sensitivity",
            None,
            limit,
            f"With costs half as large again it ends at {at_higher:,.0f} dollars.",
            f"A profit that survives {limit:g} times the modelled costs: fewer trades or larger moves per trade.",
        )
    return KillReason(
        "slippage_sensitivity",
        value,
        limit,
        f"Its profit is gone at {value:.2f} times the modelled costs; {limit:g} is asked for."
        if value > 0
        else "It loses even without costs.",
        f"A profit that survives {limit:g} times the modelled costs: fewer trades or larger moves per trade.",
    )


def _deflated(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    value = number(run, "dsr")
    if t.dsr_min is None or (value is not None and value >= t.dsr_min):
        return None
    trials, luck = int(number(run, "n_trials") or 1), number(run, "expected_max_sharpe") or 0.0
    annual = luck * math.sqrt(number(run, "days_per_year") or 252)
    shown = "cannot be computed" if value is None else f"is {value:.1%}"
    days = number(run, "min_track_record_days")
    return KillReason(
        "dsr_below_threshold",
        value,
        t.dsr_min,
        f"The probability that its Sharpe beats the luck of the best of {trials} trials (Sharpe {annual:.2f}) {shown}; "
        f"{t.dsr_min:.0%} is asked for.",
        f"The same Sharpe over about {days:,.0f} days instead of {int(number(run, 'n_days') or 0)}, or fewer trials."
        if days is not None
        else "A positive Sharpe, above that of the luckiest trial; more days alone do not help.",
    )


def _joint(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    alpha, value = t.reality_check_alpha, number(run, "joint_p")
    if alpha is None:
        return None
    level = number(run, "joint_level")
    level = alpha if level is None else level
    if value is not None and value < level:
        return None
    t_value, critical = number(run, "t_value"), number(run, "critical_t")
    trials = int(number(run, "n_trials") or 1)
    shown = "is not defined" if value is None else f"is {value:.3f}"
    remedy = "A result that stands out from all trials of the cycle."
    if critical is not None and math.isfinite(critical):
        remedy = f"A t-value of {critical:.2f} instead of {t_value or 0:.2f}"
        if t_value is not None and t_value > 0:
            remedy += f": at this pace about {(critical / t_value) ** 2:.1f} times as many days, or fewer trials"
        remedy += "."
    lowered = f" (what the error budget allows this look, not {alpha:g})" if level < alpha else ""
    return KillReason(
        "reality_check_failed",
        value,
        level,
        f"In the joint test of {trials} trials the probability of such a result by luck {shown}; "
        f"below {level:.3g} is asked for{lowered}.",
        remedy,
    )


def _budget(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    look, value = run.get("look"), number(run, "joint_p")
    if t.reality_check_alpha is None or look is None or look.is_look or run.get("trial_id") in look.standing:
        return None
    if value is None or value >= look.level:
        return None  # the joint test says it already
    return KillReason(
        "error_budget",
        value,
        look.level,
        f"It would pass the joint test now, but this cycle is not a look: {look.why}. Who tests every day is right by "
        "luck sooner or later.",
        f"The next look, in {look.days_to_next} days of data; its level depends on what earlier looks found.",
    )


def _overfit(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    value = number(run, "pbo")
    if t.pbo_max is None or value is None or value <= t.pbo_max:
        return None
    return KillReason(
        "pbo",
        value,
        t.pbo_max,
        f"In {value:.0%} of all splits the best set in sample falls into the worse half out of sample.",
        f"A smaller or better founded grid, until at most {t.pbo_max:.0%} of the splits do so.",
    )


def _leave_one_out(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    limit = t.leave_one_out_mean_min
    if limit is None:
        return None
    left = {
        "regime": number(run, "worst_mean_without_regime"),
        "period": number(run, "worst_mean_without_fold"),
    }
    measured = {name: value for name, value in left.items() if value is not None}
    if not measured:
        return None
    name = min(measured, key=lambda one: measured[one])
    value = measured[name]
    if value >= limit:
        return None
    return KillReason(
        "leave_one_out",
        value,
        limit,
        f"Without its best {name} the mean return per {'trade' if name == 'regime' else 'day'} is {value:.3%}; "
        f"{limit:.3%} is the least.",
        f"A profit that does not need one single {name}.",
    )


def _entry(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    limit, value = t.entry_p_max, number(run, "entry_p")
    if limit is None or value is None or value <= limit:
        return None
    excess = number(run, "entry_excess_bp")
    shown = "" if excess is None else f" ({excess:+.1f} bp a trade against random ones)"
    return KillReason(
        "entry_not_significant",
        value,
        limit,
        f"Random entries at the same times of day with the same holding do as well in {value:.0%} of draws{shown}; "
        f"{limit:.0%} is the most.",
        "An entry rule that beats random entries, or a claim that rests on the exits and is tested as such.",
    )


def _custom(run: Mapping[str, Any], _c: Any, _s: Any, t: KillThresholds) -> KillReason | None:
    """The first of the config's own limits that a run breaks; a metric that was not measured kills nothing."""
    for metric, limit in sorted(t.custom.items()):
        value = number(run, metric)
        if value is None:
            continue
        for bound, broken, word in (
            (limit.min, limit.min is not None and value < limit.min, "least"),
            (limit.max, limit.max is not None and value > limit.max, "most"),
        ):
            if broken:
                return KillReason(
                    f"custom:{metric}",
                    value,
                    bound,
                    f"Its {metric.replace('_', ' ')} is {value:.4g}; {bound:.4g} is the {word} that the config allows.",
                    f"A {metric.replace('_', ' ')} of at {word} {bound:.4g}, or another limit in the config.",
                )
    return None


#: In the order in which reasons are told: the first one leads the verdict.
RULES: tuple[_Rule, ...] = (
    _not_proven,
    _trades,
    _open_position,
    _penalty("robustness_penalty", "fragility", _fragile_words),
    _penalty("walk_forward_penalty", "walk_forward", _walk_forward_words),
    _penalty("regime_dependency_penalty", "regime_dependency", _regime_words),
    _score,
    _unmeasured,
    _monte_carlo(
        "mc_median_return_min",
        "mc_median_return",
        "mc_median_return",
        floor=True,
        words="The median resampled path of its trades returns {value:.1%}; {limit:.1%} is the least.",
        remedy="Trades whose typical order and mix ends above {limit:.1%}.",
    ),
    _monte_carlo(
        "mc_p95_drawdown_max",
        "mc_p95_drawdown",
        "mc_p95_drawdown",
        floor=False,
        words="One resampled path in twenty loses more than {value:.0%} from its peak; {limit:.0%} is the most.",
        remedy="Smaller positions or tighter stops, until the 95 % drawdown is within {limit:.0%}.",
    ),
    _monte_carlo(
        "mc_ruin_prob_max",
        "mc_ruin_upper",
        "mc_ruin_prob",
        floor=False,
        words="The probability of ruin may be as high as {value:.1%} (upper bound); {limit:.1%} is the most.",
        remedy="Smaller positions, or more resampled paths where the bound rather than the estimate is too high.",
    ),
    _monte_carlo(
        "mc_fraction_positive_min",
        "mc_fraction_positive",
        "mc_fraction_positive",
        floor=True,
        words="{value:.0%} of the resampled paths end with a profit; {limit:.0%} is the least.",
        remedy="An edge that shows in at least {limit:.0%} of the resampled paths.",
    ),
    _slippage,
    _deflated,
    _joint,
    _budget,
    _overfit,
    _leave_one_out,
    _entry,
    _custom,
)
