"""Arbitrage-free option chains priced by Heston, for tests: exact prices, quotes with spread and noise, their IVs.

NumPy only and written apart from `argus_core.options.heston`, so that it is an oracle for it: Lewis' integral with
Gauss-Legendre panels, absolute error about 1e-14 of the forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.black import black_price, implied_vol
from argus_core.options.heston import HestonParameters
from argus_core.options.schemas import ImpliedVols

Floats = NDArray[np.float64]

#: Set of options.md A7 and the snapshot at which the chains stand.
PARAMETERS = HestonParameters(0.04, 2.0, 0.05, 0.6, -0.7)
RECV = datetime(2026, 8, 3, 20, 15, tzinfo=UTC)
#: options.md A7: ln(K/F) from -2.5 to 1.8 times .2 sqrt(T).
DEVIATIONS = tuple(np.linspace(-2.5, 1.8, 10))
DAYS = tuple(np.round(np.geomspace(7, 730, 10)).astype(int).tolist())

_NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class HestonChain:
    """``quotes`` has the schema OptionQuotes, ``implied_vols`` ImpliedVols; rows in the same order.

    ``fair``: exact model price per row, dollars.
    """

    parameters: HestonParameters
    quotes: pl.DataFrame
    implied_vols: pl.DataFrame
    fair: Floats


def heston_price(
    parameters: HestonParameters,
    forward: float,
    strike: ArrayLike,
    years: float,
    call: ArrayLike,
    discount: float = 1.0,
) -> Floats:
    """Exact European prices of one expiry, shape of ``strike``.

    The value is the forward (or the strike) less an integral, so its error is absolute, about 1e-14 of the forward.
    """
    strike, call = np.broadcast_arrays(np.asarray(strike, float), np.asarray(call, bool))
    k = np.log(strike / forward)
    u, weight = _nodes(parameters, float(years), float(np.ceil(8 * np.abs(k).max() + 1) / 8))
    phi = _characteristic(u - 0.5j, years, parameters) * weight / (u * u + 0.25)
    covered = forward * np.exp(k / 2) * (np.exp(-1j * np.outer(k, u)) @ phi).real / np.pi
    value = np.where(call, forward, strike) - covered.reshape(strike.shape)
    return discount * np.maximum(value, 0.0)


def heston_chain(
    parameters: HestonParameters = PARAMETERS,
    *,
    recv_ts: datetime = RECV,
    days: Sequence[int] = DAYS,
    deviations: Sequence[float] = DEVIATIONS,
    strikes: Sequence[float] | None = None,
    spot: float = 100.0,
    rate: float = 0.03,
    dividend_yield: float = 0.0,
    half_spread_vol: float = 0.002,
    smallest_half_spread: float = 1e-6,
    tick: float = 0.0,
    noise: float = 0.0,
    noise_seed: int = 0,
    underlying: str = "SPY",
) -> HestonChain:
    """A chain with a call and a put per strike, quoted around the exact price.

    Args:
        days: calendar days from the date of ``recv_ts`` to each expiry, 16:00 New York.
        deviations: ln(K/F) in units of .2 sqrt(T); used where ``strikes`` is None.
        strikes: the same strikes for every expiry, dollars.
        half_spread_vol: half of ask - bid in volatility; in dollars at least ``smallest_half_spread``.
        tick: bid is rounded down and ask up to it; 0: no rounding.
        noise: the mid is moved by ``noise`` half-spreads times a uniform number in [-1, 1]; a put and the call of its
            strike get different numbers. At most 1 keeps the exact price inside bid and ask.
    """
    generator = np.random.default_rng(noise_seed)
    rows: list[dict] = []
    for count in days:
        expiry = (recv_ts + timedelta(days=int(count))).date()
        expiry_ts = datetime.combine(expiry, time(16), _NEW_YORK).astimezone(UTC)
        years = (expiry_ts - recv_ts).total_seconds() / (365 * 86_400)
        forward = spot * float(np.exp((rate - dividend_yield) * years))
        discount = float(np.exp(-rate * years))
        listed = np.asarray(
            strikes if strikes is not None else forward * np.exp(0.2 * np.sqrt(years) * np.asarray(deviations))
        )
        upper = listed >= forward
        outside = heston_price(parameters, forward, listed, years, upper, discount)
        vol = implied_vol(outside, forward, listed, years, upper, discount)
        for call in (True, False):
            inner = discount * (forward - listed) if call else discount * (listed - forward)
            fair = np.where(upper == call, outside, outside + inner)
            vega = _greeks(spot, forward, listed, years, vol, call, rate, discount)["vega"]
            half = np.maximum(np.nan_to_num(half_spread_vol * vega), smallest_half_spread)
            mid = fair + noise * half * generator.uniform(-1, 1, len(listed))
            bid, ask = np.maximum(mid - half, 0.0), mid + half
            if tick:
                bid, ask = np.floor(bid / tick + 1e-9) * tick, np.ceil(ask / tick - 1e-9) * tick
            rows += _rows(
                recv_ts,
                underlying,
                expiry,
                expiry_ts,
                years,
                forward,
                discount,
                rate,
                spot,
                listed,
                call,
                fair,
                bid,
                ask,
            )
    table = pl.DataFrame(rows, infer_schema_length=None).sort("expiry", "strike", "right")
    utc = pl.Datetime("us", "UTC")
    table = table.with_columns(pl.col("ts", "recv_ts", "expiry_ts").cast(utc))
    vols = ImpliedVols.validate(table.select(ImpliedVols.column_names()), cast=True)
    quotes = conform(
        table.drop("delta").with_columns(iv=pl.lit(None, pl.Float64), underlying_price=pl.lit(spot)), OptionQuotes
    )
    return HestonChain(parameters, quotes, vols, table["fair"].to_numpy())


def _rows(
    recv_ts, underlying, expiry: date, expiry_ts, years, forward, discount, rate, spot, strike, call, fair, bid, ask
):
    """One dictionary per strike: every column of both schemas, and ``fair``."""
    mid = 0.5 * (bid + ask)
    outside = (strike >= forward) == call
    vols = {
        name: np.where(value > 0, implied_vol(value, forward, strike, years, call, discount), np.nan)
        for name, value in (("iv_bid", bid), ("iv_mid", mid), ("iv_ask", ask))
    }
    greeks = _greeks(spot, forward, strike, years, vols["iv_mid"], call, rate, discount)
    used = outside & (bid > 0) & np.isfinite(vols["iv_mid"])
    right = "C" if call else "P"
    result = []
    for i, price in enumerate(strike):
        numbers = {name: float(v[i]) for name, v in {**vols, **greeks}.items()}
        reason = None if used[i] else ("in the money" if not outside[i] else "no bid" if not bid[i] > 0 else "no iv")
        result.append(
            {
                "provider": "test",
                "underlying": underlying,
                "recv_ts": recv_ts,
                "ts": recv_ts - timedelta(seconds=60),
                "contract": f"{underlying}{expiry:%y%m%d}{right}{round(float(price) * 1000):08d}",
                "expiry": expiry,
                "expiry_ts": expiry_ts,
                "strike": float(price),
                "right": right,
                "bid": float(bid[i]),
                "ask": float(ask[i]),
                "bid_size": 100.0,
                "ask_size": 100.0,
                "open_interest": 1000.0,
                "forward": forward,
                "discount": discount,
                "t_cal": years,
                "t_var": years,
                "log_moneyness": float(np.log(price / forward)),
                **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
                "iv_se": float((vols["iv_ask"][i] - vols["iv_bid"][i]) / np.sqrt(12)) if used[i] else None,
                "premium": 0.0,
                "provider_iv": None,
                "quote_age": 60.0,
                "used": bool(used[i]),
                "reason": reason,
                "fair": float(fair[i]),
            }
        )
    return result


def _greeks(spot, forward, strike, years, vol, call, rate, discount) -> dict[str, Floats]:
    """Black-Scholes greeks in the units of ImpliedVols."""
    root = np.sqrt(years)
    d1 = np.log(forward / strike) / (vol * root) + 0.5 * vol * root
    sign = 1.0 if call else -1.0
    density = np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi)
    grown = forward * discount / spot
    later = black_price(forward, strike, years, vol, call, discount)
    probability = ndtr(sign * (d1 - vol * root))
    carry = np.log(forward / spot) / years
    theta = (
        -forward * discount * density * vol / (2 * root)
        + rate * later
        - carry * discount * sign * forward * ndtr(sign * d1)
    )
    return {
        "delta": sign * grown * ndtr(sign * d1),
        "gamma": grown * density / (spot * vol * root),
        "vega": forward * discount * density * root,
        "theta": theta / 365,
        "rho": sign * strike * years * discount * probability,
    }


def _characteristic(u: NDArray[np.complex128], years: float, p: HestonParameters) -> NDArray[np.complex128]:
    """E[exp(iu ln(S_T/F_T))]: formulation 2 of Albrecher et al. (2007), as printed."""
    iu = 1j * u
    beta = p.kappa - p.rho * p.sigma * iu
    d = np.sqrt(beta * beta + p.sigma**2 * (iu + u * u))
    g = (beta - d) / (beta + d)
    decay = np.exp(-d * years)
    a = p.kappa * p.theta / p.sigma**2 * ((beta - d) * years - 2 * np.log((1 - g * decay) / (1 - g)))
    b = (beta - d) / p.sigma**2 * (1 - decay) / (1 - g * decay)
    return np.exp(a + b * p.v0)


@lru_cache(maxsize=512)
def _nodes(parameters: HestonParameters, years: float, reach: float) -> tuple[Floats, Floats]:
    """Nodes and weights of panels on [0, U], |phi(U - i/2)| / U^2 < 1e-18; narrow near the poles at +-i/2 and where
    exp(iku), |k| <= reach, turns fast."""
    top = 8.0
    while abs(_characteristic(np.array([top - 0.5j]), years, parameters)[0]) / top**2 > 1e-18 and top < 1e6:
        top *= 1.25
    edges = [0.0]
    while edges[-1] < top:
        edges.append(edges[-1] + min(max(0.25, 0.25 * edges[-1]), 16 / reach))
    x, w = np.polynomial.legendre.leggauss(32)
    half = np.diff(edges) / 2
    centre = (np.asarray(edges[1:]) + np.asarray(edges[:-1])) / 2
    return (centre[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()
