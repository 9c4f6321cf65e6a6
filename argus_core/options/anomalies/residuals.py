"""R: quotes whose volatility lies away from the surface and from what their neighbours say.

z = (iv_mid - fit) / sqrt(s^2 + s_fit^2), both for a fit without the quote itself; with the surface alone that is the
studentised residual (iv_mid - iv_fit) / (s sqrt(1 - h)). s is half the spread over sqrt(3): a fair value is somewhere
between bid and ask. The fit is the surface plus its own smooth error (`argus_core.options.anomalies.smooth`): three
parameters per expiry leave a pattern that is no anomaly of any quote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.anomalies.smooth import Prediction, Series, predict_each
from argus_core.options.surface import solve
from argus_core.settings.option_anomalies import ResidualSettings

Floats = NDArray[np.float64]

#: Prior sd of ln theta, ln p+ and ln p- around the fit, and of the forward in shares of the half spread at the money.
_PRIOR, _FORWARD_SHARE = 1.0, 0.5


def residuals(vols: pl.DataFrame, slices: pl.DataFrame, settings: ResidualSettings) -> pl.DataFrame:
    """One row per usable quote of an expiry that has a slice.

    Args:
        vols: `ImpliedVols` of one snapshot, any order.
        slices: its `SurfaceSlices`.

    Returns:
        contract, expiry, expiry_ts, strike, right, iv_bid, iv_mid, iv_ask, vega, bid_size, ask_size, quote_age, and
        iv_expected, expected_se, z, p_value, flagged.
    """
    rows = (
        vols.drop("theta", "rho")  # greeks, not the slice's parameters
        .filter(pl.col("used"))
        .filter(pl.all_horizontal(pl.col("iv_mid", "iv_bid", "iv_ask", "log_moneyness").is_finite()))
        .join(slices.select("expiry_ts", "theta", "psi", "rho"), on="expiry_ts", how="inner")
        .sort("t_cal", "expiry_ts", "strike", "right", "contract")
    )
    rows = rows.filter(pl.len().over("expiry_ts") >= settings.min_quotes)
    groups = [_Expiry.of(part, settings) for part in rows.partition_by("expiry_ts", maintain_order=True)]
    seen = predict_each([group.series for group in groups], settings.length) if groups else []
    parts = [group.judged(prediction) for group, prediction in zip(groups, seen, strict=True)]
    columns = ("iv_expected", "expected_se", "z", "p_value", "outside")
    if parts:
        found = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    else:
        found = {name: np.empty(0, dtype=bool if name == "outside" else float) for name in columns}
    discovered = benjamini_hochberg(found["p_value"], settings.false_discovery_rate)
    flagged = discovered & (np.abs(found["z"]) > settings.min_z) & found["outside"].astype(bool)
    kept = ("contract", "expiry", "expiry_ts", "strike", "right", "bid", "ask", "iv_bid", "iv_mid", "iv_ask", "vega")
    return rows.select(*kept, "bid_size", "ask_size", "quote_age", "discount", "forward", "t_cal").with_columns(
        *(pl.Series(name, found[name]) for name in columns[:-1]), flagged=pl.Series(flagged)
    )


@dataclass(frozen=True)
class _Expiry:
    """Quotes of one expiry, ascending in strike: volatilities, the surface's, half spread and other uncertainty."""

    bid: Floats
    mid: Floats
    ask: Floats
    fit: Floats
    half: Floats
    other: Floats
    series: Series

    @classmethod
    def of(cls, part: pl.DataFrame, settings: ResidualSettings) -> _Expiry:
        from scipy.special import ndtr

        k, bid, mid, ask, years = (
            part[name].cast(pl.Float64).to_numpy() for name in ("log_moneyness", "iv_bid", "iv_mid", "iv_ask", "t_cal")
        )
        theta, psi, rho = (part[name].to_numpy()[:1] for name in ("theta", "psi", "rho"))
        half = np.maximum(0.5 * (ask - bid), 0.0)
        error = part["iv_se"].cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
        other = np.sqrt(np.maximum(error**2 - half**2 / 3.0, 0.0) + settings.vol_floor**2)
        data = solve.SliceData(k[None], mid[None], bid[None], ask[None], np.ones((1, len(k))), years[:1])
        fit, gradient = solve.volatility(solve.unknowns(theta, psi, rho), data)
        # A wrong forward moves the volatilities of calls and puts apart, by delta over vega.
        total = fit[0] * np.sqrt(years[0])
        d1 = -k / total + 0.5 * total
        sign = np.where((part["right"] == "C").to_numpy(), 1.0, -1.0)
        shift = sign * ndtr(sign * d1) * np.sqrt(2.0 * np.pi) * np.exp(np.minimum(0.5 * d1 * d1, 50.0))
        near = np.argsort(np.abs(k), kind="stable")[:4]
        x = k / np.sqrt(theta[0])
        series = Series(
            x=x,
            y=mid - fit[0],
            noise=np.sqrt(half**2 / 3.0 + other**2),
            basis=np.column_stack([gradient[0], np.clip(shift, -5.0, 5.0)]),
            prior=np.array([_PRIOR] * 3 + [_FORWARD_SHARE * float(np.median(half[near]))]),
            growth=1.0 + np.abs(x),
        )
        return cls(bid, mid, ask, fit[0], half, other, series)

    def judged(self, seen: Prediction) -> dict[str, NDArray[Any]]:
        """Expected volatility without the quote, z and p-value."""
        expected = self.fit + seen.mean
        miss = self.mid - expected
        return {
            "iv_expected": expected,
            "expected_se": np.sqrt(seen.variance),
            "z": miss / np.sqrt(self.series.noise**2 + seen.variance),
            "p_value": spread_p_value(np.abs(miss), self.half, np.sqrt(self.other**2 + seen.variance)),
            "outside": (expected < self.bid) | (expected > self.ask),
        }


def spread_p_value(distance: Floats, half: Floats, deviation: Floats) -> Floats:
    """P(|U + N| > distance), U uniform between -half and half, N normal: two-sided.

    Its variance is half^2 / 3 + deviation^2, the one of z; a uniform error has no tail, so that a quote three half
    spreads away is far less likely than a normal law of that variance says.
    """
    from scipy.special import ndtr

    def loss(u: Floats) -> Floats:
        """Integral of the normal tail from u on."""
        return np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi) - u * ndtr(-u)

    width = np.maximum(half, 1e-6 * deviation)
    low, high = (distance - width) / deviation, (distance + width) / deviation
    tail = deviation / (2.0 * width) * (loss(low) - loss(high))
    return np.clip(2.0 * tail, 0.0, 1.0)


def benjamini_hochberg(p_value: Floats, rate: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected at a false discovery rate (Benjamini and Hochberg 1995)."""
    n = len(p_value)
    order = np.argsort(p_value, kind="stable")
    below = np.flatnonzero(p_value[order] <= rate * np.arange(1, n + 1) / max(n, 1))
    rejected = np.zeros(n, dtype=bool)
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return rejected
