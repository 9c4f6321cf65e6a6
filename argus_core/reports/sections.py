"""Sections of the cycle report: headline, tables, reasons in words. HTML in, nothing drawn here but one bar chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from argus_core.reports.figures import reasons_figure
from argus_core.reports.page import Column, Html, chip, definitions, section, table, text, tiles
from argus_core.reports.words import (
    CONSTRAINT_WORDS,
    DASH,
    MINUS,
    REASON_WORDS,
    TIMES,
    decimal,
    dollars,
    parameters,
    percent,
    plural,
)

if TYPE_CHECKING:
    from argus_core.allocation import Allocation
    from argus_core.evaluation import Evaluation

#: Rows of a table; a line below says how many more there are.
MOST_ROWS = 50
#: Kill reasons named in a ranking row; the rest is counted.
_CHIPS = 2
#: Killed runs whose reasons are told one by one.
_EXPLAINED = 6
_REGIMES = ("LOW", "NORMAL", "HIGH", "SPIKE", "UP", "RANGE", "DOWN", "PRE", "RTH", "POST", "ASIA", "EU", "US")


def header(date: Any, evaluation: Evaluation, allocation: Allocation) -> str:
    """The verdict of the cycle in one headline, one paragraph and a few numbers."""
    test, rankings = evaluation.joint_test, evaluation.rankings
    trials = rankings.filter(pl.col("role") == "trial")
    funded = allocation.rows.filter(pl.col("weight") > 0)
    headline, lead = verdict_in_words(evaluation, allocation)
    weight = float(funded["weight"].sum()) if funded.height else 0.0
    sharpes = trials["sharpe"].drop_nulls().to_list()
    numbers = [
        (f"{trials.height:,}", "configurations tried"),
        (f"{evaluation.candidates.height:,}", "candidates after every gate"),
        (str(decimal(test["p_consistent"], 3)), f"joint p-value, below {test['alpha']:g} is asked for"),
        (decimal(max(sharpes, default=None)) or DASH, "best annual Sharpe of all trials"),
        (str(percent(weight)), "of equity allocated"),
    ]
    tone = "some" if funded.height else "none"
    return (
        f'<header><p class="brand">Argus · research cycle · {text(date)}</p><h1 class="{tone}">{text(headline)}</h1>'
        f'<p class="lead">{text(lead)}</p>{tiles(numbers)}</header>'
    )


def verdict_in_words(evaluation: Evaluation, allocation: Allocation) -> tuple[str, str]:
    """(headline, explanation) of the cycle."""
    test = evaluation.joint_test
    trials = evaluation.rankings.filter(pl.col("role") == "trial")
    funded = allocation.rows.filter(pl.col("weight") > 0)
    if trials.is_empty():
        return "Nothing was tried", "No run of this date is stored, so there is nothing to judge."
    passed = test["p_consistent"] < test["alpha"]
    tested = f"{plural(trials.height, 'configuration')} over {plural(test['n_observations'], 'day')}"
    if funded.height:
        names = ", ".join(f"{r['strategy_id']} on {r['instrument']}" for r in funded.head(3).iter_rows(named=True))
        one = funded.height == 1
        return (
            "One strategy deserves capital" if one else f"{funded.height} strategies deserve capital",
            f"Of {tested}, {names} survived every gate, the joint test among them (p = {test['p_consistent']:.3f}).",
        )
    if evaluation.candidates.height:
        return (
            "Nothing deserves capital",
            (
                f"{plural(evaluation.candidates.height, 'candidate')} of {tested} survived the gates, but no edge is "
                "left after the corrections for selection and estimation error, or a minimum of the config is not met."
            ),
        )
    counts = evaluation.killed.group_by("reason").agg(pl.col("run_id").n_unique().alias("runs"))
    most = counts.sort(["runs", "reason"], descending=[True, False]).row(0, named=True)
    if passed:
        why = (
            f"the joint test finds an edge (p = {test['p_consistent']:.3f}), but every run that carries it fails "
            "another gate"
        )
    else:
        why = (
            f"the best of {tested} is what luck alone gives in {test['p_consistent']:.0%} of all cycles, "
            f"and only {test['alpha']:.0%} is tolerated"
        )
    common = REASON_WORDS.get(most["reason"], most["reason"])
    return (
        "Nothing deserves capital",
        f"Because {why}. The most frequent kill reason is “{common}” ({most['runs']} of {trials.height}).",
    )


def allocations(allocation: Allocation) -> str:
    """Where the capital goes, and what lowered each weight."""
    rows = []
    for row in allocation.rows.sort("weight", "run_id", descending=[True, False]).head(MOST_ROWS).iter_rows(named=True):
        clamps = json.loads(row["clamps"])
        words = [
            f"{CONSTRAINT_WORDS.get(c['constraint'], c['constraint'])}"
            + (f" {percent(c['before'])} → {percent(c['after'])}" if c["before"] else f": {c['detail']}")
            for c in clamps
        ]
        rows.append(
            [
                row["strategy_id"],
                row["instrument"],
                Html(f'<span class="mono">{text(parameters(row["params"]))}</span>'),
                percent(row["weight"], 2),
                dollars(row["dollar_risk"]),
                row["contracts"],
                percent(row["mu"]),
                percent(row["mu_shrunk"]),
                percent(row["sigma"]),
                "; ".join(words) or "nothing",
            ]
        )
    columns = [
        Column("Strategy"),
        Column("Instrument"),
        Column("Parameters", "words"),
        Column("Weight", "number"),
        Column("Capital", "number"),
        Column("Contracts", "number"),
        Column("Measured mean", "number"),
        Column("Believed mean", "number"),
        Column("Volatility", "number"),
        Column("Lowered by", "words"),
    ]
    document = allocation.document
    say = (
        f"Fractional Kelly on {dollars(document['equity'])}. The believed mean is the measured one less the luck of "
        f"the best trial, shrunk for estimation error. Portfolio volatility {percent(document['volatility'])} a year."
    )
    return section("Allocation", say, table(columns, rows), _more(allocation.rows.height, "allocation"))


def ranking(rankings: pl.DataFrame) -> str:
    """Every run in order of its score, with its verdict."""
    rows = []
    for row in rankings.head(MOST_ROWS).iter_rows(named=True):
        rows.append(
            [
                row["rank"],
                Html(f"{text(row['strategy'])} <span class='dim'>{text(row['symbol'])}</span>"),
                Html(_verdict_chips(row)),
                _signed(row["sharpe"], decimal(row["sharpe"])),
                Html(_bounds(row)),
                decimal(row["min_detectable_sharpe"], 1),
                decimal(row["joint_p"], 3),
                percent(row["dsr"]),
                _signed(row["total_return"], percent(row["total_return"], signed=True)),
                percent(row["max_drawdown"]),
                row["n_trades"],
                decimal(row["score"], 3),
                Html(f'<span class="mono">{text(parameters(row["params"]))}</span>'),
            ]
        )
    columns = [
        Column("#", "number"),
        Column("Strategy"),
        Column("Verdict", "words"),
        Column("Sharpe", "number"),
        Column("True Sharpe", "number"),
        Column("Could find", "number"),
        Column("Joint p", "number"),
        Column("DSR", "number"),
        Column("Return", "number"),
        Column("Drawdown", "number"),
        Column("Trades", "number"),
        Column("Score", "number"),
        Column("Parameters", "many words"),
    ]
    say = (
        "By composite score, which depends on the run alone. True Sharpe: one-sided 95 % bounds. Dead: even "
        "the upper one is not worth having; every other killed run is only not proven. Could find: the annual Sharpe "
        "that this search marks with 80 % power. Joint p: step-down p-value among all trials. DSR: probability that "
        "the Sharpe beats the luckiest trial."
    )
    return section("Ranking", say, table(columns, rows, tall=True), _more(rankings.height, "run"))


def _bounds(row: Mapping[str, Any]) -> str:
    low, high = decimal(row["sharpe_low"], 1), decimal(row["sharpe_high"], 1)
    if low is None or high is None:
        return DASH
    shown = f"{low} to {high}"
    return f'<span class="dim">{shown}</span>' if row["evidence"] == "dead" else shown


def _verdict_chips(row: Mapping[str, Any]) -> str:
    """The verdict in a few words; the sentence shows when pointed at."""
    if row["role"] == "benchmark":
        shown = chip("benchmark")
    elif not row["killed"]:
        shown = chip("survives every gate", "live")
    else:
        names = [REASON_WORDS.get(r["reason"], r["reason"]) for r in json.loads(row["reasons"])]
        shown = chip(row["evidence"]) if row["evidence"] else ""
        shown += "".join(chip(name, "kill") for name in names[:_CHIPS])
        if len(names) > _CHIPS:
            shown += chip(f"+{len(names) - _CHIPS}", "kill")
    return f'<span title="{text(row["verdict"])}">{shown}</span>'


def kills(evaluation: Evaluation) -> str:
    """What was killed, why, and what would have to change."""
    killed = evaluation.killed
    if killed.is_empty():
        return section("Killed", "Nothing was killed.")
    counts = {
        str(reason): int(runs)
        for reason, runs in killed.group_by("reason").agg(pl.col("run_id").n_unique()).sort("reason").iter_rows()
    }
    dead = evaluation.rankings.filter(pl.col("killed")).sort("rank")
    best = dead.unique(["strategy", "symbol"], keep="first", maintain_order=True).head(_EXPLAINED)
    rows = []
    for run in best.iter_rows(named=True):
        for position, reason in enumerate(json.loads(run["reasons"])):
            name = f"{text(run['strategy'])} <span class='dim'>{text(run['symbol'])}</span>"
            detail = f'<div class="mono dim">{text(parameters(run["params"]))}</div>'
            rows.append(
                [
                    Html(name + detail) if position == 0 else "",
                    Html(chip(REASON_WORDS.get(reason["reason"], reason["reason"]), "kill")),
                    _number(reason["value"]),
                    _number(reason["threshold"]),
                    reason["explanation"],
                    reason["remedy"],
                ]
            )
    columns = [
        Column("Run", "words"),
        Column("Reason"),
        Column("Value", "number"),
        Column("Threshold", "number"),
        Column("What was found", "many words"),
        Column("What would have to change", "many words"),
    ]
    n_killed = evaluation.rankings.filter(pl.col("killed")).height
    say = f"{plural(n_killed, 'run')} killed. A run usually meets several reasons; each is counted."
    return section(
        "What was killed, and why",
        say,
        reasons_figure("reasons", counts, REASON_WORDS),
        "<h3>The best-scoring of each strategy and symbol, reason by reason</h3>",
        table(columns, rows),
        _more(n_killed, "run", best.height),
    )


def fan(name: str, params: str, trades: int, row: Mapping[str, Any], figure: str) -> str:
    """One Monte Carlo fan with its numbers."""
    raw, median = row.get("mc_raw_median_return"), row.get("mc_median_return")
    kind = "median" if raw is None or raw == median else "corrected for selection: median"
    numbers = [
        f"{kind} {percent(median, signed=True) or DASH}",
        f"95 % drawdown {percent(row.get('mc_p95_drawdown')) or DASH}",
        f"ruin at most {percent(row.get('mc_ruin_upper'), 2) or DASH}",
    ]
    return (
        f"<div><h3>{text(name)}</h3>"
        f'<p class="say"><span class="mono">{text(params)}</span><br>'
        f"{plural(trades, 'trade')} · {text(' · '.join(numbers))}</p>{figure}</div>"
    )


def costs(shown: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Profit at multiples of the modelled costs."""
    rows, multiples = [], []
    blocks = {str(run["run_id"]): _document(metrics.get(str(run["run_id"]), {}), "cost_sensitivity") for run in shown}
    multiples = sorted({key for block in blocks.values() for key in block if _is_number(key)}, key=float)
    for run in shown:
        row, block = metrics.get(str(run["run_id"]), {}), blocks[str(run["run_id"])]
        cells: list[object] = [f"{run['strategy']} {run['symbol']}", dollars(row.get("costs"))]
        for key in multiples:
            pnl = block.get(key, {}).get("pnl")
            cells.append(_signed(pnl, dollars(pnl)))
        rows.append([*cells, decimal(row.get("cost_break_even"))])
    if not rows:
        return ""
    columns = [Column("Run"), Column("Costs paid", "number")]
    columns += [Column(f"Profit at {float(key):g}{TIMES}", "number") for key in multiples]
    columns.append(Column(f"Breaks even at {TIMES}", "number"))
    say = "Fills are run again at higher costs: stops and sizes react. Spread, slippage and commission are all scaled."
    return section("Costs", say, table(columns, rows))


