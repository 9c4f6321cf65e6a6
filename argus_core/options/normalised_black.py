"""Implied volatility: Black's formula in normalised form, stable in every corner, and its inverse. The one place.

With x = -|ln(F/K)| <= 0, s = vol sqrt(years) and beta = out-of-the-money price / (discount sqrt(F K)),

    b(x, s) = e^{x/2} N(x/s + s/2) - e^{-x/2} N(x/s - s/2) = beta .

Puts and calls are alike in this form; a price in the money is turned into that of its out-of-the-money twin by
put-call parity first. Formulas take the array module ``xp`` (NumPy or ``jax.numpy``) and work on float64.

Sources: P. Jaeckel, "Let's be rational", Wilmott (2015), for the normalisation, the objectives and Householder's
method; the guesses are those of the project's numerics notes (a Hermite cubic of the inverse around the inflection, the
deep out-of-the-money asymptote below it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.accelerator import bucket, load_jax
from argus_core.options.erfcx import erfcx, erfcx_or_fall

Floats = NDArray[np.float64]

_STEPS = 3
_CHUNK = 65_536
_SMALL_S = 0.1  # below, differences of erfcx are taken by their Taylor series
_ROOT_2, _ROOT_2PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)
_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
#: Time value below so many units in the last place of the price is rounding, not information.
_ROUNDING = 8.0 * float(np.finfo(float).eps)
_TINY = 1e-150

#: Why a price has no implied volatility; `ImpliedVols.code` counts from 0, which is: it has one.
REASONS: Final = (
    None,
    "an input is missing or not finite",
    "no time left to expiry",
    "forward, strike or discount not above zero",
    "no price: zero or negative",
    "price at or below intrinsic value",
    "price at or above its upper bound",
    "crossed: bid above ask",
    "no bid",
    "beyond the reach of double precision",
)
NOT_FINITE, NO_TIME, NOT_POSITIVE, NO_PRICE, AT_INTRINSIC, AT_BOUND, CROSSED, NO_BID, BEYOND = range(1, 10)


@dataclass(frozen=True, eq=False)
class ImpliedVols:
    """Implied volatilities and, where there is none, why.

    Attributes:
        iv: annualised fractions, NaN where there is none.
        code: int8 of the same shape; 0 where there is a volatility, else an index of `REASONS`.
    """

    iv: Floats
    code: NDArray[np.int8]

    @cached_property
    def reason(self) -> NDArray[np.object_]:
        """The words of every code; None where there is a volatility."""
        return np.asarray(np.array(REASONS, dtype=object)[self.code], dtype=object)


def implied_vols(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    call: ArrayLike,
    discount: ArrayLike = 1.0,
) -> ImpliedVols:
    """Volatilities at which European options on a forward cost ``price``.

    Exact to a few units in the last place times the condition b / (s b'), which is below one out of the money and
    grows without limit for a price next to its upper bound.

    Args:
        price: present value, in the units of ``forward``.
        forward: forward price of the underlying at expiry.
        strike: strike.
        years: time to expiry in years; the volatility is per root of this unit.
        call: True for calls, False for puts.
        discount: present value of one unit at expiry.

    Returns:
        Arrays of the broadcast shape. No argument makes the call fail: what cannot be inverted is NaN with a reason.
    """
    given = np.broadcast_arrays(*(_floats(v) for v in (price, forward, strike, years, discount, call)))
    iv, code = in_chunks(_kernel(), given)
    return ImpliedVols(iv.reshape(given[0].shape), code.astype(np.int8).reshape(given[0].shape))


def quoted_vols(
    bid: ArrayLike,
    ask: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    call: ArrayLike,
    discount: ArrayLike = 1.0,
) -> tuple[ImpliedVols, ImpliedVols, ImpliedVols]:
    """`implied_vols` of bid, mid and ask.

    A crossed quote (bid above ask) has none of the three. Without a bid there is neither bid nor mid volatility: such
    a quote bounds the volatility from above only. A bid below intrinsic value loses its own volatility alone.
    """
    low, high, *rest = np.broadcast_arrays(*(_floats(v) for v in (bid, ask, forward, strike, years, call, discount)))
    found = implied_vols(np.stack([low, 0.5 * (low + high), high]), *rest)
    with np.errstate(invalid="ignore"):
        crossed, no_bid = low > high, ~(low > 0.0)
    # The volatility of the ask needs no bid.
    code = np.stack(
        [np.where(crossed, CROSSED, np.where(no_bid & (number < 2), NO_BID, found.code[number])) for number in range(3)]
    ).astype(np.int8)
    iv = np.where(code == 0, found.iv, np.nan)
    low_vols, mid_vols, high_vols = (ImpliedVols(iv[number], code[number]) for number in range(3))
    return low_vols, mid_vols, high_vols


def normalised_black(x: ArrayLike, s: ArrayLike) -> Floats:
    """b(x, s) for x <= 0 and s > 0, broadcast, with full relative precision also where b is 1e-300."""
    return evaluate(np, *np.broadcast_arrays(_floats(x), _floats(s)))[0]


def normalised_vol(x: ArrayLike, beta: ArrayLike) -> Floats:
    """Total volatility s with b(x, s) = ``beta``, broadcast; NaN unless x <= 0 and 0 < beta < e^{x/2}."""
    log_moneyness, price = np.broadcast_arrays(_floats(x), _floats(beta))
    return in_chunks(_normalised_kernel(), [log_moneyness, price])[0].reshape(price.shape)


def log_distance(xp: Any, forward: Any, strike: Any) -> Any:
    """x = -|ln(forward / strike)|; log1p keeps the digits of nearly equal ones."""
    return -xp.log1p(xp.abs(forward - strike) / xp.minimum(forward, strike))


def evaluate(xp: Any, x: Any, s: Any) -> tuple[Any, Any, Any, Any]:
    """Normalised Black at x <= 0, s > 0: (b, e^{x/2} - b, ln b, slope db/ds), none by a subtraction that loses digits.

    With h = x/s, t = s/2 and g = exp(-(h^2 + t^2)/2): b = g/2 [erfcx(-(h+t)/r) - erfcx(-(h-t)/r)], r = sqrt(2), while
    h + t <= 0; beyond, the complement e^{x/2} - b = g/2 [erfcx((h+t)/r) + erfcx((t-h)/r)]. The difference of the first
    form loses digits as s falls: below s = .1 it is the odd Taylor series of erfcx around -h/r.
    """
    h, t = x / s, 0.5 * s
    small, beyond = s < _SMALL_S, h + t > 0.0
    centre = -h / _ROOT_2
    first = xp.where(small, centre, xp.abs(h + t) / _ROOT_2)
    second = xp.where(small, centre, (t - h) / _ROOT_2)
    one, two = erfcx(first), erfcx_or_fall(xp, second, small)
    gap = xp.where(small, _taylor_gap(centre, t / _ROOT_2, one, two), one - two)
    exponent = -0.5 * (h * h + t * t)
    g = xp.exp(exponent)
    bound = xp.exp(0.5 * x)
    rest = 0.5 * g * (one + two)
    outer = beyond & ~small
    b = xp.where(outer, bound - rest, 0.5 * g * gap)
    complement = xp.where(outer, rest, bound - b)
    # Of the logarithm itself, so that it holds where b underflows.
    log_b = xp.where(outer, xp.log(xp.where(outer, b, 1.0)), exponent + xp.log(0.5 * xp.where(outer, 1.0, gap)))
    return b, complement, log_b, g / _ROOT_2PI


def _taylor_gap(centre: Any, reach: Any, value: Any, fall: Any) -> Any:
    """erfcx(centre - reach) - erfcx(centre + reach) by derivatives: Y'' = 2Y + 2zY', Y(n+1) = 2z Y(n) + 2n Y(n-1)."""
    total = term = 2.0 * reach * fall
    before, now = value, -fall
    factor = -2.0 * reach
    for order in range(1, 8, 2):
        even = 2.0 * (centre * now + order * before)
        odd = 2.0 * (centre * even + (order + 1) * now)
        factor = factor * reach * reach / ((order + 1) * (order + 2))
        term = factor * odd
        total = total + term
        before, now = even, odd
    return total


def _invert(xp: Any, x: Any, beta: Any, rest: Any, loop: Any) -> Any:
    """s with b(x, s) = beta, where ``rest`` is e^{x/2} - beta: a guess, then Householder's method of third order."""
    log_beta, log_rest = xp.log(beta), xp.log(rest)
    s_c = xp.maximum(xp.sqrt(-2.0 * x), _TINY)
    b_c, rest_c, _, slope_c = evaluate(xp, x, s_c)
    below = beta < b_c
    # The tangent at the inflection meets 0 at s_l and the bound at s_h.
    s_o = xp.where(below, xp.maximum(s_c - b_c / slope_c, _TINY), s_c + rest_c / slope_c)
    b_o, _, _, slope_o = evaluate(xp, x, s_o)
    width = b_o - b_c
    u = (beta - b_c) / width
    v = 1.0 - u
    cubic = s_c + u * u * (3.0 - 2.0 * u) * (s_o - s_c) + u * v * width * (v / slope_c - u / slope_o)
    tail = xp.where(below, _deep_guess(xp, x, log_beta, s_o), _high_guess(xp, x, rest))
    guess = xp.where((u >= 0.0) & (u <= 1.0), cubic, tail)
    return loop(_STEPS, lambda s: s + _step(xp, x, s, beta, log_beta, log_rest, below), guess)


def _deep_guess(xp: Any, x: Any, log_beta: Any, s: Any) -> Any:
    """Sweeps of ln b ~ -x^2/(2 s^2) + 3 ln s - 2 ln|x| - ln(2 pi)/2 - s^2/8, the limit far out of the money."""
    log_x = xp.log(xp.maximum(-x, _TINY))
    start = s
    for _ in range(3):
        spread = 3.0 * xp.log(s) - 2.0 * log_x - _LOG_ROOT_2PI - 0.125 * s * s - log_beta
        s = xp.minimum(-x / xp.sqrt(xp.maximum(2.0 * spread, _TINY)), start)
    return s


def _high_guess(xp: Any, x: Any, rest: Any) -> Any:
    """Root of e^{x/2} - b ~ 2 cosh(x/2) N(-s/2), by the quantile of Abramowitz and Stegun 26.2.23."""
    share = xp.minimum(rest / (xp.exp(0.5 * x) + xp.exp(-0.5 * x)), 0.5)
    q = xp.sqrt(-2.0 * xp.log(share))
    top = 2.515517 + q * (0.802853 + q * 0.010328)
    return 2.0 * (q - top / (1.0 + q * (1.432788 + q * (0.189269 + q * 0.001308))))


def _step(xp: Any, x: Any, s: Any, beta: Any, log_beta: Any, log_rest: Any, below: Any) -> Any:
    """Householder's third-order step: on 1/ln b below the inflection, on b above, on ln(e^{x/2} - b) near the bound."""
    b, rest, log_b, slope = evaluate(xp, x, s)
    h = x / s
    second = h * h / s - 0.25 * s
    third = second * second - 3.0 * (h / s) ** 2 - 0.25
    near = ~below & (log_rest < log_beta)
    # Below: q = b'/b of l = ln b.
    q = slope * xp.exp(-log_b)
    newton = (log_beta - log_b) * log_b / (log_beta * q)
    twist = 1.0 + 2.0 / log_b
    second_below = second - q * twist
    third_below = third + 2.0 * q * q * (1.0 + 3.0 / log_b * (1.0 + 1.0 / log_b)) - 3.0 * second * q * twist
    # Near the bound: p = b'/(e^{x/2} - b).
    p = slope / rest
    newton_near = (xp.log(rest) - log_rest) / p
    newton = xp.where(below, newton, xp.where(near, newton_near, (beta - b) / slope))
    second_above = xp.where(near, second + p, second)
    third_above = xp.where(near, third + p * (2.0 * p + 3.0 * second), third)
    second, third = xp.where(below, second_below, second_above), xp.where(below, third_below, third_above)
    return newton * (1.0 + 0.5 * second * newton) / (1.0 + newton * (second + third * newton / 6.0))


def _classified(xp: Any, packed: Any, loop: Any) -> Any:
    """Rows (volatility, reason code) of packed rows (price, forward, strike, years, discount, call)."""
    price, forward, strike, years, discount, call = packed
    finite = xp.isfinite(packed).all(axis=0)
    positive = (forward > 0.0) & (strike > 0.0) & (discount > 0.0)
    good = finite & positive & (years > 0.0) & (price > 0.0)
    price, forward, strike = (xp.where(good, v, 1.0) for v in (price, forward, strike))
    years, discount = xp.where(good, years, 1.0), xp.where(good, discount, 1.0)
    gap = forward - strike
    value = price / discount
    intrinsic = xp.maximum(xp.where(call != 0.0, gap, -gap), 0.0)
    time_value = value - intrinsic
    bound = xp.minimum(forward, strike)
    rest = bound - time_value
    low, high = time_value <= _ROUNDING * intrinsic, rest <= _ROUNDING * bound
    code = xp.where(
        ~finite,
        NOT_FINITE,
        xp.where(
            ~positive,
            NOT_POSITIVE,
            xp.where(
                packed[3] <= 0.0,
                NO_TIME,
                xp.where(packed[0] <= 0.0, NO_PRICE, xp.where(low, AT_INTRINSIC, xp.where(high, AT_BOUND, 0))),
            ),
        ),
    )
    good = code == 0
    unit = xp.sqrt(forward) * xp.sqrt(strike)
    beta, rest = xp.where(good, time_value / unit, 0.1), xp.where(good, rest / unit, 0.9)
    x = xp.where(good, log_distance(xp, forward, strike), 0.0)
    iv = _invert(xp, x, beta, rest, loop) / xp.sqrt(years)
    code = xp.where(good & ~((iv > 0.0) & xp.isfinite(iv)), BEYOND, code)
    return xp.stack([xp.where(code == 0, iv, xp.nan), code.astype(xp.float64)])


def _normalised(xp: Any, packed: Any, loop: Any) -> Any:
    """Row (s,) of packed rows (x, beta)."""
    x, beta = packed
    rest = xp.exp(0.5 * x) - beta
    good = (x <= 0.0) & (beta > 0.0) & (rest > 0.0)
    x, beta, rest = xp.where(good, x, 0.0), xp.where(good, beta, 0.1), xp.where(good, rest, 0.9)
    return xp.where(good, _invert(xp, x, beta, rest, loop), xp.nan)[None]


@lru_cache(maxsize=1)
def _kernel() -> Callable[[Floats], Any]:
    return _compiled(_classified)


@lru_cache(maxsize=1)
def _normalised_kernel() -> Callable[[Floats], Any]:
    return _compiled(_normalised)


def _compiled(function: Callable[..., Any]) -> Callable[[Floats], Any]:
    jax = load_jax()

    def loop(steps: int, body: Callable[[Any], Any], start: Any) -> Any:
        return jax.lax.fori_loop(0, steps, lambda _, s: body(s), start)

    return jax.jit(lambda packed: function(jax.numpy, packed, loop))


def in_chunks(kernel: Callable[[Floats], Any], rows: Sequence[Floats]) -> list[Floats]:
    """Results of ``kernel`` for packed, padded pieces of ``rows``, whose shapes are few, so that little is compiled."""
    size = rows[0].size
    flat = [values.reshape(-1) for values in rows]
    parts = []
    length = bucket(min(max(size, 1), _CHUNK))
    for start in range(0, max(size, 1), length):
        count = min(length, size - start)
        packed = np.ones((len(rows), length))
        for row, values in zip(packed, flat, strict=True):
            row[:count] = values[start : start + count]
        parts.append(np.asarray(kernel(packed))[:, :count])
    return list(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
