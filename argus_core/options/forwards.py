"""Implied forwards, carry and discount per expiry from put-call parity: C - P = discount (F - K).

Every strike near the money says one forward; they are averaged with weights 1/s^2, s the uncertainty of C - P by its
two spreads, and Huber's weights against bad quotes (P. Huber, Annals of Mathematical Statistics 35, 1964). American
prices lose their early-exercise premium first, which depends on the forward, so that both are found in turns.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.calendar import TradingCalendar
from argus_core.market.schemas import conform, empty
from argus_core.options.american import early_exercise_premium
from argus_core.options.hygiene import judged_quotes
from argus_core.options.normalised_black import implied_vols
from argus_core.options.schemas import Forwards
from argus_core.settings import Instrument
from argus_core.settings.option_chains import ExerciseSettings, ForwardSettings, OptionChainSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Why an expiry has no forward.
FORWARD_REASONS = ("EXPIRED", "NO_PAIRS", "OUT_OF_BOUNDS")
_HUBER, _REJECT, _ROUNDS, _SEEDS = 1.5, 6.0, 12, 5
_KEY = ("provider", "underlying", "recv_ts", "expiry", "expiry_ts", "settlement")


def forwards_of(
    quotes: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: OptionChainSettings,
    *,
    rate: float | None = None,
) -> pl.DataFrame:
    """One row of `Forwards` per snapshot and expiry (AM- and PM-settled ones of a day are two).

    Args:
        quotes: rows of `OptionQuotes` of one underlying: whole snapshots, each one ``recv_ts``.
        rate: continuously compounded interest; default: that of the settings on the day, or regressed
            (``settings.forwards.discount``) where exercise is European.

    Returns:
        ``spot`` is the price that stood with the quotes: implied by the expiries of the next days where they have
        forwards, else as quoted. ``carry`` and ``implied_yield`` refer to it. Rows without a forward say why.
    """
    rows = judged_quotes(quotes, instrument, calendar, settings)
    if rows.is_empty():
        return empty(Forwards)
    table = (
        rows.group_by(*_KEY, maintain_order=True)
        .agg(
            pl.col("t_cal", "t_var", "spot", "moment").first(),
        )
        .sort("recv_ts", "expiry_ts")
        .with_row_index("group")
    )
    pairs = _pairs(rows, table)
    t = table["t_cal"].to_numpy()
    days = table["moment"].dt.date()
    by_day = {
        day: settings.rate_on(day, crypto=instrument.is_crypto) if rate is None else rate for day in days.unique()
    }
    rates = days.replace_strict(by_day, return_dtype=pl.Float64).to_numpy().copy()
    snapshot = table["recv_ts"].rle_id().to_numpy()
    quoted = table["spot"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    groups = _Groups(pairs, len(t))
    discount = np.exp(-rates * np.maximum(t, 0.0))
    groups.keep(_near_money(groups, discount, settings.forwards))
    if rate is None and settings.forwards.discount == "parity" and not instrument.american:
        rates = _regressed_rates(groups, t, snapshot, rates, settings.forwards)
        discount = np.exp(-rates * np.maximum(t, 0.0))
    forward, se = _forwards(groups, groups.gap, discount)
    forward, se = _bounded(forward, se, quoted, t, settings.forwards)
    spot = _standing_spot(forward, se, rates, t, snapshot, quoted, settings.forwards)
    if instrument.american:
        for _ in range(settings.exercise.passes):
            dividend = shrunk_yields(forward, se, spot, rates, t, snapshot, settings.exercise)
            gap = groups.gap - _premium_gap(groups, forward, spot, rates, dividend, t, discount)
            forward, se = _forwards(groups, np.where(np.isfinite(gap), gap, groups.gap), discount)
            forward, se = _bounded(forward, se, quoted, t, settings.forwards)
            spot = _standing_spot(forward, se, rates, t, snapshot, quoted, settings.forwards)
    counts = np.bincount(groups.group, minlength=len(t)).astype(np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        carry = np.where(t > 0, np.log(forward / spot) / t, np.nan)
    known = np.isfinite(forward)
    reason = np.select([t <= 0, counts == 0, ~known], FORWARD_REASONS, default="")
    found = table.with_columns(
        pl.Series("spot", spot),
        pl.Series("forward", forward),
        pl.Series("forward_se", se),
        pl.Series("discount", discount),
        pl.Series("rate", rates),
        pl.Series("carry", carry),
        pl.Series("implied_yield", rates - carry),
        pl.Series("n_pairs", counts),
        pl.Series("reason", reason.tolist(), dtype=pl.String).replace("", None),
    )
    return conform(found.with_columns(pl.col(pl.Float64).fill_nan(None)), Forwards)


def shrunk_yields(
    forward: Floats, se: Floats, spot: Floats, rates: Floats, t: Floats, snapshot: Ints, settings: ExerciseSettings
) -> Floats:
    """Yield per expiry for the early-exercise premium, drawn towards the chain's where the expiry knows little.

    A forward known to a basis point still leaves the yield of tomorrow's expiry open by 4 %. The chain's yield is the
    median weighted by 1/se^2; the prior's standard deviation is ``settings.yield_prior``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        own = rates - np.log(forward / spot) / t
        # The spot is itself implied: a tenth of a basis point is the least that is doubtful.
        own_se = np.sqrt((se / forward) ** 2 + 1e-10) / t
    result = np.zeros(len(t))
    for number in np.unique(snapshot):
        part = np.flatnonzero(snapshot == number)
        good = part[np.isfinite(own[part]) & np.isfinite(own_se[part]) & (t[part] > 0)]
        if not len(good):
            continue
        centre = _weighted_median(own[good], 1.0 / (own_se[good] ** 2 + settings.yield_prior**2))
        weight = settings.yield_prior**2 / (settings.yield_prior**2 + own_se[good] ** 2)
        result[part] = centre
        result[good] = centre + weight * (own[good] - centre)
    return result


