"""Black (1976): price, delta and implied volatility of European options on a forward, vectorised over NumPy arrays.

Source: F. Black, "The pricing of commodity contracts", Journal of Financial Economics 3 (1976), equations 16-17.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_ITERATIONS = 64
_SMALLEST_TOTAL_VOL, _LARGEST_TOTAL_VOL = 1e-8, 20.0


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
    return d * _undiscounted(f, k, v * np.sqrt(np.maximum(t, 0.0)), np.where(is_call, 1.0, -1.0))


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
    """Annualised volatility at which `black_price` equals ``price``.

    An in-the-money option is turned into its out-of-the-money twin by put-call parity first. Newton's method starts
    at the inflection point of the price (Manaster and Koehler, Journal of Finance 37, 1982), from which it cannot
    overshoot; below it works on the logarithm of the price, whose tail is nearly linear in 1/vol^2 and would
    otherwise take many steps. A bracket catches every step that leaves it.

    Returns:
        Volatilities as fractions; NaN where the price lies outside the no-arbitrage bounds (intrinsic, forward or
        strike) or an argument is not positive.
    """
    p, f, k, t, is_call, d = _broadcast(price, forward, strike, years, call, discount)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sign = np.where(is_call, 1.0, -1.0)
        value = p / d
        inside = sign * (f - k) > 0
        value = np.where(inside, value - sign * (f - k), value)
        sign = np.where(inside, -sign, sign)
        bound = np.where(sign > 0, f, k)
        good = (f > 0) & (k > 0) & (t > 0) & (d > 0) & (value > 0) & (value < bound) & np.isfinite(value)
        f, k = np.where(good, f, 1.0), np.where(good, k, 1.0)
        value = np.where(good, value, 0.1)
        total = np.clip(np.sqrt(2.0 * np.abs(np.log(f / k))), 1e-3, 3.0)
        tail = _undiscounted(f, k, total, sign) > value
        low = np.full_like(total, _SMALLEST_TOTAL_VOL)
        high = np.full_like(total, _LARGEST_TOTAL_VOL)
        for _ in range(_ITERATIONS):
            now = _undiscounted(f, k, total, sign)
            low = np.where(now < value, total, low)
            high = np.where(now >= value, total, high)
            d1 = np.log(f / k) / total + 0.5 * total
            vega = f * np.exp(-0.5 * d1 * d1) / np.sqrt(2.0 * np.pi)
            step = np.where(tail, np.log(value / now) * now / vega, (value - now) / vega)
            guess = total + step
            caught = ~((guess > low) & (guess < high))
            following = np.where(caught, 0.5 * (low + high), guess)
            if np.all(np.abs(following - total) <= 1e-15 * total):
                break
            total = following
        return np.where(good, total / np.sqrt(np.where(good, t, 1.0)), np.nan)


def _undiscounted(forward: Floats, strike: Floats, total: Floats, sign: Floats) -> Floats:
    """Undiscounted price from the total volatility vol * sqrt(years)."""
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        d1 = np.log(forward / strike) / total + 0.5 * total
        smooth = sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - total)))
    return np.where(total > 0, smooth, np.maximum(sign * (forward - strike), 0.0))


def _broadcast(*values: Any) -> tuple[Any, ...]:
    """Arguments as arrays of one shape: floats, but Booleans stay."""
    arrays = [np.asarray(value) for value in values]
    return np.broadcast_arrays(*(a if a.dtype == bool else a.astype(float) for a in arrays))
