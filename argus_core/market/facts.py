"""Stylised facts of bars, measured the same way on simulated and on real frames (market-data.md §4).

The functions take plain columns, so a shared file, a lake table and a simulated frame all pass. Returns are log returns
of closes inside a session; the first of a session starts at its open. Shares are means over days of the day's shares,
so no single day dominates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

#: Largest |z| of n normal draws at 1 % per day (Lee and Mykland 2008, eq. 12): -log(-log(.99)).
_GUMBEL_99 = 4.600149226776579


def session_matrix(bars: pl.DataFrame, minutes: int = 390) -> dict[str, np.ndarray]:
    """Full sessions of minute bars as arrays of shape (days, minutes).

    Args:
        bars: ``ts`` (start, UTC), open, high, low, close, volume of regular hours, any order.
        minutes: length of a full session; other days (early closes, gaps) are left out.

    Returns:
        ``date`` (days,), and open, high, low, close, volume as (days, minutes).
    """
    local = bars.sort("ts").with_columns(date=pl.col("ts").dt.convert_time_zone("America/New_York").dt.date())
    full = local.filter(pl.len().over("date") == minutes)
    days = full["date"].unique(maintain_order=True)
    matrix = {name: full[name].to_numpy().reshape(len(days), minutes) for name in _COLUMNS}
    return {"date": days.to_numpy(), **matrix}


_COLUMNS = ("open", "high", "low", "close", "volume")


def minute_returns(matrix: Mapping[str, np.ndarray]) -> np.ndarray:
    """Log returns (days, minutes); the first minute starts at the session's open."""
    before = np.concatenate([matrix["open"][:, :1], matrix["close"][:, :-1]], axis=1)
    return np.log(matrix["close"] / before)


def intraday_facts(bars: pl.DataFrame, minutes: int = 390) -> dict[str, Any]:
    """Facts of one symbol's regular minutes; keys as in ``calibration.json``, plus memory and shape of scaled returns.

    ``scaled_*``: returns divided by the day's volatility and by that of the minute of day. ``student_df`` is the
    maximum likelihood degrees of freedom of the scaled returns. ``ann_vol_rth_1m`` is a root mean square over days.
    """
    m = session_matrix(bars, minutes)
    r, volume = minute_returns(m), m["volume"]
    days = len(r)
    square = r**2
    rv = square.sum(axis=1)
    annual = np.sqrt(252.0 * rv)
    variance_share = (square / rv[:, None]).mean(axis=0)
    volume_share = (volume / volume.sum(axis=1, keepdims=True)).mean(axis=0)
    by_day = r / np.sqrt(rv / minutes)[:, None]
    scaled = by_day / np.sqrt((by_day**2).mean(axis=0))
    moved, traded = np.abs(r), np.log(np.maximum(volume, 1.0))
    log_rv = np.log(five_minute_variance(m))
    rest = traded - traded.mean(axis=1, keepdims=True)
    rest = rest - rest.mean(axis=0)
    size = np.abs(scaled)
    return {
        "days": days,
        "variance_share_30m": variance_share.reshape(-1, 30).sum(axis=1),
        "volume_share_30m": volume_share.reshape(-1, 30).sum(axis=1),
        "var_share_first_5m": float(variance_share[:5].sum()),
        "vol_share_first_5m": float(volume_share[:5].sum()),
        "var_share_last_5m": float(variance_share[-5:].sum()),
        "vol_share_last_5m": float(volume_share[-5:].sum()),
        "ann_vol_rth_1m": float(np.sqrt(252.0 * rv.mean())),
        "median_ann_vol_rth": float(np.median(annual)),
        "kurtosis_1m": kurtosis(r),
        "kurtosis_1m_dayscaled": kurtosis(by_day),
        "kurtosis_1m_day_and_tod_scaled": kurtosis(scaled),
        "ac1_1m": within_day_autocorrelation(r, 1),
        "autocorr_abs_1m_lag1": within_day_autocorrelation(moved, 1),
        "corr_absret_logvol_1m": correlation(moved, traded),
        "log_volume_sd_day": float(np.log(volume.sum(axis=1)).std(ddof=1)),
        "median_day_volume": float(np.median(volume.sum(axis=1))),
        "scaled_abs_ac": [within_day_autocorrelation(size, lag) for lag in (1, 5, 30)],
        "student_df": student_degrees(scaled),
        "range_over_sd": float(np.log(m["high"] / m["low"]).mean() / r.std()),
        "share_unmoved": float((m["close"] == np.concatenate([m["open"][:, :1], m["close"][:, :-1]], axis=1)).mean()),
        "volume_residual_sd": float(rest.std()),
        "volume_residual_ac1": within_day_autocorrelation(rest, 1),
        "volume_residual_corr_abs": correlation(rest, size),
        "logRV": {
            "mean": float(log_rv.mean()),
            "sd": float(log_rv.std(ddof=1)),
            "ac1": autocorrelation(log_rv, 1),
            "ac5": autocorrelation(log_rv, 5),
        },
        "HAR_logRV": heterogeneous_autoregression(log_rv),
        "jumps_1m": jump_facts(r, variance_share),
        "jumps_5m": jump_facts(r.reshape(days, -1, 5).sum(axis=2), variance_share.reshape(-1, 5).sum(axis=1)),
    }


