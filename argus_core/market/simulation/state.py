"""The daily path of every symbol: variance, implied volatility, gaps, session returns, jumps.

A path is drawn once for all sessions of the calendar from ``first_date`` on; each session's shocks are keyed by
(seed, symbol, session), so neither a longer calendar nor the order of calls changes a day. Given its variance, a gap or
a session is normal with mean -variance/2: prices are martingales in simple returns unless a drift is added on purpose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from argus_core.calendar import TradingCalendar
from argus_core.market.simulation.parameters import (
    OWN,
    REFERENCE_CORRELATION,
    REFERENCE_ORDER,
    SYMBOLS,
    VARIANCE,
    SymbolModel,
    VarianceModel,
)
from argus_core.market.simulation.random import inverse_gamma_mix, normals, stream_key, uniforms
from argus_core.settings import Instrument, SimulationSettings

#: Minutes of a full regular session.
FULL_SESSION = 390
#: Share of sessions that follow a weekend or holiday: keeps the mean gap variance when the weekend ratio varies.
_AFTER_BREAK = 0.215
_MAX_JUMPS = 3


@dataclass(frozen=True)
class Sessions:
    """The sessions of a simulation: ``ordinals``, ``opens``, ``closes`` (UTC microseconds), all of one length.

    ``minutes`` is the length of the regular session, ``after_break`` marks sessions whose gap spans more than a night,
    ``previous_close`` is the close of the session before (a day before the close where there is none).
    """

    ordinals: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    previous_close: np.ndarray

    @classmethod
    def of(cls, calendar: TradingCalendar, settings: SimulationSettings) -> Sessions:
        table = calendar.sessions
        first = int((table["date"] < settings.first_date).sum())
        opens = table["open_ts"].dt.timestamp("us").to_numpy()
        closes = table["close_ts"].dt.timestamp("us").to_numpy()
        previous = np.concatenate([[closes[0] - 86_400_000_000], closes[:-1]])
        ordinals = np.array([d.toordinal() for d in table["date"]], np.int64)
        return cls(ordinals[first:], opens[first:], closes[first:], previous[first:])

    @cached_property
    def minutes(self) -> np.ndarray:
        return (self.closes - self.opens) // 60_000_000

    @cached_property
    def after_break(self) -> np.ndarray:
        return (self.opens - self.previous_close) > 24 * 3_600_000_000


@dataclass(frozen=True)
class DailyPath:
    """One symbol, one row per session; logs of prices before rounding.

    ``variance`` is the diffusive variance of the session, ``drift`` the sum of its deterministic part, ``shock`` the
    normal shock of the session, ``jumps`` (sessions x slots) the log jumps (0: none).
    """

    log_open: np.ndarray
    log_close: np.ndarray
    variance: np.ndarray
    gap_variance: np.ndarray
    shock: np.ndarray
    drift: np.ndarray
    jumps: np.ndarray


@dataclass(frozen=True)
class MarketPath(DailyPath):
    """SPY, with the state that drives every symbol: log IV30 before and after each session, the fast factor, shocks."""

    iv_before: np.ndarray = field(default_factory=lambda: np.empty(0))
    iv_after: np.ndarray = field(default_factory=lambda: np.empty(0))
    iv_own_shock: np.ndarray = field(default_factory=lambda: np.empty(0))
    iv_scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    fast_before: np.ndarray = field(default_factory=lambda: np.empty(0))
    fast_after: np.ndarray = field(default_factory=lambda: np.empty(0))
    log_level: np.ndarray = field(default_factory=lambda: np.empty(0))
    expected_variance: np.ndarray = field(default_factory=lambda: np.empty(0))
    gap_shock: np.ndarray = field(default_factory=lambda: np.empty(0))
    gap_mix: np.ndarray = field(default_factory=lambda: np.empty(0))
    jump_units: np.ndarray = field(default_factory=lambda: np.empty(0))


def model_of(instrument: Instrument, seed: int) -> SymbolModel:
    """The model of a symbol; one that is not in the table gets a plausible one, drawn from its name."""
    known = SYMBOLS.get(instrument.symbol)
    if known is not None:
        return known
    u = uniforms(stream_key(seed, instrument.symbol, "model"), 0, 4)
    price = float(20.0 * 10.0 ** u[0])
    if instrument.asset_class == "crypto":
        return SymbolModel("bitcoin", price, 3.0, 0.5, 0.6, 2.0, 0.0, 1e6)
    if instrument.asset_class == "fx":
        return SymbolModel("currency", 1.0 + float(u[0]), 0.55, 0.1, 0.03, 1.2, 0.0, 0.0)
    family = "reference" if instrument.bar_seconds >= 86_400 else "equity"
    return SymbolModel(family, price, float(1.0 + u[1]), float(0.3 + 0.5 * u[2]), day_volume=float(10.0 ** (6 + u[3])))


def jump_table(
    key: np.uint64, days: np.ndarray, rate: np.ndarray | float, slots: int, down: float, size: float, spread: float
) -> np.ndarray:
    """Signed jump sizes in session standard deviations, shape (days, slots), 0 where there is none.

    Counts are Poisson with mean ``rate`` (cut at ``slots``), sizes lognormal with median ``size``.
    """
    u = uniforms(key, days, 1 + 2 * slots)
    rate = np.broadcast_to(np.asarray(rate, float), days.shape)
    probability = np.exp(-rate)
    below = probability.copy()
    count = np.zeros(days.shape, np.int64)
    for k in range(1, slots + 1):
        count += u[:, 0] > below
        probability = probability * rate / k
        below = below + probability
    sign = np.where(u[:, 1 : 1 + slots] < down, -1.0, 1.0)
    # A logistic draw scaled to unit variance stands in for the normal: one uniform per jump.
    v = u[:, 1 + slots :]
    magnitude = size * np.exp(spread * np.log(v / (1.0 - v)) * math.sqrt(3.0) / math.pi)
    return np.where(np.arange(slots) < count[:, None], sign * magnitude, 0.0)


def jump_compensation(jumps: np.ndarray) -> np.ndarray:
    """Log jumps whose simple return has mean zero when both signs are equally likely: x - log cosh x."""
    return np.where(jumps != 0.0, jumps - np.log(np.cosh(jumps)), 0.0)


def ar1(shocks: np.ndarray, persistence: float, spread: float) -> np.ndarray:
    """Stationary AR(1) with standard deviation ``spread``, driven by standard normal ``shocks``."""
    out = np.empty_like(shocks)
    scale = spread * math.sqrt(1.0 - persistence**2)
    value = spread * float(shocks[0])
    for i, shock in enumerate(shocks.tolist()):
        value = persistence * value + scale * shock if i else value
        out[i] = value
    return out


def weekend_scale(after_break: np.ndarray, ratio: float) -> np.ndarray:
    """Multipliers of the gap variance, mean 1 over all sessions."""
    weekday = 1.0 / (1.0 - _AFTER_BREAK + _AFTER_BREAK * ratio**2)
    return np.where(after_break, weekday * ratio**2, weekday)


def overnight_drift(settings: SimulationSettings, model: SymbolModel) -> float:
    """Mean simple return of a gap: calibrated mean (none in `null` mode) plus what is planted in minute ETFs."""
    calibrated = model.overnight_mean_bp if settings.mode == "calibrated" else 0.0
    planted = settings.planted.overnight_drift_bp if model.family == "equity" else 0.0
    return (calibrated + planted) * 1e-4


def market_path(settings: SimulationSettings, sessions: Sessions, model: VarianceModel = VARIANCE) -> MarketPath:
    """Draw SPY's daily path.

    In `null` mode implied volatility has normal shocks of its own (no leverage) and jumps are symmetric, so that the
    state is independent of the direction of prices.
    """
    calibrated = settings.mode == "calibrated"
    days, symbol = sessions.ordinals, SYMBOLS["SPY"]

    def key(stream: str) -> np.uint64:
        return stream_key(settings.seed, "SPY", stream)

    z = normals(key("daily"), days, 5)
    gap_shock, shock, fast_shock, iv_normal, start = z.T
    gap_mix = inverse_gamma_mix(uniforms(key("gap-mix"), days, 2), model.overnight_cap)
    own = iv_normal
    if calibrated:
        own = own * np.sqrt(inverse_gamma_mix(uniforms(key("iv-mix"), days, 2), model.iv_shock_cap))
    down = model.jump_down_share if calibrated else 0.5
    units = jump_table(
        key("jumps"), days, model.jumps_per_day, _MAX_JUMPS, down, model.jump_size, model.jump_size_spread
    )
    # The mean of the jumps is given back as a drift, so that the session has none.
    mean_jump = model.jump_size * (math.pi * _k(model)) / math.sin(math.pi * _k(model))
    give_back = model.jumps_per_day * (2.0 * down - 1.0) * mean_jump

    ratio = symbol.overnight_share / (1.0 - symbol.overnight_share)
    break_scale = weekend_scale(sessions.after_break, symbol.weekend_ratio)
    length = sessions.minutes / FULL_SESSION if sessions.minutes.max() <= FULL_SESSION else np.ones(len(days))
    leverage = model.leverage if calibrated else 0.0
    rest = math.sqrt(1.0 - leverage**2)
    half_fast = 0.5 * model.fast_shock**2
    # Normalised so that the mean square of the scale is 1.
    curvature = model.curvature if calibrated else 0.0
    power = model.iv_shock_on_fast if calibrated else 0.0
    even = power**2 * model.fast_shock**2 / (1.0 - model.fast_persistence**2)
    fast = float(start[0]) * model.fast_shock / math.sqrt(1.0 - model.fast_persistence**2)
    x = float(iv_normal[0]) * model.iv_shock / math.sqrt(1.0 - model.iv_persistence**2)
    jump_sum = units.sum(axis=1) + give_back

    count = len(days)
    columns = np.empty((8, count))
    inputs = zip(
        (ratio * break_scale).tolist(),
        gap_mix.tolist(),
        gap_shock.tolist(),
        length.tolist(),
        shock.tolist(),
        jump_sum.tolist(),
        fast_shock.tolist(),
        own.tolist(),
        strict=True,
    )
    for i, (gap_ratio, mix, g_gap, part, g, jump, g_fast, g_own) in enumerate(inputs):
        level = model.level + model.loading * x + curvature * min(x, model.curvature_end) ** 2
        expected = math.exp(level + model.fast_persistence * fast + half_fast)
        gap_variance = gap_ratio * expected
        new_fast = model.fast_persistence * fast + model.fast_shock * g_fast
        variance = math.exp(level + new_fast) * part
        total = math.sqrt(gap_variance + variance)
        move = (math.sqrt(mix * gap_variance) * g_gap + math.sqrt(variance) * (g + jump)) / total
        scale = model.iv_shock * math.exp(power * new_fast - even)
        new_x = model.iv_persistence * x + scale * (rest * g_own - leverage * move)
        columns[:, i] = (x, new_x, fast, new_fast, level, expected, variance, scale)
        x, fast = new_x, new_fast
    iv_before, iv_after, fast_before, fast_after, level, expected, variance, iv_scale = columns
    gap_variance = ratio * break_scale * expected * gap_mix
    jumps = jump_compensation(units * np.sqrt(variance)[:, None])
    gap = np.sqrt(gap_variance) * gap_shock - 0.5 * gap_variance + math.log1p(overnight_drift(settings, symbol))
    drift = -0.5 * variance + give_back * np.sqrt(variance)
    log_open, log_close = _levels(symbol.price, gap, drift + np.sqrt(variance) * shock + jumps.sum(axis=1))
    return MarketPath(
        log_open=log_open,
        log_close=log_close,
        variance=variance,
        gap_variance=gap_variance,
        shock=shock,
        drift=drift,
        jumps=jumps,
        iv_before=iv_before + model.iv_mean,
        iv_after=iv_after + model.iv_mean,
        iv_own_shock=own * rest * iv_scale,
        iv_scale=iv_scale,
        fast_before=fast_before,
        fast_after=fast_after,
        log_level=level,
        expected_variance=expected,
        gap_shock=gap_shock,
        gap_mix=gap_mix,
        jump_units=units,
    )


def _k(model: VarianceModel) -> float:
    # E[exp(s * logistic)] = pi k / sin(pi k) with k = s sqrt(3) / pi.
    return model.jump_size_spread * math.sqrt(3.0) / math.pi


def _levels(price: float, gap: np.ndarray, session: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log opens and closes; the first session opens at ``price``."""
    gap = gap.copy()
    gap[0] = 0.0
    log_close = math.log(price) + np.cumsum(gap + session)
    return log_close - session, log_close


