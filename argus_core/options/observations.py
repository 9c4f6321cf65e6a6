"""What every source says about a contract's volatility, as it stood at a moment, with its standard error.

Prices count, inverted by one convention; a provider's own volatility stands in only where it sent no price, and is
marked. Nothing received after the moment is looked at.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from argus_core.market.schemas import UTC_US
from argus_core.options.normalise import IvUnit, iv_unit_of
from argus_core.settings.option_consensus import ConsensusSettings

#: One contract: never is anything filled across expiries or strikes. AM- and PM-settled contracts of a day are two.
CONTRACT = ("underlying", "expiry", "expiry_ts", "strike", "right")
OBSERVATION_SCHEMA: dict[str, Any] = {
    "source": pl.String,
    "underlying": pl.String,
    "expiry": pl.Date,
    "expiry_ts": UTC_US,
    "strike": pl.Float64,
    "right": pl.String,
    "ts": UTC_US,
    "recv_ts": UTC_US,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "iv_bid": pl.Float64,
    "iv_mid": pl.Float64,
    "iv_ask": pl.Float64,
    "iv_se": pl.Float64,
    "provider_iv": pl.Float64,
    "forward": pl.Float64,
}
#: Why an observation does not count, in the order in which they are tested.
REASONS = ("FUTURE", "STALE", "STALE_QUOTE", "UNIT_UNKNOWN", "NO_VOLATILITY", "OUT_OF_RANGE")
_RATIO_REACH = 0.7
_YEAR_US = 365.0 * 86_400e6


def observations_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Observations from rows of `ImpliedVols` of any number of providers, or of any frame with some of the columns.

    ``source`` is taken from ``provider`` where it is missing; other missing columns are null. A feed of greeks needs
    the contract, ts, recv_ts and ``provider_iv``.

    Raises:
        ValueError: naming the columns that no observation can do without.
    """
    if "source" not in frame.columns and "provider" in frame.columns:
        frame = frame.rename({"provider": "source"})
    needed = ["source", *CONTRACT, "ts", "recv_ts"]
    if missing := [name for name in needed if name not in frame.columns]:
        raise ValueError(f"observations: column(s) {', '.join(missing)} missing; needed are {', '.join(needed)}.")
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in OBSERVATION_SCHEMA.items()
    )


def standing_observations(observations: pl.DataFrame, now: datetime, settings: ConsensusSettings) -> pl.DataFrame:
    """The newest observation of every source and living contract at ``now``, judged.

    A source's newest row speaks for it: one without a volatility is not replaced by an older one with it.

    Args:
        observations: `observations_of`, any order.
        now: moment of the decision, aware.

    Returns:
        Columns of ``observations``, sorted by contract and source, with ``iv`` (fraction), ``iv_from`` (price or
        provider), ``se`` (its standard error now), ``age`` (seconds since receipt), ``unit`` (of provider_iv), and
        ``reason``, one of `REASONS`, where it does not count.
    """
    rows = observations.filter((pl.col("recv_ts") <= now) & (pl.col("expiry_ts") > now))
    # Providers write one strike as 102.5 and 102.50000001.
    rows = rows.with_columns(pl.col("strike").round(4)).with_columns(pl.col(pl.Float64).fill_nan(None))
    rows = rows.sort("source", *CONTRACT, "recv_ts", "ts", "iv_mid", "provider_iv", nulls_last=False)
    rows = rows.unique(["source", *CONTRACT], keep="last", maintain_order=True)
    rows = _with_units(rows, settings)
    return _judged(rows, now, settings).sort(*CONTRACT, "source")


