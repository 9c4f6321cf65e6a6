"""Model regimes of one series: one row per session, known when its last bar is (semantics §4).

Change points (`bocpd`) and hidden states (`hmm`) read the close-to-close log returns of sessions, the Fisher transform
their ranges, and `votes` weighs them against the rule regimes; `session_features` adds features without a vote.
Everything is anchored to calendar months: in month m the models see the returns from the first session of month m -
`history_months` up to the row's own session, and parameters were fitted on the months **before** m. So a row never
depends on which range was computed.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from argus_core.accelerator import bucket
from argus_core.calendar import ALWAYS_OPEN, UTC_US, TradingCalendar
from argus_core.features import fisher
from argus_core.regimes.bocpd import bocpd, log_squares, standardise_on_past
from argus_core.regimes.hmm import FilterResult, HmmParameters, filter_states, fit_hmm, match_states
from argus_core.regimes.lookback import session_numbers
from argus_core.regimes.session_features import (
    Moves,
    bar_moves,
    hawkes_features,
    signature_features,
    width_features,
)
from argus_core.regimes.votes import change_vote, combine_votes, rule_vote, state_vote
from argus_core.settings import ModelRegimeSettings

#: Columns of a model-regime frame. Key: provider, symbol, bar_seconds, ts (start of the session's last bar).
MODEL_REGIME_SCHEMA = pl.Schema(
    {
        "provider": pl.String(),
        "symbol": pl.String(),
        "bar_seconds": pl.Int32(),
        "ts": UTC_US,
        "available_at": UTC_US,
        "trade_date": pl.Date(),
        "log_return": pl.Float64(),
        "model_cp_prob": pl.Float64(),
        "model_run_length": pl.Float64(),
        "model_surprise": pl.Float64(),
        "model_level": pl.Float64(),
        "model_drift_cp_prob": pl.Float64(),
        "model_high_vol_prob": pl.Float64(),
        "model_high_vol_next": pl.Float64(),
        "state_vol_ratio": pl.Float64(),
        "states_stable": pl.Boolean(),
        "fisher": pl.Float64(),
        "hawkes_intensity": pl.Float64(),
        "hawkes_branching": pl.Float64(),
        "signature_increment": pl.Float64(),
        "signature_time_area": pl.Float64(),
        "signature_lead_lag_area": pl.Float64(),
        "mfdfa_width": pl.Float64(),
        "mfdfa_z": pl.Float64(),
        "vote_rules": pl.Int8(),
        "vote_change": pl.Int8(),
        "vote_states": pl.Int8(),
        "model_vote": pl.String(),
        "model_confidence": pl.Float64(),
        "config_hash": pl.String(),
    }
)
#: Columns of the decision frame that come from here.
FRAME_COLUMNS = (
    "model_cp_prob",
    "model_run_length",
    "model_surprise",
    "model_level",
    "model_high_vol_prob",
    "model_high_vol_next",
    "fisher",
    "hawkes_intensity",
    "hawkes_branching",
    "signature_increment",
    "signature_time_area",
    "signature_lead_lag_area",
    "mfdfa_width",
    "mfdfa_z",
    "model_vote",
    "model_confidence",
)
VOTES = ("vote_rules", "vote_change", "vote_states")
_SESSIONS_A_MONTH, _DAYS_A_MONTH = 23, 31
_DECIMALS = 10


def first_history_date(day: date, settings: ModelRegimeSettings) -> date:
    """First trade date whose bars can matter for a row of ``day``: one month more than models see, for the last fit."""
    return _month_start(day, -settings.history_months - 1)


def compute_model_regimes(
    bars: pl.DataFrame,
    calendar: TradingCalendar,
    settings: ModelRegimeSettings,
    *,
    regimes: pl.DataFrame | None = None,
    anchors: tuple[date, date] | None = None,
) -> pl.DataFrame:
    """Model regimes of every session.

    Args:
        bars: frame of schema `Bars` of **one** series, sorted by ts, of whole sessions. Rows equal those of a longer
            range where it reaches back to `first_history_date` of the first anchor.
        calendar: the trading calendar that assigned the trade dates.
        settings: windows and thresholds.
        regimes: rule regimes (`REGIME_SCHEMA`) of the anchors' bars; without them the rules abstain.
        anchors: first and last trade date of the rows returned; default: all.

    Returns:
        Frame of `MODEL_REGIME_SCHEMA`, sorted by ts, numbers rounded to 10 decimals; null where not known. A session
        that follows a missing one has no return: its gap is another clock.

    Raises:
        ValueError: if bars mix series, are unsorted, or carry trade dates that the calendar does not know.
    """
    for name in ("provider", "symbol", "bar_seconds"):
        if bars[name].n_unique() > 1:
            raise ValueError(
                f"bars: expected one series, found several values of {name}: {sorted(bars[name].unique())}. "
                "Feeds are never mixed: compute model regimes per (provider, symbol, bar_seconds)."
            )
    if bars.is_empty():
        return pl.DataFrame(schema=MODEL_REGIME_SCHEMA)
    sessions = session_table(bars, calendar)
    dates = sessions["trade_date"].to_list()
    first, last = anchors or (dates[0], dates[-1])
    months = sorted({_month_start(d, 0) for d in dates if first <= d <= last})
    moves = bar_moves(bars, sessions, calendar)
    blocks = [_month(sessions, moves, month, calendar, settings) for month in months]
    if not blocks:
        return pl.DataFrame(schema=MODEL_REGIME_SCHEMA)
    rows = pl.concat(blocks).filter(pl.col("trade_date").is_between(first, last))
    rows = rows.join(_rule_shares(regimes, bars), on="trade_date", how="left", maintain_order="left")
    numbers = [n for n, dtype in MODEL_REGIME_SCHEMA.items() if dtype == pl.Float64 and n != "model_confidence"]
    return (
        rows.with_columns(pl.col(numbers).fill_nan(None).round(_DECIMALS))
        .with_columns(
            vote_rules=rule_vote(pl.col("calm_share"), pl.col("wild_share"), settings),
            vote_change=change_vote(pl.col("model_level"), settings),
            vote_states=state_vote(
                pl.col("model_high_vol_prob"), pl.col("state_vol_ratio"), pl.col("states_stable"), settings
            ),
        )
        .with_columns(*combine_votes(VOTES, settings), config_hash=pl.lit(settings.config_hash))
        .with_columns(pl.col("model_confidence").round(_DECIMALS))
        .select(MODEL_REGIME_SCHEMA.names())
        .cast(dict(MODEL_REGIME_SCHEMA))
    )


def session_table(bars: pl.DataFrame, calendar: TradingCalendar) -> pl.DataFrame:
    """One row per session: its last bar's key and close, when all of it is known, its range, and its log return."""
    sessions = bars.group_by("trade_date", maintain_order=True).agg(
        pl.col("provider", "symbol", "bar_seconds", "ts", "close").last(),
        pl.col("available_at").max(),
        pl.col("high").max(),
        pl.col("low").min(),
    )
    follows = pl.Series(np.diff(session_numbers(sessions, calendar), prepend=-2) == 1)
    change = (pl.col("close") / pl.col("close").shift(1)).log()
    return sessions.with_columns(log_return=pl.when(follows).then(change))