def reference_weights(symbol: str, model: SymbolModel) -> dict[str, float]:
    """Loadings of a symbol's normal shock on independent shocks, keyed by the symbol that owns each.

    The first is always SPY's. Reference symbols use the Cholesky factor of the measured correlation matrix.
    """
    if symbol not in REFERENCE_ORDER:
        return {"SPY": model.market_correlation, symbol: math.sqrt(1.0 - model.market_correlation**2)}
    correlation = REFERENCE_CORRELATION.copy()
    # A close-to-close correlation is weaker than that of the shocks: SPY moves by day where the others move by night.
    share = np.array([SYMBOLS[name].overnight_share for name in REFERENCE_ORDER])
    overlap = np.sqrt(share[0] * share) + np.sqrt((1 - share[0]) * (1 - share))
    correlation[0, 1:] /= overlap[1:]
    correlation[1:, 0] = correlation[0, 1:]
    values, vectors = np.linalg.eigh(correlation)
    correlation = (vectors * np.maximum(values, 1e-4)) @ vectors.T
    scale = np.sqrt(np.diag(correlation))
    factor = np.linalg.cholesky(correlation / np.outer(scale, scale))
    row = REFERENCE_ORDER.index(symbol)
    return {name: float(factor[row, k]) for k, name in enumerate(REFERENCE_ORDER[: row + 1])}