def five_minute_variance(matrix: Mapping[str, np.ndarray]) -> np.ndarray:
    """Realised variance of every session from 5-minute returns, shape (days,)."""
    r = minute_returns(matrix)
    return (r.reshape(len(r), -1, 5).sum(axis=2) ** 2).sum(axis=1)


def jump_facts(returns: np.ndarray, profile: np.ndarray) -> dict[str, float]:
    """Jumps per day by the test of Lee and Mykland (2008) at 1 % per day on returns without their time-of-day profile.

    Local volatility is the day's bipower variation. Sizes are in standard deviations of the day's realised variance;
    the jump share of a day is (RV - BV) / RV, not below zero.
    """
    count = returns.shape[1]
    flat = returns / np.sqrt(profile * count)
    rv = (returns**2).sum(axis=1)
    bipower = np.pi / 2 * (np.abs(flat[:, 1:]) * np.abs(flat[:, :-1])).mean(axis=1)
    statistic = np.abs(flat) / np.sqrt(bipower)[:, None]
    log_count = np.log(count)
    c = np.sqrt(2 * log_count)
    center = c - (np.log(np.pi) + np.log(log_count)) / (2 * c)
    hit = statistic > center + _GUMBEL_99 / c
    size = (np.abs(returns) / np.sqrt(rv)[:, None])[hit]
    total = (flat**2).mean(axis=1)
    return {
        "mean_jump_share_of_RV": float(np.maximum(1 - bipower / total, 0).mean()),
        "jumps_per_day_LM99": float(hit.sum() / len(returns)),
        "median_abs_jump_in_daily_RV_sd": float(np.median(size)) if size.size else float("nan"),
        "p90_abs_jump_in_daily_RV_sd": float(np.quantile(size, 0.9)) if size.size else float("nan"),
        "share_negative": float((returns[hit] < 0).mean()) if size.size else float("nan"),
    }


def heterogeneous_autoregression(log_rv: np.ndarray) -> dict[str, float]:
    """HAR of log realised variance (Corsi 2009): constant, day, week and month means, residual sd, R2."""
    n = len(log_rv)
    if n < 40:
        return dict.fromkeys(("const", "d", "w", "m", "resid_sd", "R2"), float("nan"))
    sums = np.concatenate([[0.0], np.cumsum(log_rv)])
    t = np.arange(22, n)
    x = np.column_stack([np.ones(len(t)), log_rv[t - 1], (sums[t] - sums[t - 5]) / 5, (sums[t] - sums[t - 22]) / 22])
    beta, *_ = np.linalg.lstsq(x, log_rv[t], rcond=None)
    rest = log_rv[t] - x @ beta
    explained = 1 - rest.var() / log_rv[t].var()
    names = ("const", "d", "w", "m")
    return {
        **{k: float(b) for k, b in zip(names, beta, strict=True)},
        "resid_sd": float(rest.std()),
        "R2": float(explained),
    }


def daily_facts(daily: pl.DataFrame) -> dict[str, float]:
    """Overnight and intraday returns of daily bars: ``date``, open, close, consecutive sessions, any order.

    ``weekend_on_sd_ratio`` compares gaps over a weekend (3 calendar days) with those of one night. Means and sds
    are in basis points.
    """
    d = daily.sort("date")
    o, c = d["open"].to_numpy(), d["close"].to_numpy()
    night, day = np.log(o[1:] / c[:-1]), np.log(c[1:] / o[1:])
    whole = night + day
    nights = np.diff(d["date"].to_numpy().astype("datetime64[D]").astype(int))
    variance_night, variance_day = night.var(ddof=1), day.var(ddof=1)
    return {
        "n": len(whole),
        "cc_ann_vol": float(whole.std(ddof=1) * np.sqrt(252)),
        "on_share": float(variance_night / (variance_night + variance_day)),
        "on_mean_bp": float(night.mean() * 1e4),
        "it_mean_bp": float(day.mean() * 1e4),
        "on_sd_bp": float(night.std(ddof=1) * 1e4),
        "it_sd_bp": float(day.std(ddof=1) * 1e4),
        "kurt_on": kurtosis(night),
        "kurt_cc": kurtosis(whole),
        "weekend_on_sd_ratio": float(night[nights == 3].std(ddof=1) / night[nights == 1].std(ddof=1)),
        "corr_on_it": correlation(night, day),
    }


