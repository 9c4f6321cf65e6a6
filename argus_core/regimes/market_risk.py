"""Market risk: votes of a basket of symbols for risk on or off (semantics §4)."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from argus_core.calendar import UTC_US
from argus_core.settings import RegimeSettings

#: Columns of the market-risk frame.
MARKET_RISK_SCHEMA = pl.Schema(
    {"available_at": UTC_US, "risk_regime": pl.String(), "votes_on": pl.Int32(), "votes_off": pl.Int32()}
)


def market_risk(
    regimes_by_symbol: Mapping[str, pl.DataFrame], basket: Mapping[str, str], settings: RegimeSettings
) -> pl.DataFrame:
    """RISK_ON, RISK_OFF, NEUTRAL or UNKNOWN at every moment at which the votes change.

    The newest regime of each basket symbol votes if it is warm: trend UP with volatility LOW or NORMAL +1; trend DOWN
    or a volatility SPIKE -1; anything else 0. The sign is flipped for members marked "off" (bonds, gold). Net votes of
    at least ``risk_vote_threshold`` are RISK_ON, at most its negative RISK_OFF; without any warm member UNKNOWN.

    Args:
        regimes_by_symbol: frames of `REGIME_SCHEMA`; symbols outside the basket are ignored, missing ones do not vote.
        basket: symbol -> "on" or "off".
        settings: vote threshold.

    Returns:
        Frame of `MARKET_RISK_SCHEMA`, sorted by available_at, one row per change; empty where no member has a row.
    """
    spike, calm = pl.col("vol_regime") == "SPIKE", pl.col("vol_regime").is_in(["LOW", "NORMAL"])
    vote = (
        pl.when(~pl.col("warm"))
        .then(None)
        .when(spike | (pl.col("trend_regime") == "DOWN"))
        .then(-1)
        .when((pl.col("trend_regime") == "UP") & calm)
        .then(1)
        .otherwise(0)
        .cast(pl.Int32)
    )
    members = [symbol for symbol in sorted(basket) if symbol in regimes_by_symbol]
    votes = [
        regimes_by_symbol[symbol]
        .sort("available_at", "ts")
        .unique("available_at", keep="last", maintain_order=True)
        .select("available_at", (vote if basket[symbol] == "on" else -vote).alias(symbol))
        for symbol in members
    ]
    if not votes:
        return pl.DataFrame(schema=MARKET_RISK_SCHEMA)
    moments = pl.concat([frame.select("available_at") for frame in votes]).unique().sort("available_at")
    for frame in votes:
        moments = moments.join_asof(frame, on="available_at", strategy="backward")
    on = pl.sum_horizontal([(pl.col(s) > 0).fill_null(value=False).cast(pl.Int32) for s in members])
    off = pl.sum_horizontal([(pl.col(s) < 0).fill_null(value=False).cast(pl.Int32) for s in members])
    warm = pl.any_horizontal([pl.col(s).is_not_null() for s in members])
    net = pl.col("votes_on") - pl.col("votes_off")
    columns = ["risk_regime", "votes_on", "votes_off"]
    return (
        moments.with_columns(votes_on=on.cast(pl.Int32), votes_off=off.cast(pl.Int32), heard=warm)
        .with_columns(
            risk_regime=pl.when(~pl.col("heard"))
            .then(pl.lit("UNKNOWN"))
            .when(net >= settings.risk_vote_threshold)
            .then(pl.lit("RISK_ON"))
            .when(net <= -settings.risk_vote_threshold)
            .then(pl.lit("RISK_OFF"))
            .otherwise(pl.lit("NEUTRAL"))
        )
        .filter(pl.struct(columns).ne_missing(pl.struct(columns).shift(1)) | (pl.int_range(pl.len()) == 0))
        .select(MARKET_RISK_SCHEMA.names())
        .cast(dict(MARKET_RISK_SCHEMA))
    )
