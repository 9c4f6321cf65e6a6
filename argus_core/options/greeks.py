"""Greeks of European options in closed form, vectorised: Black (1976) on the forward, derivatives also to the spot.

One JAX kernel in float64. Formulas: E. Haug, "The Complete Guide to Option Pricing Formulas" (2007), chapter 2, with
cost of carry b = ln(forward/spot)/years.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.accelerator import load_jax
from argus_core.options.normalised_black import evaluate, in_chunks, log_distance

Floats = NDArray[np.float64]

DAYS_PER_YEAR = 365.0


@dataclass(frozen=True, eq=False)
class Greeks:
    """Price and sensitivities per unit of the underlying, each of the broadcast shape; NaN where an input is unusable.

    Attributes:
        price: present value.
        delta: per unit of spot, carry held.
        delta_forward: per unit of the forward.
        gamma: change of delta per unit of spot.
        vega: per unit of volatility (divide by 100 for one point).
        theta: per calendar day that passes, at the same spot, volatility, rate and carry.
        rho: per unit of the interest rate, at the same spot and yield.
        vanna: change of delta per unit of volatility.
        volga: change of vega per unit of volatility.
    """

    price: Floats
    delta: Floats
    delta_forward: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats
    vanna: Floats
    volga: Floats


def greeks(
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    call: ArrayLike,
    discount: ArrayLike = 1.0,
    *,
    spot: ArrayLike | None = None,
) -> Greeks:
    """Greeks of European options.

    Args:
        forward: forward price of the underlying at expiry.
        strike: strike.
        years: time to expiry in years, above zero.
        vol: annualised volatility as a fraction, above zero.
        call: True for calls, False for puts.
        discount: present value of one unit at expiry; its rate is -ln(discount)/years.
        spot: price of the underlying now. None: the underlying is the forward itself (an option on a future), which
            has no carry and does not move with the rate.

    Returns:
        NaN in every field of a row with an input that is missing, not finite or not above zero.
    """
    underlying = forward if spot is None else spot
    given = (forward, strike, years, vol, discount, underlying, call, spot is not None)
    rows = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in given))
    return Greeks(*(values.reshape(rows[0].shape) for values in in_chunks(_kernel(), rows)))


def _greeks(xp: Any, ndtr: Callable[[Any], Any], packed: Any) -> Any:
    """Rows in the order of `Greeks` of packed rows (forward, strike, years, vol, discount, spot, call, carried)."""
    good = (xp.isfinite(packed) & (packed > 0.0))[:6].all(axis=0)
    forward, strike, years, vol, discount, spot = xp.where(good, packed[:6], 1.0)
    sign, carried = xp.where(packed[6] != 0.0, 1.0, -1.0), packed[7] != 0.0
    root = xp.sqrt(years)
    s = vol * root
    unit = xp.sqrt(forward) * xp.sqrt(strike)
    x = log_distance(xp, forward, strike)
    b, _, _, slope = evaluate(xp, x, s)
    price = discount * (xp.maximum(sign * (forward - strike), 0.0) + unit * b)
    d1 = xp.where(forward >= strike, -x, x) / s + 0.5 * s
    d2 = d1 - s
    # forward * density(d1) = strike * density(d2) = sqrt(forward strike) * slope.
    density = unit * slope
    side = discount * sign * ndtr(sign * d1)
    ratio = forward / spot
    rate, carry = -xp.log(discount) / years, xp.log(ratio) / years
    vega = discount * density * root
    decay = rate * price - carry * forward * side - 0.5 * vega * vol / years
    rho = xp.where(carried, years * (forward * side - price), -years * price)
    values = xp.stack(
        [
            price,
            side * ratio,
            side,
            discount * density * ratio * ratio / (forward * forward * s),
            vega,
            decay / DAYS_PER_YEAR,
            rho,
            -discount * density / forward * d2 / vol * ratio,
            vega * d1 * d2 / vol,
        ]
    )
    return xp.where(good, values, xp.nan)


@lru_cache(maxsize=1)
def _kernel() -> Callable[[Floats], Any]:
    jax = load_jax()
    from jax.scipy.special import ndtr

    return jax.jit(lambda packed: _greeks(jax.numpy, ndtr, packed))