def premium_facts(close: np.ndarray, iv: np.ndarray, window: int = 21) -> dict[str, float]:
    """Implied against realised volatility of the next ``window`` sessions, in points (.01 = 1).

    Args:
        close: daily closes, adjusted.
        iv: 30-day implied volatility at each close, as a fraction.
    """
    r = np.diff(np.log(close))
    sums = np.concatenate([[0.0], np.cumsum(r**2)])
    n = len(r) - window + 1
    rv = np.sqrt(252.0 / window * (sums[window:] - sums[:-window]))[:n] * 100
    vix = iv[:n] * 100
    log_iv = np.log(iv * 100)
    change = np.diff(log_iv)
    gap = vix - rv
    return {
        "n": n,
        "mean_VIX": float(vix.mean()),
        "mean_RV21_next": float(rv.mean()),
        "mean_vol_pts": float(gap.mean()),
        "median_vol_pts": float(np.median(gap)),
        "ratio_mean_var": float((vix**2).mean() / (rv**2).mean()),
        "median_ratio_IV_over_RV": float(np.median(vix / rv)),
        "P(VIX>RV)": float((gap > 0).mean()),
        "p5_vol_pts": float(np.quantile(gap, 0.05)),
        "p95_vol_pts": float(np.quantile(gap, 0.95)),
        "dlogVIX_per_1pct_return": float(np.polyfit(r * 100, change, 1)[0]),
        "corr_ret_dlogVIX": correlation(r, change),
        "logVIX_mean": float(log_iv.mean()),
        "logVIX_sd": float(log_iv.std(ddof=1)),
        "logVIX_ac1": autocorrelation(log_iv, 1),
        "dlogVIX_sd": float(change.std(ddof=1)),
        "dlogVIX_kurt": kurtosis(change),
    }


