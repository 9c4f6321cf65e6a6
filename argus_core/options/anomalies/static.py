"""V, B, C, P: static arbitrage that survives the spread and fees, told once per quote at fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import polars as pl

from argus_core.options.anomalies.flags import Flag, money
from argus_core.options.surface.executable import Trade, executable_arbitrage
from argus_core.settings.option_anomalies import AnomalySettings


def static_flags(vols: pl.DataFrame, settings: AnomalySettings, forwards: pl.DataFrame | None = None) -> list[Flag]:
    """Flags of one snapshot.

    Args:
        vols: `ImpliedVols`.
        forwards: `Forwards` of the snapshot: standard errors of the forwards and the spot.
    """
    errors: dict[object, float] = {}
    spot = None
    if forwards is not None:
        known = forwards.filter(pl.col("forward_se").is_finite())
        errors = dict(zip(known["expiry_ts"].to_list(), known["forward_se"].to_list(), strict=True))
        spots = forwards["spot"].drop_nulls().drop_nans()
        spot = float(spots[0]) if len(spots) else None
    trades = executable_arbitrage(
        vols,
        american=vols["underlying"][0] not in settings.european,
        fee=settings.fee,
        multiplier=settings.multiplier,
        forward_se=errors,
        spot=spot,
        rate_error=settings.rate_error,
    )
    groups: dict[tuple[str, str], list[Trade]] = defaultdict(list)
    for trade in trades:
        groups[trade.kind, str(trade.expiry)].append(trade)
    return [flag for _, group in sorted(groups.items()) for flag in _by_fault(group)]


def _by_fault(trades: Sequence[Trade]) -> list[Flag]:
    """One flag per quote at fault: the contract in most trades, with the best of them; then the next."""
    left = sorted(trades, key=lambda trade: (-trade.net_edge, trade.legs))
    flags = []
    while left:
        count = Counter(contract for trade in left for contract, _ in trade.legs)
        most = max(count.values())
        # Ties: the first leg of the best trade is what was sold too dear.
        fault = next(contract for trade in left for contract, _ in trade.legs if count[contract] == most)
        mine = [trade for trade in left if any(contract == fault for contract, _ in trade.legs)]
        flags.append(_flag(mine, fault))
        left = [trade for trade in left if trade not in mine]
    return flags


def _flag(trades: Sequence[Trade], fault: str) -> Flag:
    best = trades[0]
    legs = sorted(best.legs, key=lambda leg: leg[0] != fault)
    orders = "; ".join(
        f"{'buy' if quantity > 0 else 'sell'} {abs(quantity):.4g} {contract}" for contract, quantity in legs
    )
    more = f" {len(trades) - 1} more trade(s) rest on {fault}." if len(trades) > 1 else ""
    return Flag(
        kind=best.kind,
        expiry=best.expiry,
        contracts=tuple(contract for contract, _ in legs),
        statistic=best.edge,
        threshold=0.0,
        p_value=None,
        edge=best.net_edge,
        explanation=f"{best.kind.capitalize()} arbitrage, {money(best.net_edge)} after fees: {orders}; {best.why}. "
        f"Look at {fault} first.{more}",
    )