def _month_start(day: date, shift: int) -> date:
    """First day of the month ``shift`` months after that of ``day``."""
    count = day.year * 12 + day.month - 1 + shift
    return date(count // 12, count % 12 + 1, 1)


def _month(
    sessions: pl.DataFrame, moves: Moves, month: date, calendar: TradingCalendar, settings: ModelRegimeSettings
) -> pl.DataFrame:
    """Rows of one calendar month. Always the same shapes, so that the same numbers come out bit by bit."""
    back, ahead = settings.history_months, _month_start(month, 1)
    begin, older = _month_start(month, -back), _month_start(month, -back - 1)
    dates = sessions["trade_date"]
    window = sessions.filter((dates >= begin) & (dates < ahead))
    bounds = [int(dates.search_sorted(day)) for day in (begin, month, ahead)]
    per_month = _DAYS_A_MONTH if calendar.name == ALWAYS_OPEN else _SESSIONS_A_MONTH
    size = bucket((back + 1) * per_month)
    returns = window["log_return"].to_numpy()
    mine = (window["trade_date"] >= month).to_numpy()

    before = [
        sessions.filter((dates >= begin) & (dates < month))["log_return"].to_numpy(),
        sessions.filter((dates >= older) & (dates < _month_start(month, -1)))["log_return"].to_numpy(),
    ]
    padded = _padded(returns, size)
    high, following, ratio = (np.full(len(returns), np.nan) for _ in range(3))
    stable: bool | None = None
    fit = fit_hmm(np.stack([_padded(part, size) for part in before]), student_df=settings.student_df)
    enough = [np.isfinite(part).sum() >= settings.min_sessions for part in before] & np.isfinite(fit.log_likelihood)
    if enough[0]:
        states = _both(padded, fit.parameters, last_too=bool(enough[1]))
        high, following = states.filtered[0, : len(returns), 1], states.predicted[0, : len(returns), 1]
        ratio[:] = np.sqrt(fit.parameters.variance[0, 1] / fit.parameters.variance[0, 0])
        overlap = np.flatnonzero(~mine)
        stable = match_states(states.filtered[1][overlap], states.filtered[0][overlap]) == (0, 1)

    inputs = standardise_on_past(np.stack([log_squares(padded), padded]))
    runs = bocpd(inputs, settings.change_hazard, recent_steps=settings.recent_sessions)
    seen = np.isfinite(inputs)[:, : len(returns)]
    # Before the first observation the filter knows its prior only: unknown. After it a gap repeats what was known.
    volatility, drift = np.cumsum(seen, axis=1) > 0

    def known(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.where(where, values[: len(returns)], np.nan)

    columns = {
        "model_cp_prob": known(runs.recent[0], volatility),
        "model_run_length": known(runs.map_run_length[0], volatility),
        "model_surprise": known(-runs.log_evidence[0], seen[0]),
        "model_level": known(runs.level[0], volatility),
        "model_drift_cp_prob": known(runs.recent[1], drift),
        "model_high_vol_prob": high,
        "model_high_vol_next": following,
        "state_vol_ratio": ratio,
        "fisher": fisher(window["high"].to_numpy(), window["low"].to_numpy(), settings.fisher_length),
    }
    intensity, branching = hawkes_features(moves, *bounds, settings)
    increment, time_area, lead_lag_area = signature_features(returns, int((~mine).sum()), settings).T
    width, z = width_features(before[0], month.year * 12 + month.month, settings)
    features = {
        "hawkes_intensity": intensity,
        "signature_increment": increment,
        "signature_time_area": time_area,
        "signature_lead_lag_area": lead_lag_area,
    }
    return (
        window.with_columns(pl.Series(name, values) for name, values in columns.items())
        .filter(pl.Series(mine))
        .with_columns(
            *(pl.Series(name, values) for name, values in features.items()),
            pl.lit(stable, pl.Boolean).alias("states_stable"),
            hawkes_branching=pl.lit(branching, pl.Float64),
            mfdfa_width=pl.lit(width, pl.Float64),
            mfdfa_z=pl.lit(z, pl.Float64),
        )
    )


def _both(padded: np.ndarray, parameters: HmmParameters, *, last_too: bool) -> FilterResult:
    """The same returns filtered under this month's parameters and, for the check of labels, last month's.

    Without last month's fit (``last_too`` false) the second row repeats the first.
    """
    rows = np.array([0, 1 if last_too else 0])
    both = HmmParameters(
        parameters.mean[rows],
        parameters.variance[rows],
        parameters.transition[rows],
        # Last month's fit began a month earlier: its first state is not this window's.
        np.stack([parameters.initial[0], np.full_like(parameters.initial[0], 0.5)]),
        parameters.student_df,
    )
    return filter_states(np.stack([padded, padded]), both)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([values, np.full(size - len(values), np.nan)])


def _rule_shares(regimes: pl.DataFrame | None, bars: pl.DataFrame) -> pl.DataFrame:
    """Per trade date the shares of warm bars whose rule volatility is LOW, and HIGH or SPIKE."""
    if regimes is None or regimes.is_empty():
        return pl.DataFrame(schema={"trade_date": pl.Date(), "calm_share": pl.Float64(), "wild_share": pl.Float64()})
    dated = regimes.filter("warm").join(bars.select("ts", "trade_date"), on="ts", how="inner", maintain_order="left")
    return dated.group_by("trade_date", maintain_order=True).agg(
        calm_share=(pl.col("vol_regime") == "LOW").mean(),
        wild_share=pl.col("vol_regime").is_in(["HIGH", "SPIKE"]).mean(),
    )