def flow_facts(opens: pl.DataFrame, closes: pl.DataFrame, groups: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Global risk flow (weights .4, .4, .2 for asia, europe, fx) against SPY.

    Args:
        opens: ``date`` and SPY's open.
        closes: ``date`` and one column of closes per symbol, SPY among them; rows without a null are used.
        groups: symbols of asia, europe and fx.
    """
    names = ["SPY", *(s for group in groups.values() for s in group)]
    table = closes.select("date", *names).drop_nulls().sort("date")
    r = {name: np.diff(np.log(table[name].to_numpy())) for name in names}
    weights = {"asia": 0.4, "europe": 0.4, "fx": 0.2}
    flow = sum(weights[g] * np.mean([np.expm1(r[s]) for s in members], axis=0) for g, members in groups.items())
    out: dict[str, Any] = {
        "n": len(flow),
        "sd_bp": float(flow.std(ddof=1) * 1e4),
        "kurt": kurtosis(flow),
        "corr_same_day_SPY": correlation(flow, r["SPY"]),
        "corr_with_next_day_SPY": correlation(flow[:-1], r["SPY"][1:]),
        "ac1": autocorrelation(flow, 1),
        "corr": np.corrcoef([r[name] for name in names]),
    }
    merged = table.select("date", close="SPY").join(opens.select("date", open="SPY"), on="date", how="left")
    if merged["open"].null_count() == 0:
        o, c = merged["open"].to_numpy(), merged["close"].to_numpy()
        night, day = np.log(o[1:] / c[:-1]), np.log(c[1:] / o[1:])
        out["corr_prev_flow_next_SPY_overnight"] = correlation(flow[:-1], night[1:])
        out["corr_prev_flow_next_SPY_intraday"] = correlation(flow[:-1], day[1:])
    return out


def crypto_facts(bars: pl.DataFrame) -> dict[str, Any]:
    """Facts of minutes around the clock, on full UTC days (1,440 bars): ``ts``, close, volume."""
    frame = bars.sort("ts").select("ts", "close", "volume").with_columns(day=pl.col("ts").dt.date())
    # A return over missing minutes is no minute's return.
    whole = pl.col("ts").diff() == pl.duration(minutes=1)
    frame = frame.with_columns(r=pl.when(whole).then(pl.col("close").log().diff()))
    frame = frame.filter(pl.len().over("day") == 1440)
    days = frame["day"].unique(maintain_order=True)
    r = frame["r"].fill_null(0.0).to_numpy().reshape(len(days), 1440)
    volume = frame["volume"].to_numpy().reshape(len(days), 1440)
    five = r.reshape(len(days), -1, 5).sum(axis=2)
    rv = (r**2).sum(axis=1)
    weekend = days.dt.weekday().to_numpy() >= 6
    hours = (r**2).reshape(len(days), 24, 60).sum(axis=2)
    by_minute = (r**2).reshape(-1, 60).mean(axis=0)
    annual = np.sqrt(365 * rv)
    log_rv = np.log(rv)
    flat = np.full(288, 1 / 288)
    return {
        "days": len(days),
        "ann_vol": float(np.sqrt(365 * rv.mean())),
        "median_ann_vol": float(np.median(annual)),
        "kurt_1m": kurtosis(r),
        "kurt_1d": kurtosis(r.sum(axis=1)),
        "ac1_1m": correlation(r.ravel()[1:], r.ravel()[:-1]),
        "weekend_rv_ratio": float(rv[weekend].mean() / rv[~weekend].mean()),
        "weekend_volume_ratio": float(volume[weekend].sum(axis=1).mean() / volume[~weekend].sum(axis=1).mean()),
        "hour_var_share": hours.sum(axis=0) / hours.sum(),
        "hour_vol_share": volume.reshape(len(days), 24, 60).sum(axis=(0, 2)) / volume.sum(),
        "logRV_sd": float(log_rv.std(ddof=1)),
        "logRV_ac1": autocorrelation(log_rv, 1),
        "minute0_var_ratio": float(by_minute[0] / by_minute.mean()),
        "jumps_5m": jump_facts(five, flat),
    }


def five_minute_correlation(first: pl.DataFrame, second: pl.DataFrame) -> dict[str, float]:
    """Correlation and beta of 5-minute log returns of two series of minute bars, where both have the window.

    A window is five consecutive minutes of both that start on a multiple of five; ``beta`` is that of ``first`` on
    ``second``.
    """
    both = (
        first.select("ts", a=pl.col("close").log())
        .join(second.select("ts", b=pl.col("close").log()), on="ts", how="inner")
        .sort("ts")
        .filter((pl.col("ts").dt.minute() % 5) == 4)
        .with_columns(gap=pl.col("ts").diff().dt.total_seconds(), x=pl.col("a").diff(), y=pl.col("b").diff())
        .filter(pl.col("gap") == 300)
    )
    x, y = both["x"].to_numpy(), both["y"].to_numpy()
    return {"n": len(x), "corr_5m": correlation(x, y), "beta": float(np.polyfit(y, x, 1)[0])}


def kurtosis(x: np.ndarray) -> float:
    """Fourth standardised moment (normal: 3)."""
    d = np.ravel(x) - np.mean(x)
    return float((d**4).mean() / (d**2).mean() ** 2)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation of all elements."""
    return float(np.corrcoef(np.ravel(x), np.ravel(y))[0, 1])


def autocorrelation(x: np.ndarray, lag: int) -> float:
    """Autocorrelation of one series."""
    d = x - x.mean()
    return float((d[lag:] * d[:-lag]).sum() / (d**2).sum())


def within_day_autocorrelation(x: np.ndarray, lag: int) -> float:
    """Correlation of (days, minutes) values with those ``lag`` minutes earlier on the same day."""
    return correlation(x[:, lag:], x[:, :-lag])


def student_degrees(x: np.ndarray) -> float:
    """Maximum likelihood degrees of freedom of a Student t around zero with free scale."""
    from scipy.optimize import minimize
    from scipy.special import gammaln

    square = np.ravel(x) ** 2

    def loss(p: np.ndarray) -> float:
        df, scale = np.exp(p)
        kernel = 0.5 * (df + 1) * np.log1p(square / (df * scale**2)).mean()
        return float(kernel + np.log(scale) + 0.5 * np.log(df) - gammaln(0.5 * (df + 1)) + gammaln(0.5 * df))

    start = np.log([8.0, 0.85 * np.sqrt(square.mean())])
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9})
    return float(np.exp(best.x[0]))
