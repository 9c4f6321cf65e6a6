"""What a chain says: implied forward, volatility and delta per expiry, at-the-money volatility.

Every figure is computed on first use and kept on the snapshot, so a sweep of many runs pays once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from argus_core.options.greeks import greeks
from argus_core.options.normalised_black import implied_vols
from argus_core.options.tape import OptionSnapshot

#: Hour at which an expiry's life ends: the regular close in New York.
EXPIRY_TIME, EXPIRY_ZONE = time(16), ZoneInfo("America/New_York")
_YEAR_US = 365 * 86_400 * 1_000_000
_PARITY_STRIKES = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExpirySlice:
    """One expiry of a snapshot, sorted by strike then right.

    Attributes:
        expiry: last day.
        days: calendar days from the snapshot's trade day in New York to the expiry.
        years: calendar time to 16:00 New York of the expiry, in years of 365 days.
        forward: implied by put-call parity; NaN where no strike has both sides quoted.
        contract, strike, call, bid, ask, bid_size, ask_size, iv, delta, open_interest: one entry per contract.
            iv is a fraction, of the mid; delta is signed (puts negative), per unit of spot where the chain names
            one, else of the forward.
        age: seconds from the time at which each quote stood to the receipt; NaN where unknown.
    """

    expiry: date
    days: int
    years: float
    forward: float
    contract: list[str]
    strike: Floats
    call: NDArray[np.bool_]
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats
    iv: Floats
    delta: Floats
    open_interest: Floats
    age: Floats

    @property
    def two_sided(self) -> NDArray[np.bool_]:
        """Whether a contract has a bid above zero and an ask at or above it."""
        with np.errstate(invalid="ignore"):
            return (self.bid > 0) & (self.ask >= self.bid)


def implied_forward(strike: Floats, call_mid: Floats, put_mid: Floats, discount: float = 1.0) -> float:
    """Forward by put-call parity F = K + (C - P)/discount: median over the strikes nearest to the money.

    The nearest strikes are those with the smallest |C - P|: there the discount hardly matters and quotes are tight.

    Args:
        strike, call_mid, put_mid: shape (strikes,); NaN where a side is not quoted.

    Returns:
        The forward, NaN where no strike has both.
    """
    gap = call_mid - put_mid
    usable = np.flatnonzero(np.isfinite(gap))
    if not len(usable):
        return float("nan")
    near = usable[np.argsort(np.abs(gap[usable]), kind="stable")[:_PARITY_STRIKES]]
    return float(np.median(strike[near] + gap[near] / discount))


def expiry_slice(snapshot: OptionSnapshot, expiry: date, *, rate: float = 0.0) -> ExpirySlice:
    """Analyse one expiry of ``snapshot``: volatilities of its own prices, and greeks at them.

    A mid that has a volatility is inverted by `argus_core.options.normalised_black`, whatever the provider says: its
    forward, its clock and its unit may be others. What has none (no bid, no forward, outside the bounds) keeps the
    provider's volatility and delta, where it gives them. An American contract in the money inverts to a volatility
    that is too high; selection uses contracts out of the money only, where the bias is below .002 at 45 days.

    Args:
        rate: continuously compounded interest for discounting.

    Raises:
        KeyError: if the snapshot does not hold ``expiry``.
    """
    key = ("slice", expiry, rate)
    known = snapshot.cache.get(key)
    if known is None:
        known = snapshot.cache[key] = _analyse(snapshot, expiry, rate)
    return known


def _analyse(snapshot: OptionSnapshot, expiry: date, rate: float) -> ExpirySlice:
    rows = snapshot.expiry_rows[expiry]
    c = {name: values[rows] for name, values in snapshot.columns.items()}
    call = snapshot.calls[rows]
    quote_us = int(snapshot.ts_us[rows].max())
    end_us = int(datetime.combine(expiry, EXPIRY_TIME, EXPIRY_ZONE).timestamp()) * 1_000_000
    years = max(end_us - quote_us, 0) / _YEAR_US
    today = datetime.fromtimestamp(quote_us / 1e6, EXPIRY_ZONE).date()
    with np.errstate(invalid="ignore"):
        mid = np.where((c["bid"] > 0) & (c["ask"] >= c["bid"]), 0.5 * (c["bid"] + c["ask"]), np.nan)
    discount = float(np.exp(-rate * years))
    strikes = np.unique(c["strike"])
    sides = []
    for right in (True, False):
        side = np.full(len(strikes), np.nan)
        side[np.searchsorted(strikes, c["strike"][call == right])] = mid[call == right]
        sides.append(side)
    forward = implied_forward(strikes, sides[0], sides[1], discount)
    own = implied_vols(mid, forward, c["strike"], years, call, discount).iv
    priced = np.isfinite(own)
    with np.errstate(invalid="ignore"):
        iv = np.where(priced, own, np.where(c["iv"] > 0, c["iv"], np.nan))
        spots = c["underlying_price"][c["underlying_price"] > 0]
    spot = float(np.median(spots)) if len(spots) else None
    delta = greeks(forward, c["strike"], years, iv, call, discount, spot=spot).delta
    delta = np.where(priced | np.isnan(c["delta"]), delta, c["delta"])
    return ExpirySlice(
        expiry,
        (expiry - today).days,
        years,
        forward,
        snapshot.contracts[rows],
        c["strike"],
        call,
        c["bid"],
        c["ask"],
        c["bid_size"],
        c["ask_size"],
        iv,
        delta,
        c["open_interest"],
        (snapshot.recv_us - snapshot.ts_us[rows]) / 1e6,
    )


def expiries(snapshot: OptionSnapshot) -> list[tuple[date, int]]:
    """Expiries of the snapshot with their calendar days from its newest quote's day in New York, ascending."""
    known = snapshot.cache.get("expiries")
    if known is None:
        today = datetime.fromtimestamp(int(snapshot.ts_us.max()) / 1e6, EXPIRY_ZONE).date()
        known = snapshot.cache["expiries"] = [(day, (day - today).days) for day in snapshot.expiry_rows]
    return known