def symbol_path(
    settings: SimulationSettings, sessions: Sessions, market: MarketPath, symbol: str, model: SymbolModel
) -> DailyPath:
    """Draw the daily path of an ETF or currency that shares SPY's variance state and part of its shocks."""
    days, spy = sessions.ordinals, SYMBOLS["SPY"]
    weights = reference_weights(symbol, model)
    gap_shock = weights["SPY"] * market.gap_shock
    shock = weights["SPY"] * market.shock
    for name, weight in weights.items():
        if name != "SPY":
            z = normals(stream_key(settings.seed, name, "daily"), days, 2)
            gap_shock = gap_shock + weight * z[:, 0]
            shock = shock + weight * z[:, 1]
    own = ar1(
        normals(stream_key(settings.seed, symbol, "variance"), days, 1)[:, 0], OWN.persistence, model.own_variance
    )
    # What the symbol's own factor is expected to be before the session: the gap must not know the session's shock.
    own_before = OWN.persistence * np.concatenate([[0.0], own[:-1]])
    share, scale = model.overnight_share, model.volatility**2 / (1.0 - spy.overnight_share)
    center = 0.5 * model.own_variance**2
    variance = market.variance * (1.0 - share) * scale * np.exp(own - center)
    expected_own = np.exp(own_before + 0.5 * (1 - OWN.persistence**2) * model.own_variance**2 - center)
    break_scale = weekend_scale(sessions.after_break, model.weekend_ratio)
    gap_variance = market.expected_variance * share * scale * break_scale * expected_own * market.gap_mix
    units = market.jump_units * weights["SPY"]
    jumps = jump_compensation(units * np.sqrt(variance)[:, None])
    down = VARIANCE.jump_down_share if settings.mode == "calibrated" else 0.5
    mean_jump = VARIANCE.jump_size * (math.pi * _k(VARIANCE)) / math.sin(math.pi * _k(VARIANCE))
    give_back = weights["SPY"] * VARIANCE.jumps_per_day * (2.0 * down - 1.0) * mean_jump
    gap = np.sqrt(gap_variance) * gap_shock - 0.5 * gap_variance + math.log1p(overnight_drift(settings, model))
    drift = -0.5 * variance + give_back * np.sqrt(variance)
    log_open, log_close = _levels(model.price, gap, drift + np.sqrt(variance) * shock + jumps.sum(axis=1))
    return DailyPath(log_open, log_close, variance, gap_variance, shock, drift, jumps)
