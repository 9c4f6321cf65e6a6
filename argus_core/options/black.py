"""Black (1976) over NumPy arrays: price, delta and implied volatility of European options on a forward.

The formula and its inverse are those of `argus_core.options.normalised_black`; `argus_core.options.greeks` has greeks.

Source: F. Black, "The pricing of commodity contracts", Journal of Financial Economics 3 (1976), equations 16-17.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.options.normalised_black import evaluate, implied_vols, log_distance

Floats = NDArray[np.float64]


def black_price(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, vol: ArrayLike, call: ArrayLike, discount: ArrayLike = 1.0
) -> Floats:
    """Price of European options.

    Args:
        forward: forward price of the underlying at expiry.
        strike: strike, same units.
        years: time to expiry in years.
        vol: annualised volatility as a fraction.
        call: True for calls, False for puts.
        discount: present value of one dollar at expiry.

    Returns:
        Prices in the units of ``forward``, shape of the broadcast arguments. No time or volatility left: the
        discounted intrinsic value.
    """
    f, k, t, v, is_call, d = _broadcast(forward, strike, years, vol, call, discount)
    with np.errstate(all="ignore"):
        total = v * np.sqrt(np.maximum(t, 0.0))
        spread = total > 0.0
        value = np.sqrt(f) * np.sqrt(k) * evaluate(np, log_distance(np, f, k), np.where(spread, total, 1.0))[0]
        intrinsic = np.maximum(np.where(is_call, f - k, k - f), 0.0)
        return d * (intrinsic + np.where(spread, value, 0.0 * total))


def black_delta(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, vol: ArrayLike, call: ArrayLike, discount: ArrayLike = 1.0
) -> Floats:
    """Derivative of the price with respect to the forward: discount * N(d1) for calls, -discount * N(-d1) for puts."""
    from scipy.special import ndtr

    f, k, t, v, is_call, d = _broadcast(forward, strike, years, vol, call, discount)
    sign = np.where(is_call, 1.0, -1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = v * np.sqrt(np.maximum(t, 0.0))
        d1 = np.log(f / k) / total + 0.5 * total
        smooth = d * sign * ndtr(sign * d1)
    return np.where(total > 0, smooth, d * sign * (sign * (f - k) > 0))


def implied_vol(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    call: ArrayLike,
    discount: ArrayLike = 1.0,
) -> Floats:
    """Annualised volatility at which `black_price` equals ``price``: `implied_vols` without its reasons.

    Returns:
        Volatilities as fractions; NaN where the price lies outside the no-arbitrage bounds (intrinsic, forward or
        strike) or an argument is not positive.
    """
    return implied_vols(price, forward, strike, years, call, discount).iv


def _broadcast(*values: Any) -> tuple[Any, ...]:
    """Arguments as arrays of one shape: floats, but Booleans stay."""
    arrays = [np.asarray(value) for value in values]
    return np.broadcast_arrays(*(a if a.dtype == bool else a.astype(float) for a in arrays))