class _Groups:
    """Pairs of a call and a put, sorted by group; ``group`` numbers the snapshot's expiry."""

    def __init__(self, pairs: pl.DataFrame, size: int) -> None:
        self.group = pairs["group"].to_numpy().astype(np.int64)
        self.strike, self.call, self.put, self.sd = (pairs[name].to_numpy() for name in ("strike", "call", "put", "sd"))
        self.size = size

    @property
    def gap(self) -> Floats:
        return self.call - self.put

    def keep(self, rows: NDArray[np.bool_]) -> None:
        for name in ("group", "strike", "call", "put", "sd"):
            setattr(self, name, getattr(self, name)[rows])

    def total(self, values: Floats) -> Floats:
        """Sum per group."""
        return np.bincount(self.group, values, minlength=self.size).astype(float)


def _pairs(rows: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Clean call and put mids of one strike and expiry."""
    clean = (
        rows.filter(pl.col("reason").is_null())
        .select(
            "recv_ts",
            "expiry_ts",
            "strike",
            "right",
            mid=0.5 * (pl.col("bid") + pl.col("ask")),
            half=0.5 * (pl.col("ask") - pl.col("bid")),
        )
        .join(table.select("recv_ts", "expiry_ts", "group"), on=["recv_ts", "expiry_ts"])
    )
    sides = [clean.filter(pl.col("right") == right).unique(["group", "strike"], keep="none") for right in ("C", "P")]
    both = sides[0].join(sides[1], on=["group", "strike"], suffix="_put").sort("group", "strike")
    # A mid is uniform inside its spread; the floor keeps a locked pair from outweighing all others.
    sd = ((pl.col("half") ** 2 + pl.col("half_put") ** 2) / 3 + (1e-5 * pl.col("strike")) ** 2).sqrt()
    return both.select(pl.col("group").cast(pl.Int64), "strike", call="mid", put="mid_put", sd=sd)


def _near_money(groups: _Groups, discount: Floats, settings: ForwardSettings) -> NDArray[np.bool_]:
    """The strikes nearest to the money: inside the window, or among the five with the smallest |C - P|."""
    keep = np.zeros(len(groups.group), bool)
    starts = np.flatnonzero(np.diff(groups.group, prepend=-1))
    ends = np.append(starts[1:], len(groups.group))[: len(starts)]
    for start, end in zip(starts, ends, strict=True):
        d = discount[groups.group[start]]
        gap, strike = groups.gap[start:end], groups.strike[start:end]
        order = np.argsort(np.abs(gap), kind="stable")[:_SEEDS]
        centre = float(np.median(strike[order] + gap[order] / d))
        straddle = groups.call[start:end][order[0]] + groups.put[start:end][order[0]]
        # At the money a straddle costs .8 forward total_vol.
        reach = settings.window * straddle / (0.8 * d * centre) if centre > 0 else 0.0
        distance = np.abs(np.log(strike / centre)) if centre > 0 else np.abs(gap)
        inside = distance <= reach
        inside[order] = True
        chosen = np.flatnonzero(inside)
        chosen = chosen[np.argsort(distance[chosen], kind="stable")[: settings.max_pairs]]
        keep[start + chosen] = True
    return keep


def _forwards(groups: _Groups, gap: Floats, discount: Floats) -> tuple[Floats, Floats]:
    """Robust weighted mean of F = K + gap/discount and its standard error per group; NaN without pairs."""
    d = discount[groups.group]
    each, sd = groups.strike + gap / d, groups.sd / d
    centre = _group_medians(each, groups)
    base = 1.0 / sd**2
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_ROUNDS):
            weight = base * _huber((each - centre[groups.group]) / sd)
            centre = groups.total(weight * each) / groups.total(weight)
        # Huber's weights bound what a bad quote does; a last round without it takes its pull away.
        size = np.abs(each - centre[groups.group]) / sd
        scale = np.maximum(1.0, 1.4826 * _group_medians(size, groups))
        weight = weight * (size <= _REJECT * scale[groups.group])
        centre = groups.total(weight * each) / groups.total(weight)
        residual = each - centre[groups.group]
        spread = np.sqrt(groups.total((weight * residual) ** 2)) / groups.total(weight)
        # Never surer than the spreads allow.
        se = np.maximum(spread, 1.0 / np.sqrt(groups.total(base)))
    return centre, np.where(np.isfinite(centre), se, np.nan)


def _regressed_rates(groups: _Groups, t: Floats, snapshot: Ints, rates: Floats, settings: ForwardSettings) -> Floats:
    """One rate per snapshot from the slopes of C - P on K, pooled over its expiries; the given one where unsure."""
    base = 1.0 / groups.sd**2
    x, y, member = groups.strike, groups.gap, groups.group
    weight = base.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_ROUNDS):
            total = groups.total(weight)
            x_mean, y_mean = groups.total(weight * x) / total, groups.total(weight * y) / total
            dx, dy = x - x_mean[member], y - y_mean[member]
            spread = groups.total(weight * dx * dx)
            slope = groups.total(weight * dx * dy) / spread
            residual = dy - slope[member] * dx
            weight = base * _huber(residual / groups.sd)
        slope_se = np.maximum(np.sqrt(groups.total((weight * dx * residual) ** 2)) / spread, 1 / np.sqrt(spread))
        own, own_se = -np.log(-slope) / t, slope_se / (-slope * t)
    usable = np.isfinite(own) & np.isfinite(own_se) & (own_se > 0) & (t >= settings.min_years)
    usable &= np.bincount(member, minlength=len(t)) >= _SEEDS
    result = rates.copy()
    for number in np.unique(snapshot):
        part = snapshot == number
        good = np.flatnonzero(part & usable)
        if not len(good):
            continue
        precision = 1.0 / own_se[good] ** 2
        centre = _weighted_median(own[good], precision)
        if 1.0 / np.sqrt(precision.sum()) <= settings.max_rate_se and settings.min_rate <= centre <= settings.max_rate:
            result[part] = centre
    return result


def _bounded(
    forward: Floats, se: Floats, quoted: Floats, t: Floats, settings: ForwardSettings
) -> tuple[Floats, Floats]:
    """NaN where the forward is not positive, expired, or further from the quoted spot than any carry explains."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.abs(np.log(forward / quoted)) > settings.max_gap + settings.max_yield * np.maximum(t, 0.0)
    bad = ~(forward > 0) | far | (t <= 0)
    return np.where(bad, np.nan, forward), np.where(bad, np.nan, se)


def _standing_spot(
    forward: Floats, se: Floats, rates: Floats, t: Floats, snapshot: Ints, quoted: Floats, settings: ForwardSettings
) -> Floats:
    """Spot per row: F exp(-rate t) of the next days' expiries, median weighted by what their yields leave open."""
    result = quoted.copy()
    near = np.isfinite(forward) & (t * 365.0 <= settings.spot_days)
    for number in np.unique(snapshot):
        part = snapshot == number
        rows = np.flatnonzero(part & near)
        if len(rows):
            doubt = se[rows] ** 2 + (0.05 * t[rows] * forward[rows]) ** 2
            result[part] = _weighted_median(forward[rows] * np.exp(-rates[rows] * t[rows]), 1.0 / doubt)
            continue
        known = np.flatnonzero(part & np.isfinite(forward))
        if len(known) and np.isnan(quoted[part]).all():
            result[part] = forward[known[0]] * np.exp(-rates[known[0]] * t[known[0]])
    return result


def _premium_gap(
    groups: _Groups, forward: Floats, spot: Floats, rates: Floats, dividend: Floats, t: Floats, discount: Floats
) -> Floats:
    """Early-exercise premium of the call less that of the put, per pair, both at the out-of-the-money volatility."""
    f, s, r, q, years, d = (a[groups.group] for a in (forward, spot, rates, dividend, t, discount))
    call = groups.strike >= f
    price = np.where(call, groups.call, groups.put)
    vol = implied_vols(price, f, groups.strike, years, call, d).iv
    # Once more at the volatility without the premium; what is left of its error is of second order.
    outside = early_exercise_premium(s, groups.strike, years, vol, call, r, q)
    vol = implied_vols(price - np.nan_to_num(outside), f, groups.strike, years, call, d).iv
    sides = [early_exercise_premium(s, groups.strike, years, vol, side, r, q) for side in (True, False)]
    return sides[0] - sides[1]


def _huber(z: Floats) -> Floats:
    size = np.abs(z)
    return np.where(size > _HUBER, _HUBER / np.where(size > 0, size, 1.0), 1.0)


def _group_medians(values: Floats, groups: _Groups) -> Floats:
    result = np.full(groups.size, np.nan)
    order = np.lexsort((values, groups.group))
    member = groups.group[order]
    starts = np.flatnonzero(np.diff(member, prepend=-1))
    counts = np.diff(starts, append=len(member))
    low, high = values[order][starts + (counts - 1) // 2], values[order][starts + counts // 2]
    result[member[starts]] = 0.5 * (low + high)
    return result


def _weighted_median(values: Floats, weights: Floats) -> float:
    """The value at which half of the weight lies below, linear between the two around it."""
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    share = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
    return float(np.interp(0.5, share, values))
