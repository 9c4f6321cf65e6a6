"""K, H and M: kinks of the term structure, moves against history, drift of the gap to a model."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.options.anomalies import gap_drift, history_flags, kink_flags, model_gap, surface_features
from argus_core.options.anomalies.history import against_past, shrunk_covariance
from argus_core.options.surface import essvi, fit_surface
from argus_core.settings.option_anomalies import HistorySettings, KinkSettings
from tests.options.anomalies.planted import clean

DAYS = (7, 10, 14, 21, 28, 42, 63, 91, 126, 182, 273, 365)
HISTORY = HistorySettings(min_snapshots=30)


def scaled_from(vols: pl.DataFrame, first: int, factor: float, last: int | None = None) -> pl.DataFrame:
    """Volatilities of the expiries first .. last - 1 times a factor."""
    times = sorted(vols["expiry_ts"].unique())[first:last]
    return vols.with_columns(
        pl.when(pl.col("expiry_ts").is_in(times)).then(pl.col(name) * factor).otherwise(pl.col(name))
        for name in ("iv_bid", "iv_mid", "iv_ask")
    )


def test_a_kinked_expiry_is_named_and_a_smooth_term_structure_is_not():
    vols = clean(0, 0.6, DAYS)
    assert kink_flags(fit_surface(vols), KinkSettings(), vols) == []
    bad = scaled_from(vols, 5, 1.10, 6)
    flags = kink_flags(fit_surface(bad), KinkSettings(), bad)
    assert [flag.expiry for flag in flags if flag.statistic > 0][:1] == [sorted(bad["expiry"].unique())[5]]
    assert "event by then worth" in flags[0].explanation
    assert set(flags[0].contracts) <= set(bad["contract"])


def test_variance_on_a_known_event_date_is_no_kink():
    vols = clean(0, 0.6, DAYS)
    expiries = sorted(vols["expiry"].unique())
    jump = 0.03**2  # a move of 3 % on one day, in every expiry from the sixth on
    with_event = vols.with_columns(
        pl.when(pl.col("expiry") >= expiries[5])
        .then((pl.col(name) ** 2 + jump / pl.col("t_cal")).sqrt())
        .otherwise(pl.col(name))
        for name in ("iv_bid", "iv_mid", "iv_ask")
    )
    fit = fit_surface(with_event)
    day = expiries[5] - timedelta(days=2)
    assert kink_flags(fit, KinkSettings(min_z=3.0), with_event)
    assert kink_flags(fit, KinkSettings(min_z=3.0, events={day: "earnings"}), with_event) == []


def test_negative_forward_variance_is_a_kink_even_across_an_event():
    vols = clean(0, 0.6, DAYS)
    bad = scaled_from(vols, 8, 0.6, 9)
    expiries = sorted(vols["expiry"].unique())
    settings = KinkSettings(events={expiries[8]: "election"})
    flags = kink_flags(fit_surface(bad), settings, bad)
    assert any("below zero" in flag.explanation and flag.expiry == expiries[8] for flag in flags)


def past(n: int = 60, seed: int = 0) -> pl.DataFrame:
    """Slices of n evenings: level and skew wander a little."""
    rng = np.random.default_rng(seed)
    base = fit_surface(clean(0, 0.0, DAYS)).slices
    parts = []
    for i in range(n):
        level, skew = np.exp(0.05 * rng.standard_normal()), 1 + 0.05 * rng.standard_normal()
        parts.append(
            base.with_columns(
                pl.col("recv_ts").dt.offset_by(f"-{n - i}d"),
                pl.col("theta") * level**2,
                pl.col("psi") * level,
                pl.col("rho") * skew,
            )
        )
    return pl.concat(parts)


def test_a_usual_evening_has_no_history_flag_and_an_unusual_one_is_told_in_words():
    history = past()
    now = fit_surface(clean(0, 0.0, DAYS)).slices
    assert history_flags(now, history, HISTORY) == []
    high = now.with_columns(pl.col("theta") * 1.4**2, pl.col("psi") * 1.4)
    flags = history_flags(high, history, HISTORY)
    assert {"atm 30d", "atm 7d", "atm 90d"} <= {flag.contracts[0] for flag in flags}
    assert "robust z" in flags[0].explanation


def test_history_looks_only_back_and_only_at_the_same_hour():
    history = past()
    now = fit_surface(clean(0, 0.0, DAYS)).slices
    high = now.with_columns(pl.col("theta") * 1.4**2, pl.col("psi") * 1.4)
    future = history.with_columns(pl.col("recv_ts").dt.offset_by("100d"))
    other_hour = history.with_columns(pl.col("recv_ts").dt.offset_by("-5h"))
    assert history_flags(high, future, HISTORY) == []
    assert history_flags(high, other_hour, HISTORY) == []
    both = history_flags(high, pl.concat([history, future, other_hour]), HISTORY)
    assert both == history_flags(high, history, HISTORY)
    assert (
        history_flags(high, history.filter(pl.col("recv_ts") > history["recv_ts"].max() - timedelta(days=9)), HISTORY)
        == []
    )


def test_features_are_volatilities_at_25_delta():
    from scipy.special import ndtr

    now = fit_surface(clean(0, 0.0, DAYS)).slices
    row = surface_features(now, (28,)).row(0, named=True)
    slice_ = now.filter((pl.col("t_cal") * 365 - 28).abs() < 0.5).row(0, named=True)
    k = np.linspace(-0.3, 0.3, 200_001)
    w = essvi(k, slice_["theta"], slice_["psi"], slice_["rho"]).value
    delta = ndtr(-k / np.sqrt(w) + 0.5 * np.sqrt(w))
    iv = np.sqrt(w / slice_["t_cal"])
    call, put = iv[np.argmin(np.abs(delta - 0.25))], iv[np.argmin(np.abs(delta - 0.75))]
    assert row["rr25_28"] == pytest.approx(call - put, abs=2e-5 + 2e-3)
    assert row["atm_28"] == pytest.approx(slice_["atm_iv"], abs=2e-3)
    far = surface_features(now, (3_000,)).row(0, named=True)
    assert far["atm_3000"] is None


def test_shrunk_covariance_agrees_with_scikit_learn():
    from sklearn.covariance import ledoit_wolf

    values = np.random.default_rng(2).standard_normal((40, 6)) @ np.diag([3, 1, 1, 0.5, 0.2, 0.1])
    assert shrunk_covariance(values) == pytest.approx(ledoit_wolf(values)[0], rel=1e-10)


def test_p_values_of_usual_points_are_uniform():
    rng = np.random.default_rng(8)
    mix = rng.standard_normal((5, 5))
    p = []
    for _ in range(400):
        sample = rng.standard_normal((61, 5)) @ mix
        found = against_past(sample[:60], sample[60], 0.9)
        p.append((found.t2_p, found.q_p))
    share = (np.array(p) < 0.1).mean(axis=0)
    assert share == pytest.approx([0.1, 0.1], abs=0.06)
    assert (np.array(p) < 1e-3).sum() <= 6


def test_the_gap_to_a_model_is_told_by_bucket_and_its_drift_by_past_gaps_only():
    vols = clean(0).filter("used").with_columns(half_spread=0.5 * (pl.col("iv_ask") - pl.col("iv_bid")))
    table = model_gap(vols.with_columns(model_iv=pl.col("iv_mid") + 0.01))
    assert table["gap"].to_numpy() == pytest.approx(np.full(table.height, 0.01))
    assert table["quotes"].sum() == vols.height
    assert table["moneyness"][0] == "far puts"
    rng = np.random.default_rng(0)
    days = [datetime(2026, 1, 1) + timedelta(days=i) for i in range(60)]
    gaps = pl.DataFrame(
        {
            "recv_ts": days,
            "maturity": ["to 14 d"] * 60,
            "moneyness": ["puts"] * 60,
            "gap": 0.002 * rng.standard_normal(60) + np.where(np.arange(60) > 50, 0.01, 0.0),
        }
    )
    assert gap_drift(gaps)["drift"][0] > 4
    assert abs(gap_drift(gaps.head(50))["drift"][0]) < 4
    assert gap_drift(gaps.head(5))["drift"][0] is None