def atm_vol(part: ExpirySlice) -> float:
    """Volatility at the forward, between the nearest strikes, from out-of-the-money contracts; NaN if unknown."""
    outside = np.isfinite(part.iv) & part.two_sided & (part.call == (part.strike >= part.forward))
    if not np.isfinite(part.forward) or not outside.any():
        return float("nan")
    strike, iv = part.strike[outside], part.iv[outside]
    order = np.argsort(strike, kind="stable")
    return float(np.interp(part.forward, strike[order], iv[order]))


def atm_vol_at(snapshot: OptionSnapshot, days: float = 30.0, *, rate: float = 0.0) -> float:
    """At-the-money volatility at ``days`` calendar days, total variance interpolated linearly between expiries.

    Outside the listed expiries the nearest one's volatility is used. NaN where no expiry within 3 days and twice
    ``days`` has a usable volatility.
    """
    key = ("atm", days, rate)
    known = snapshot.cache.get(key)
    if known is not None:
        return known
    listed = [(day, left) for day, left in expiries(snapshot) if 3 <= left <= 2 * days]
    below = [item for item in listed if item[1] <= days][::-1]
    above = [item for item in listed if item[1] > days]
    points = []
    for side in (below, above):
        for day, _ in side:
            part = expiry_slice(snapshot, day, rate=rate)
            vol = atm_vol(part)
            if np.isfinite(vol):
                points.append((part.years, vol * vol * part.years))
                break
    value = float("nan")
    if points:
        times = [p[0] for p in points]
        wanted = float(np.clip(days / 365, times[0], times[-1]))
        value = float(np.sqrt(np.interp(wanted, times, [p[1] for p in points]) / wanted))
    snapshot.cache[key] = value
    return value
