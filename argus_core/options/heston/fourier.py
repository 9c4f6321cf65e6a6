"""The law of X = ln(S_T/F) under Heston with an error bound: probabilities, prices, density, greeks of whole chains.

Gil-Pelaez integrals by the midpoint rule, u_m = (m + 1/2) h:

    P(X <= k) = 1/2 - (h/pi) sum_m Im[exp(-i u_m k) phi(u_m)] / u_m

The rule is exact but for the mass that lies further than 2 pi/h from k (the sum of sines is a square wave: Abate &
Whitt, "The Fourier-series method for inverting transforms of probability distributions", Queueing Systems 10, 1992),
and for the frequencies left out. Chernoff's bound gives the first, the decay of |phi| the second
(`argus_core.options.heston.tails`), so step and number of terms follow from the tolerance: fixed ones are wrong by
1e-2 for short-dated or low-Feller sets. The share measure (phi(u - i)) gives calls: P~(X > k) - exp(k) P(X > k).

u_m k is split into m = a B + b, so that the sum is a matrix product: exp(-i h k (b + 1/2)) (K, B) times weights (B, A).
Terms are padded to powers of two, strikes and expiries too: few shapes are compiled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.tails import extent

Floats = NDArray[np.float64]

#: Largest absolute error of a probability that the sums aim at, from range and frequencies each.
TOLERANCE = 1e-13
_FEWEST, _MOST = 64, 1 << 17
_ROUNDING = 4e-16
#: Numbers of one matrix product at most.
_PRODUCTS = 1 << 23
#: Columns of weights: probabilities, then their derivatives by the five parameters and by years.
_TANGENTS = (*HestonParameters._fields, "years")


@dataclass(frozen=True)
class HestonGreeks:
    """Derivatives of the undiscounted option price; arrays (E, K), NaN where the strike is NaN.

    Attributes:
        price: undiscounted price / F.
        delta: d(price) / dF, of one unit of the forward.
        gamma: F d2(price) / dF2; divide by F.
        vega: d(price / F) / d v0, at fixed other parameters.
        by: derivative of price / F by v0, kappa, theta, sigma, rho and years, at fixed F.
    """

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    by: dict[str, Floats]


@dataclass(frozen=True)
class HestonTable:
    """Sums for E expiries, ready for any strikes: build it once per chain with `heston_table`.

    Attributes:
        years: time to each expiry, (E,).
        step: h of each sum. terms: their number. low, high: where the tails end.
        error_bound: absolute error of a probability, and of price/F up to a factor 1 + exp(max(k, 0)); (E,).
        reached: whether that bound is within ten times the tolerance. Where not, more than 131,072 terms were needed.
    """

    parameters: HestonParameters
    years: Floats
    tolerance: float
    step: Floats
    terms: NDArray[np.int64]
    low: Floats
    high: Floats
    error_bound: Floats
    reached: NDArray[np.bool_]
    _weights: dict[bool, Any] = field(default_factory=dict, repr=False, compare=False)

    def cdf(self, log_strikes: ArrayLike) -> Floats:
        """P(X <= k); ``log_strikes`` = ln(K/F) of shape (E, K) or, the same for every expiry, (K,)."""
        k = self._shaped(log_strikes)
        return self._clamped(k, self._sums(k, 1)[0], 0.0, 1.0)

    def share_cdf(self, log_strikes: ArrayLike) -> Floats:
        """E[exp(X); X <= k]: the distribution function under the share measure; (E, K)."""
        return self.measures(log_strikes)[1]

    def density(self, log_strikes: ArrayLike) -> Floats:
        """Density of X at k, (E, K)."""
        k = self._shaped(log_strikes)
        return self._clamped(k, self._sums(k, 3)[2], 0.0, 0.0, ceiling=np.inf)

    def prices(self, log_strikes: ArrayLike, call: ArrayLike = True) -> Floats:
        """Undiscounted price / F of European options, (E, K). The option out of the money is summed, parity does the
        other."""
        k = self._shaped(log_strikes)
        return self._price(k, *self._sums(k, 2), call)

    def law(self, log_strikes: ArrayLike) -> tuple[Floats, Floats]:
        """(`cdf`, call price / F) of the same strikes by one sum."""
        k = self._shaped(log_strikes)
        plain, share = self._sums(k, 2)
        return self._clamped(k, plain, 0.0, 1.0), self._price(k, plain, share, True)

    def measures(self, log_strikes: ArrayLike) -> tuple[Floats, Floats]:
        """(`cdf`, `share_cdf`) of the same strikes by one sum."""
        k = self._shaped(log_strikes)
        plain, share = (self._clamped(k, values, 0.0, 1.0) for values in self._sums(k, 2))
        return plain, share

    def greeks(self, log_strikes: ArrayLike, call: ArrayLike = True) -> HestonGreeks:
        """Price and its derivatives by the same sums: factors of the weights, no differences."""
        k = self._shaped(log_strikes)
        plain, share, density = self._sums(k, 3)
        inside = self._clamped(k, share, 0.0, 1.0)
        call = np.broadcast_to(np.asarray(call, dtype=bool), k.shape)
        slopes = self._sums(k, 2 * len(_TANGENTS), tangents=True)
        by = {}
        for i, name in enumerate(_TANGENTS):
            slope = np.exp(k) * slopes[i] - slopes[len(_TANGENTS) + i]
            by[name] = self._clamped(k, slope, 0.0, 0.0, floor=-np.inf, ceiling=np.inf)
        return HestonGreeks(
            price=self._price(k, plain, share, call),
            delta=np.where(call, 1.0 - inside, -inside),
            gamma=np.exp(k) * self._clamped(k, density, 0.0, 0.0, ceiling=np.inf),
            vega=by["v0"],
            by=by,
        )

    def _shaped(self, log_strikes: ArrayLike) -> Floats:
        k = np.asarray(log_strikes, dtype=np.float64)
        k = np.broadcast_to(k, (len(self.years), k.shape[-1])) if k.ndim == 1 else k
        if k.ndim != 2 or k.shape[0] != len(self.years):
            wanted = f"({len(self.years)}, strikes), one row per expiry, or (strikes,)"
            raise ValueError(f"log_strikes has shape {k.shape}: give {wanted}.")
        return k

    def _clamped(
        self, k: Floats, values: Floats, below: float, above: float, *, floor: float = 0.0, ceiling: float = 1.0
    ) -> Floats:
        """Values inside the range, the limits outside it; rounding below the floor or above the ceiling is cut."""
        low, high = self.low[:, None], self.high[:, None]
        out = np.where(k < low, below, np.where(k > high, above, np.clip(values, floor, ceiling)))
        return np.where(np.isnan(k), np.nan, out)

    def _price(self, k: Floats, plain: Floats, share: Floats, call: ArrayLike) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            strike = np.exp(k)
            put = np.where(k < self.low[:, None], 0.0, np.clip(strike * plain - share, 0.0, strike))
            over = np.where(k > self.high[:, None], 0.0, np.clip((1.0 - share) - strike * (1.0 - plain), 0.0, 1.0))
            # exp(k) - 1 by expm1: exact parity near the forward.
            difference = np.expm1(k)
            wanted = np.asarray(call, dtype=bool)
            value = np.where(k <= 0, np.where(wanted, put - difference, put), np.where(wanted, over, over + difference))
        return np.where(np.isnan(k), np.nan, value)

    def _sums(self, k: Floats, columns: int, *, tangents: bool = False) -> Floats:
        """Sums of the first ``columns`` at every strike: (J, E, K), in order of expiry."""
        if tangents not in self._weights:
            self._weights[tangents] = _weights(self, tangents=tangents)
        groups = self._weights[tangents]
        out = np.empty((columns, *k.shape))
        padded = max(32, 1 << max(k.shape[1] - 1, 0).bit_length())
        for rows, step, weights in groups:
            # Strikes in parts of powers of two: the products (E, K, 2, J, A) stay below 64 MiB.
            each = len(step) * 2 * columns * weights.shape[4]
            part = min(padded, max(32, 1 << (max(_PRODUCTS // each, 1).bit_length() - 1)))
            inside = np.nan_to_num(np.clip(k[rows], self.low[rows, None], self.high[rows, None]))
            for first in range(0, k.shape[1], part):
                these = inside[:, first : first + part]
                at = np.zeros((len(step), part))
                at[: len(rows), : these.shape[1]] = these
                found = np.asarray(_kernels().sums(weights, step, at, columns=columns))
                out[:, rows, first : first + part] = found[:, : len(rows), : these.shape[1]]
        if not tangents:
            out[:2] = 0.5 - out[:2]
        return out


def heston_table(parameters: HestonParameters, years: ArrayLike, *, tolerance: float = TOLERANCE) -> HestonTable:
    """Choose step and number of terms per expiry.

    Args:
        years: calendar time to each expiry in years, (E,) or one number; above 0.
        tolerance: absolute error of a probability aimed at.

    Raises:
        ValueError: naming the parameter or the time that is not allowed.
    """
    p = HestonParameters(*(float(value) for value in parameters)).checked()
    t = np.atleast_1d(np.asarray(years, dtype=np.float64))
    if t.ndim != 1 or not len(t) or not np.all(np.isfinite(t) & (t > 0)):
        raise ValueError(f"years = {years}: give one or more finite times above 0; drop what has expired.")
    found = extent(p, t, tolerance)
    distance = found.high - found.low
    wanted = np.ceil(found.cutoff * distance / (2 * np.pi))
    terms = np.minimum(2 ** np.ceil(np.log2(np.maximum(wanted, _FEWEST))), _MOST).astype(np.int64)
    # Terms to spare by the rounding up go half into a finer step, half into higher frequencies.
    step = 2 * np.pi / distance / np.sqrt(np.clip(terms / np.maximum(wanted, 1.0), 1.0, 4.0))
    bound = 2 * tolerance + found.left_out(terms * step) + _ROUNDING * np.log2(terms)
    return HestonTable(p, t, tolerance, step, terms, found.low, found.high, bound, bound <= 10 * tolerance)


def prices(
    parameters: HestonParameters, years: ArrayLike, log_strikes: ArrayLike, call: ArrayLike = True, **options: Any
) -> Floats:
    """Undiscounted price / F, (E, K): `HestonTable.prices` of a table made for it."""
    return heston_table(parameters, years, **options).prices(log_strikes, call)


def cdf(parameters: HestonParameters, years: ArrayLike, log_strikes: ArrayLike, **options: Any) -> Floats:
    """P(ln(S_T/F) <= k), (E, K)."""
    return heston_table(parameters, years, **options).cdf(log_strikes)


def density(parameters: HestonParameters, years: ArrayLike, log_strikes: ArrayLike, **options: Any) -> Floats:
    """Density of ln(S_T/F), (E, K)."""
    return heston_table(parameters, years, **options).density(log_strikes)


def greeks(
    parameters: HestonParameters, years: ArrayLike, log_strikes: ArrayLike, call: ArrayLike = True, **options: Any
) -> HestonGreeks:
    """`HestonTable.greeks` of a table made for it."""
    return heston_table(parameters, years, **options).greeks(log_strikes, call)


def _weights(table: HestonTable, *, tangents: bool) -> list[tuple[NDArray[np.int64], Floats, Any]]:
    """(expiries, step (E,), weights (E, 2B, 2, J, A)) of every number of terms; E padded to a power of two."""
    ends = np.cumsum(table.terms)
    size = max(1024, 1 << int(ends[-1] - 1).bit_length())
    u, step, years = np.ones(size), np.ones(size), np.ones(size)
    step[: ends[-1]], years[: ends[-1]] = np.repeat(table.step, table.terms), np.repeat(table.years, table.terms)
    order = np.arange(ends[-1]) - np.repeat(ends - table.terms, table.terms)
    u[: ends[-1]] = (order + 0.5) * step[: ends[-1]]
    kernel = _kernels().slopes if tangents else _kernels().columns
    flat = np.asarray(kernel(u, step, years, np.array(table.parameters)))
    groups = []
    for terms in np.unique(table.terms):
        rows = np.flatnonzero(table.terms == terms)
        # Few shapes: small groups are filled up, large ones cost too much to fill.
        filled = max(4 if terms <= 1024 else 1, 1 << (len(rows) - 1).bit_length())
        steps = np.ones(filled)
        steps[: len(rows)] = table.step[rows]
        inner = _inner(int(terms))
        # (J, E, A, B) -> (E, B, J, A)
        parts = np.stack([flat[:, ends[row] - terms : ends[row]] for row in rows], axis=1)
        w = np.transpose(parts.reshape(len(flat), len(rows), -1, inner), (1, 3, 0, 2))
        # Real and imaginary part of (c - i s)(x + i y): rows of c, then of s.
        real, imaginary = np.concatenate([w.real, w.imag], axis=1), np.concatenate([w.imag, -w.real], axis=1)
        both = np.zeros((filled, 2 * inner, 2, *w.shape[2:]))
        both[: len(rows), :, 0], both[: len(rows), :, 1] = real, imaginary
        groups.append((rows, steps, _kernels().stored(both)))
    return groups


@dataclass(frozen=True)
class _Kernels:
    columns: Any
    slopes: Any
    sums: Any
    stored: Any


@lru_cache(maxsize=1)
def _kernels() -> _Kernels:
    from argus_core.accelerator import load_jax
    from argus_core.options.heston.characteristic import characteristic

    jax = load_jax()
    jnp = jax.numpy

    def distributions(u: Any, step: Any, years: Any, p: Any) -> Any:
        """Weights of the distribution functions of both measures, (2, M) complex; everything else (M,)."""
        return characteristic(jnp.stack([u + 0j, u - 1j]), years, *p) * (step / jnp.pi / u)

    def columns(u: Any, step: Any, years: Any, p: Any) -> Any:
        """Weights of the two distribution functions and of the density, (3, M)."""
        two = distributions(u, step, years, p)
        return jnp.concatenate([two, 1j * u * two[:1]])

    def slopes(u: Any, step: Any, years: Any, p: Any) -> Any:
        """Minus the derivatives of the distributions' weights by the parameters and by years, (2 * 6, M)."""
        one = jnp.eye(6)

        def along(direction: Any) -> Any:
            moved = (jnp.broadcast_to(direction[5], years.shape), direction[:5])
            return jax.jvp(lambda t, x: distributions(u, step, t, x), (years, p), moved)[1]

        return -jnp.moveaxis(jax.lax.map(along, one), 1, 0).reshape(12, -1)

    def sums(w: Any, step: Any, k: Any, *, columns: int) -> Any:
        """(J, E, K) from weights (E, 2B, 2, J, A), steps (E,) and log strikes (E, K)."""
        w = w[:, :, :, :columns]
        inner, outer = w.shape[1] // 2, w.shape[4]
        shift = step[:, None, None] * k[:, :, None]
        fine = shift * (jnp.arange(inner) + 0.5)
        table = jnp.concatenate([jnp.cos(fine), jnp.sin(fine)], axis=2)
        z = jnp.einsum("ekb,ebx->ekx", table, w.reshape(*w.shape[:2], -1)).reshape(*k.shape, *w.shape[2:])
        coarse = (shift * (inner * jnp.arange(outer)))[:, :, None]
        return jnp.moveaxis((jnp.cos(coarse) * z[:, :, 1] - jnp.sin(coarse) * z[:, :, 0]).sum(axis=-1), -1, 0)

    return _Kernels(jax.jit(columns), jax.jit(slopes), jax.jit(sums, static_argnames="columns"), jnp.asarray)


def _inner(terms: int) -> int:
    """B of m = a B + b, a power of two: sqrt(terms) or twice that, terms itself being one."""
    return 1 << ((terms.bit_length()) // 2)