def regimes(shown: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Profit by regime at entry."""
    labels: dict[str, set[str]] = {}
    blocks = {}
    for run in shown:
        row = metrics.get(str(run["run_id"]), {})
        block = _document(row, "regime_stress").get("factors") or _document(row, "regime_breakdown")
        blocks[str(run["run_id"])] = block
        for factor, groups in block.items():
            if isinstance(groups, Mapping):
                labels.setdefault(factor, set()).update(groups)
    columns = [
        (factor, label)
        for factor in sorted(labels, reverse=True)
        for label in sorted(labels[factor], key=_regime_order)
    ]
    if not columns:
        return ""
    rows = []
    for run in shown:
        block = blocks[str(run["run_id"])]
        cells: list[object] = [f"{run['strategy']} {run['symbol']}"]
        for factor, label in columns:
            group = block.get(factor, {}).get(label)
            pnl = group.get("pnl") if isinstance(group, Mapping) else group
            cells.append(_signed(pnl, dollars(pnl)))
        rows.append(cells)
    titles = [Column("Run"), *(Column(f"{factor} {label.lower()}", "number") for factor, label in columns)]
    say = "Profit and loss by the regime at entry. A strategy that earns in one column only depends on that regime."
    return section("Regimes", say, table(titles, rows))


def _regime_order(label: str) -> tuple[int, str]:
    """Labels from calm to wild, from up to down, through the trading day; anything else by name after them."""
    return (_REGIMES.index(label) if label in _REGIMES else len(_REGIMES), label)


def provenance(summary: Mapping[str, Any], runs: pl.DataFrame, evaluation: Evaluation) -> str:
    """What this report rests on: enough to run it again and get the same bytes."""
    entries: list[tuple[str, object]] = []
    for name, value in summary.items():
        shown = json.dumps(value, default=str) if isinstance(value, Mapping) else value
        if isinstance(value, list | tuple):
            shown = ", ".join(str(item) for item in value)
        entries.append((name.replace("_", " "), Html(f'<span class="mono">{text(shown)}</span>')))
    for name in ("pack_hash", "code_hash", "config_hash", "convention"):
        if name in runs.columns and name not in summary:
            distinct = runs[name].drop_nulls().unique().sort().to_list()
            listed = ", ".join(map(str, distinct[:12])) + (
                f" and {len(distinct) - 12} more" if len(distinct) > 12 else ""
            )
            entries.append((name.replace("_", " "), Html(f'<span class="mono">{text(listed)}</span>')))
    limits = dict(evaluation.joint_test["thresholds"])
    own = limits.pop("custom", {})
    limits |= {f"{name} {bound}": value for name, one in own.items() for bound, value in one.items()}
    shown = " · ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None)
    entries.append(("kill thresholds", Html(f'<span class="mono">{text(shown)}</span>')))
    entries.append(("joint test", Html(f'<span class="mono">{text(evaluation.joint_test["method"])}</span>')))
    return section("Provenance", "The same inputs give the same report, byte for byte.", definitions(entries))


def _document(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = json.loads(row.get(key) or "{}")
    return found if isinstance(found, dict) else {}


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.3g}".replace("-", MINUS)


def _signed(value: float | None, shown: str | None) -> object:
    return Html(f'<span class="neg">{text(shown)}</span>') if value is not None and value < 0 else shown


def _more(total: int, noun: str, shown: int = MOST_ROWS) -> str:
    rest = total - shown
    return f'<p class="more">and {plural(rest, "more " + noun)}.</p>' if rest > 0 else ""