def provider_unit(chain: pl.DataFrame, settings: ConsensusSettings) -> IvUnit:
    """Unit of a source's own volatilities, judged by all contracts of its chain together, never by one value.

    Beside volatilities inverted from prices the median ratio is near 1 or near 100; without prices the size of the
    whole chain decides (`iv_unit_of`). Too few contracts decide nothing.
    """
    known = chain.filter((pl.col("provider_iv") > 0) & pl.col("provider_iv").is_finite())
    if known.height < settings.min_unit_quotes:
        return "unknown"
    both = known.filter(pl.col("iv_mid") > 0)
    if both.height >= settings.min_unit_quotes:
        size = float(np.median(np.log10((both["provider_iv"] / both["iv_mid"]).to_numpy())))
        return "fraction" if abs(size) < _RATIO_REACH else "percent" if abs(size - 2) < _RATIO_REACH else "unknown"
    return iv_unit_of(known.with_columns(iv=pl.col("provider_iv")))


def _with_units(rows: pl.DataFrame, settings: ConsensusSettings) -> pl.DataFrame:
    """``own``, the provider's volatility as a fraction of a 365-day year (null where unknown), ``unit``, and per source
    ``floor`` and ``limit``."""
    table = []
    for (name, underlying), part in rows.group_by("source", "underlying", maintain_order=True):
        source = settings.source(str(name))
        unit = provider_unit(part, settings) if source.unit == "auto" else source.unit
        floor, limit = source.floor or settings.floor, source.max_age_seconds or settings.max_age_seconds
        table.append((name, underlying, unit, source.day_count, floor, limit))
    facts = pl.DataFrame(
        table,
        schema={
            "source": pl.String,
            "underlying": pl.String,
            "unit": pl.String,
            **dict.fromkeys(("day_count", "floor", "limit"), pl.Float64),
        },
        orient="row",
    )
    scale = pl.when(pl.col("unit") == "percent").then(0.01).when(pl.col("unit") == "fraction").then(1.0)
    # Back to a price and inverted again on the same forward, a volatility keeps its total variance: only the year that
    # the provider counts with changes it.
    return (
        rows.join(facts, on=["source", "underlying"], how="left", maintain_order="left")
        .with_columns(own=pl.col("provider_iv") * scale * (365.0 / pl.col("day_count")).sqrt())
        .drop("day_count")
    )


def _judged(rows: pl.DataFrame, now: datetime, settings: ConsensusSettings) -> pl.DataFrame:
    """iv, iv_from, se, age and reason of every row."""
    by_price = pl.col("iv_mid").is_not_null()
    seconds = (pl.lit(now) - pl.col("recv_ts")).dt.total_microseconds() / 1e6
    stood = (pl.lit(now) - pl.col("ts")).dt.total_microseconds()
    rows = rows.with_columns(
        iv=pl.when(by_price).then("iv_mid").otherwise("own"),
        iv_from=pl.when(by_price).then(pl.lit("price")).when(pl.col("own").is_not_null()).then(pl.lit("provider")),
        age=seconds,
    )
    spread = pl.col("iv_se").fill_null(settings.unknown_se)
    convention = pl.when(by_price).then(0.0).otherwise(settings.provider_se)
    drift = settings.vol_of_vol * pl.col("iv") * (stood.clip(0) / _YEAR_US).sqrt()
    error = (spread**2 + convention**2 + drift**2).sqrt()
    tests = {
        "FUTURE": pl.col("ts") > pl.col("recv_ts"),
        "STALE": pl.col("age") > pl.col("limit"),
        "STALE_QUOTE": stood > settings.max_quote_age_seconds * 1e6,
        "UNIT_UNKNOWN": pl.col("iv").is_null() & pl.col("provider_iv").is_not_null(),
        "NO_VOLATILITY": pl.col("iv").is_null(),
        "OUT_OF_RANGE": ~pl.col("iv").is_between(0.0, settings.max_iv, closed="right"),
    }
    reason = pl.lit(None, dtype=pl.String)
    for name in reversed(REASONS):
        reason = pl.when(tests[name].fill_null(False)).then(pl.lit(name)).otherwise(reason)
    return rows.with_columns(se=pl.max_horizontal(error, "floor"), reason=reason).drop("own", "floor", "limit")
