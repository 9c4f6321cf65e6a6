"""The decision frame: one row per bar of one symbol with everything that was known at its decision time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.options.schemas import IV_FRAME_COLUMNS, IvFeatures
from argus_core.packs.join import as_of_join
from argus_core.packs.pack import Pack
from argus_core.regimes.model_regimes import FRAME_COLUMNS, MODEL_REGIME_SCHEMA
from argus_core.replay.reference import Reference
from argus_core.settings import Instrument, Project

_BAR_COLUMNS = ("ts", "end", "available_at", "trade_date", "open", "high", "low", "close", "volume", "bid", "ask")
_REFERENCE_COLUMNS = ("open", "high", "low", "close", "volume", "end")
_REGIMES = {
    "vol_regime": "vol_regime",
    "trend_regime": "trend_regime",
    "liquidity_regime": "liquidity_regime",
    "warm": "regime_warm",
}
_MODEL_TYPES = {name: MODEL_REGIME_SCHEMA[name] for name in FRAME_COLUMNS}
_IV_TYPES = {new: IvFeatures.create_empty().schema[old] for old, new in IV_FRAME_COLUMNS.items()}
_REGIME_TYPES = {
    "vol_regime": pl.String,
    "trend_regime": pl.String,
    "liquidity_regime": pl.String,
    "regime_warm": pl.Boolean,
}


def decision_frame(
    pack: Pack, instrument: Instrument, calendar: TradingCalendar, horizons: Sequence[int]
) -> pl.DataFrame:
    """The decision frame of a pack: one row per bar, ascending ``ts``; columns and units in docs/packs.md.

    Row i holds what was public at ``available_at[i]``, the moment at which its decision is taken: its own bar, and
    of every other table the newest row with ``available_at <= available_at[i]`` (`as_of_join`).

    Args:
        horizons: seconds; ``fwd_return_<H>`` and ``realized_vol_annual_<H>`` of the newest OK outcome of each.
    """
    return assemble_frame(
        pack.table("bars"),
        instrument,
        calendar,
        horizons,
        outcomes=pack.table("outcomes"),
        regimes=pack.table("regimes"),
        risk_flow=pack.table("risk_flow"),
        market_risk=pack.table("market_risk"),
        model_regimes=pack.table("model_regimes"),
        iv_features=pack.table("iv_features"),
        delay_seconds=pack.manifest.delay_seconds,
        references={name: reference_bars(pack, name) for name in sorted(pack.manifest.references)},
    )


def reference_frames(pack: Pack, project: Project, calendar: TradingCalendar) -> dict[str, Reference]:
    """Decision frame (bars and clock only: no labels, no market state) and terms of every reference of the pack."""
    found = {}
    for name in sorted(pack.manifest.references):
        instrument = project.instrument(name)
        found[name] = Reference(assemble_frame(reference_bars(pack, name), instrument, calendar, ()), instrument)
    return found


def reference_bars(pack: Pack, symbol: str) -> pl.DataFrame:
    """Bars of one reference of the pack, ascending ``ts``."""
    return pack.table("reference_bars").filter(pl.col("symbol") == symbol)


def assemble_frame(
    bars: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    horizons: Sequence[int],
    *,
    outcomes: pl.DataFrame | None = None,
    regimes: pl.DataFrame | None = None,
    risk_flow: pl.DataFrame | None = None,
    market_risk: pl.DataFrame | None = None,
    model_regimes: pl.DataFrame | None = None,
    iv_features: pl.DataFrame | None = None,
    delay_seconds: int = 0,
    references: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """The decision frame from loose tables (for notebooks and tests); empty or missing tables give nulls.

    ``bars`` may carry ``warmup``; without it no row is warm-up. ``delay_seconds`` is the publication delay of the
    bars: an outcome is known when the bar that ends its window is, never earlier. ``references``: bars of other
    symbols, whose newest available one gives the columns ``ref_<symbol>_open`` .. ``ref_<symbol>_end``.
    """
    ordered = bars.sort("ts")
    warmup = pl.col("warmup") if "warmup" in ordered.columns else pl.lit(False).alias("warmup")
    frame = ordered.select(*_BAR_COLUMNS, "session", warmup).with_columns(
        *_clock_columns(ordered, instrument, calendar),
        _half_spread(instrument),
        _missing_before(ordered, instrument, calendar),
    )
    if regimes is not None and not regimes.is_empty():
        frame = as_of_join(frame, regimes, _REGIMES)
    else:
        frame = frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _REGIME_TYPES.items())
    frame = _join_or_null(frame, market_risk, "risk_regime", pl.String())
    frame = _join_or_null(frame, risk_flow, "global_risk_flow", pl.Float64())
    if model_regimes is not None and not model_regimes.is_empty():
        frame = as_of_join(frame, model_regimes, FRAME_COLUMNS)
    else:
        frame = frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _MODEL_TYPES.items())
    if iv_features is not None and not iv_features.is_empty():
        frame = as_of_join(frame, iv_features, IV_FRAME_COLUMNS)
    else:
        frame = frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _IV_TYPES.items())
    known = None
    if outcomes is not None and not outcomes.is_empty():
        known = outcomes.filter(pl.col("status") == "OK").select(
            "horizon_seconds",
            "fwd_return",
            "realized_vol_annual",
            (pl.col("window_end") + pl.duration(seconds=delay_seconds)).alias("available_at"),
        )
    for horizon in horizons:
        names = {"fwd_return": f"fwd_return_{horizon}", "realized_vol_annual": f"realized_vol_annual_{horizon}"}
        if known is None:
            frame = frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in names.values())
        else:
            frame = as_of_join(frame, known.filter(pl.col("horizon_seconds") == horizon), names)
    for symbol, other in (references or {}).items():
        frame = as_of_join(frame, other.sort("ts"), {name: f"ref_{symbol}_{name}" for name in _REFERENCE_COLUMNS})
    return frame


def _join_or_null(frame: pl.DataFrame, right: pl.DataFrame | None, name: str, dtype: pl.DataType) -> pl.DataFrame:
    if right is None or right.is_empty():
        return frame.with_columns(pl.lit(None, dtype).alias(name))
    return as_of_join(frame, right, [name])


def _clock_columns(bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar) -> list[pl.Series | pl.Expr]:
    """``minute_of_session`` and ``seconds_to_close``, both Int32 and relative to the regular session."""
    if instrument.hours == "always":
        minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute().cast(pl.Int32)
        return [minute.alias("minute_of_session"), pl.lit(None, pl.Int32).alias("seconds_to_close")]
    sessions = bars.select("trade_date").join(
        calendar.sessions.select("date", "open_ts", "close_ts"),
        left_on="trade_date",
        right_on="date",
        how="left",
        maintain_order="left",
    )
    since_open = (bars["ts"] - sessions["open_ts"]).dt.total_seconds().to_numpy()
    to_close = (sessions["close_ts"] - bars["end"]).dt.total_seconds()
    return [
        pl.Series("minute_of_session", np.floor_divide(since_open, 60)).cast(pl.Int32),
        to_close.cast(pl.Int32).alias("seconds_to_close"),
    ]


def _half_spread(instrument: Instrument) -> pl.Expr:
    """Half the quoted spread where both sides are quoted and not crossed, else half the modelled one; price units."""
    quoted = pl.col("bid").is_not_null() & pl.col("ask").is_not_null() & (pl.col("ask") >= pl.col("bid"))
    modelled = pl.max_horizontal(pl.lit(instrument.tick), pl.col("close") * (instrument.spread_bps * 1e-4))
    return (pl.when(quoted).then(pl.col("ask") - pl.col("bid")).otherwise(modelled) / 2).alias("half_spread")


def _missing_before(bars: pl.DataFrame, instrument: Instrument, calendar: TradingCalendar) -> pl.Series:
    """Bars that the calendar offers strictly between the previous bar and each one; 0 for the first."""
    if bars.is_empty():
        return pl.Series("missing_before", [], dtype=pl.Int32)
    grid = calendar.bar_grid(instrument, bars["trade_date"][0], bars["trade_date"][-1])
    starts = bars["ts"].dt.timestamp("us").to_numpy()
    upto = np.searchsorted(grid, starts[1:], side="left")
    after = np.searchsorted(grid, starts[:-1], side="right")
    return pl.Series("missing_before", np.concatenate([[0], np.maximum(upto - after, 0)])).cast(pl.Int32)
