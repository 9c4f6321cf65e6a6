"""Numbers of the simulated market: measured facts (market-data.md §4) and what was fitted to reproduce them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Family = Literal["equity", "reference", "bitcoin", "currency"]


@dataclass(frozen=True)
class SymbolModel:
    """How one symbol moves.

    Attributes:
        family: `equity` follows SPY's minutes, `reference` is daily, `bitcoin` trades around the clock.
        price: price at the first simulated open.
        volatility: close-to-close volatility as a multiple of SPY's.
        market_correlation: correlation of its normal shocks with SPY's.
        overnight_share: share of the close-to-close variance that happens between close and open.
        weekend_ratio: sd of a gap over a weekend or holiday over that of a weekday's gap.
        overnight_mean_bp: mean of the gap in calibrated mode, basis points.
        day_volume: median volume of a session.
        own_variance: sd of its log variance beyond SPY's.
    """

    family: Family
    price: float
    volatility: float
    market_correlation: float
    overnight_share: float = 0.352
    weekend_ratio: float = 1.45
    overnight_mean_bp: float = 3.3
    day_volume: float = 5e6
    own_variance: float = 0.35


SYMBOLS: dict[str, SymbolModel] = {
    "SPY": SymbolModel("equity", 477.0, 1.0, 1.0, day_volume=38.7e6),
    "QQQ": SymbolModel("equity", 399.0, 1.33, 0.99, 0.343, 1.3, day_volume=48e6, own_variance=0.18),
    "IWM": SymbolModel("equity", 224.0, 1.37, 0.86, 0.351, 1.3, day_volume=28e6),
    "DIA": SymbolModel("equity", 363.0, 0.9, 0.93, day_volume=3.5e6),
    "GLD": SymbolModel("equity", 171.0, 0.88, 0.12, 0.584, 1.13, day_volume=7e6),
    "SMH": SymbolModel("equity", 152.0, 1.9, 0.86, day_volume=7e6),
    "TLT": SymbolModel("equity", 146.0, 0.96, 0.05, 0.555, 1.04, 0.0, day_volume=32e6),
    "XLE": SymbolModel("equity", 57.0, 1.55, 0.55, day_volume=17e6),
    "XLF": SymbolModel("equity", 39.5, 1.15, 0.82, day_volume=38e6),
    "XLK": SymbolModel("equity", 175.0, 1.35, 0.94, day_volume=6e6),
    "EWJ": SymbolModel("reference", 67.0, 1.02, 0.72, 0.685, 1.10, 1.0, day_volume=7e6),
    "FXI": SymbolModel("reference", 36.5, 1.90, 0.54, 0.735, 1.00, 1.0, day_volume=30e6),
    "EWT": SymbolModel("reference", 66.0, 1.23, 0.70, 0.707, 1.28, 1.0, day_volume=4e6),
    "EWY": SymbolModel("reference", 78.0, 1.40, 0.68, 0.731, 1.19, 1.0, day_volume=3e6),
    "INDA": SymbolModel("reference", 46.0, 0.96, 0.61, 0.784, 1.23, 1.0, day_volume=4e6),
    "EWG": SymbolModel("reference", 33.0, 1.22, 0.77, 0.675, 1.13, 1.0, day_volume=3e6),
    "EWU": SymbolModel("reference", 33.0, 1.01, 0.77, 0.653, 1.21, 1.0, day_volume=3e6),
    "FEZ": SymbolModel("reference", 47.0, 1.23, 0.79, 0.658, 1.17, 1.0, day_volume=2e6),
    "EWL": SymbolModel("reference", 52.0, 0.93, 0.74, 0.648, 0.98, 1.0, day_volume=8e5),
    "USDJPY": SymbolModel("currency", 115.2, 0.55, 0.14, 0.03, 1.2, 0.0, day_volume=0.0),
    "BTC": SymbolModel("bitcoin", 46_500.0, 3.0, 0.5, 0.6, 2.0, 0.0, day_volume=26_000.0),
    "IBIT": SymbolModel("equity", 26.4, 3.0, 0.5, 0.588, 2.0, 0.0, day_volume=38e6),
}

#: Correlations of daily close-to-close returns, order SPY EWJ FXI EWT EWY INDA EWG EWU FEZ EWL USDJPY (EZU for FEZ).
REFERENCE_ORDER = ("SPY", "EWJ", "FXI", "EWT", "EWY", "INDA", "EWG", "EWU", "FEZ", "EWL", "USDJPY")
REFERENCE_CORRELATION = np.array(
    [
        [1.0, 0.72, 0.54, 0.7, 0.68, 0.61, 0.77, 0.77, 0.79, 0.74, 0.14],
        [0.72, 1.0, 0.52, 0.65, 0.63, 0.53, 0.69, 0.69, 0.71, 0.65, 0.1],
        [0.54, 0.52, 1.0, 0.63, 0.63, 0.48, 0.56, 0.57, 0.58, 0.52, 0.07],
        [0.7, 0.65, 0.63, 1.0, 0.79, 0.58, 0.66, 0.65, 0.68, 0.6, 0.07],
        [0.68, 0.63, 0.63, 0.79, 1.0, 0.59, 0.67, 0.67, 0.69, 0.62, 0.03],
        [0.61, 0.53, 0.48, 0.58, 0.59, 1.0, 0.6, 0.62, 0.62, 0.57, 0.13],
        [0.77, 0.69, 0.56, 0.66, 0.67, 0.6, 1.0, 0.85, 0.97, 0.83, 0.11],
        [0.77, 0.69, 0.57, 0.65, 0.67, 0.62, 0.85, 1.0, 0.88, 0.81, 0.11],
        [0.79, 0.71, 0.58, 0.68, 0.69, 0.62, 0.97, 0.88, 1.0, 0.85, 0.12],
        [0.74, 0.65, 0.52, 0.6, 0.62, 0.57, 0.83, 0.81, 0.85, 1.0, 0.06],
        [0.14, 0.1, 0.07, 0.07, 0.03, 0.13, 0.11, 0.11, 0.12, 0.06, 1.0],
    ]
)

#: Half-hour shares of a full session from 09:30: variance and volume; then the shares of the first and last 5 minutes.
SPY_VARIANCE = (
    0.1386, 0.1314, 0.0953, 0.0728, 0.0609, 0.0538, 0.0523, 0.0565, 0.0543, 0.0633, 0.0590, 0.0566, 0.1052,
)  # fmt: skip
SPY_VOLUME = (
    0.1138, 0.0863, 0.0704, 0.0644, 0.0548, 0.0495, 0.0477, 0.0486, 0.0489, 0.0602, 0.0614, 0.0742, 0.2198,
)  # fmt: skip
QQQ_VARIANCE = (
    0.2315, 0.1264, 0.0962, 0.0777, 0.0716, 0.0565, 0.0551, 0.0488, 0.0442, 0.0443, 0.0508, 0.0365, 0.0604,
)  # fmt: skip
QQQ_VOLUME = (
    0.1544, 0.1017, 0.0836, 0.0750, 0.0686, 0.0612, 0.0545, 0.0535, 0.0515, 0.0532, 0.0564, 0.0558, 0.1307,
)  # fmt: skip
SPY_ENDS = ((0.0361, 0.0289), (0.0351, 0.0973))
QQQ_ENDS = ((0.0636, 0.0157), (0.0385, 0.0518))

#: Bitcoin: share of a day's variance and volume per UTC hour.
BTC_HOUR_VARIANCE = (
    0.0420, 0.0476, 0.0348, 0.0259, 0.0227, 0.0210, 0.0240, 0.0253, 0.0262, 0.0251, 0.0226, 0.0232,
    0.0431, 0.0582, 0.0866, 0.0720, 0.0579, 0.0589, 0.0519, 0.0488, 0.0536, 0.0535, 0.0449, 0.0302,
)  # fmt: skip
BTC_HOUR_VOLUME = (
    0.0380, 0.0383, 0.0364, 0.0323, 0.0295, 0.0284, 0.0312, 0.0383, 0.0364, 0.0345, 0.0327, 0.0338,
    0.0435, 0.0556, 0.0755, 0.0708, 0.0592, 0.0516, 0.0460, 0.0455, 0.0442, 0.0348, 0.0322, 0.0315,
)  # fmt: skip
BTC_WEEKEND_VARIANCE = 0.411
BTC_WEEKEND_VOLUME = 0.488
BTC_FULL_HOUR_VARIANCE = 1.31


@dataclass(frozen=True)
class VarianceModel:
    """Daily variance of SPY's session and its implied volatility, both on a log scale.

    ``x`` = log IV30 follows an AR(1); log session variance = ``level`` + ``loading`` * (x of the day before - mean) +
    a fast AR(1) factor. Fitted to the facts on log RV (252 sessions of minutes) and on VIX against realised
    volatility (2006-2026) together; see docs/simulated-market.md for how near they come.
    """

    iv_mean: float = 2.904 - np.log(100.0)
    iv_persistence: float = 0.977
    iv_shock: float = 0.0766
    #: Share of the sd of an IV shock that is the session's own (standardised) return, with a minus sign.
    leverage: float = 0.885
    iv_shock_cap: float = 30.0
    #: Shocks to IV are larger on sessions that are wilder than expected: exponent on the fast factor.
    iv_shock_on_fast: float = 0.85
    level: float = -10.29
    loading: float = 2.45
    #: Added per square of (x - mean) up to ``curvature_end``, calibrated mode only: steeper where IV is high.
    curvature: float = 1.45
    curvature_end: float = 0.7
    fast_persistence: float = 0.54
    fast_shock: float = 0.51
    overnight_cap: float = 10.0
    #: The Lee-Mykland test finds .10 a day; about a third of what it finds in the simulated minutes are fat tails.
    jumps_per_day: float = 0.07
    jump_size: float = 0.46
    jump_size_spread: float = 0.25
    jump_down_share: float = 0.90


@dataclass(frozen=True)
class MinuteModel:
    """Minutes inside a session: two log-variance factors, volume, range.

    Normal returns under lognormal variance look like a Student t with 7 degrees of freedom once scaled by day and
    minute.
    """

    persistence: tuple[float, float] = (0.982, 0.50)
    #: sd of the log variance of each factor.
    spread: tuple[float, float] = (0.50, 0.47)
    #: Share of a minute's variance that happens between two bars.
    between_bars: float = 0.009
    #: Variance of the bridge inside a bar as a multiple of the minute's.
    range_factor: float = 1.0
    volume_spread: float = 0.59
    volume_memory: float = 0.41
    volume_on_move: float = 0.31
    #: Log volume of a day: sd of what does not come from variance, and its loading on the log variance.
    day_volume_spread: float = 0.22
    day_volume_on_variance: float = 0.25


@dataclass(frozen=True)
class BitcoinModel:
    """Variance of a UTC day of Bitcoin, and its link to SPY."""

    level: float = -7.38
    slow_persistence: float = 0.97
    slow_spread: float = 0.42
    #: Loading of the log variance of a UTC day on SPY's log IV30 at the last close before it.
    on_iv: float = 0.8
    fast_persistence: float = 0.45
    fast_spread: float = 0.6
    session_correlation: float = 0.78
    overnight_correlation: float = 0.4
    jumps_per_day: float = 1.2
    jump_size: float = 0.29
    jump_size_spread: float = 0.3
    tracking_sd: float = 0.0025


@dataclass(frozen=True)
class OwnVariance:
    """A symbol's log variance beyond SPY's: an AR(1) whose sd is `SymbolModel.own_variance`."""

    persistence: float = 0.6


VARIANCE = VarianceModel()
MINUTES = MinuteModel()
BITCOIN = BitcoinModel()
OWN = OwnVariance()


def minute_profile(shares: tuple[float, ...], first_5: float, last_5: float, count: int) -> np.ndarray:
    """Shares of ``count`` minutes, summing to 1, from half-hour shares with known first and last 5 minutes.

    A shorter session (an early close) has the same shape squeezed into its minutes.
    """
    full = np.repeat(np.asarray(shares) / 30.0, 30)
    full[:5], full[5:30] = first_5 / 5, (shares[0] - first_5) / 25
    full[-5:], full[-30:-5] = last_5 / 5, (shares[-1] - last_5) / 25
    full /= full.sum()
    if count == full.size:
        return full
    edges = np.concatenate([[0.0], np.cumsum(full)])
    return np.diff(np.interp(np.linspace(0, full.size, count + 1), np.arange(full.size + 1), edges))


def session_profiles(symbol: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance and volume shares of the ``count`` minutes of a session; QQQ has its own, all others SPY's."""
    variance, volume, ends = (
        (QQQ_VARIANCE, QQQ_VOLUME, QQQ_ENDS) if symbol == "QQQ" else (SPY_VARIANCE, SPY_VOLUME, SPY_ENDS)
    )
    return minute_profile(variance, *ends[0], count), minute_profile(volume, *ends[1], count)
