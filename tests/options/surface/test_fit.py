"""The surface has no static arbitrage whatever the quotes are, fits Heston within the spread, forgets the past."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from argus_core.options.heston import HestonParameters
from argus_core.options.schemas import ImpliedVols, SurfaceSlices
from argus_core.options.surface import Surface, calendar_slack, essvi, fit_surface, grid_arbitrage
from argus_core.options.surface.arbitrage import variance_arbitrage
from argus_core.settings.option_surface import SurfaceSettings
from tests.options.heston_chains import PARAMETERS, heston_chain
from tests.options.surface.chains import random_vols

DAYS = np.unique(np.round(np.geomspace(7, 730, 20)).astype(int)).tolist()
#: Feller number above .3 each.
SETS = [PARAMETERS, HestonParameters(0.04, 1.0, 0.04, 0.45, -0.6), HestonParameters(0.02, 5.0, 0.05, 0.3, -0.5)]


@lru_cache
def wide(parameters: HestonParameters = PARAMETERS, noise: float = 0.0, strikes: int = 25):
    """20 expiries x 25 strikes, quoted .25 volatility points either side."""
    return heston_chain(
        parameters, days=DAYS, deviations=np.linspace(-2.5, 1.8, strikes), noise=noise, half_spread_vol=0.0025
    ).implied_vols


def exact_conditions(slices: pl.DataFrame) -> bool:
    theta, psi, rho = (slices[name].to_numpy() for name in ("theta", "psi", "rho"))
    wing = psi * (1 + np.abs(rho))
    slack = calendar_slack(theta[:-1], psi[:-1], rho[:-1], theta[1:], psi[1:], rho[1:])
    return bool(
        (wing < 4).all()
        and (psi * wing <= 4 * theta * (1 + 1e-12)).all()
        and (slack >= -1e-12 * np.maximum(1, psi[1:] / theta[1:])).all()
    )


@pytest.mark.parametrize("parameters", SETS)
def test_g10_heston_chains_are_fitted_within_half_of_the_half_spread(parameters):
    assert 2 * parameters.kappa * parameters.theta / parameters.sigma**2 > 0.3
    fit = fit_surface(wide(parameters))
    assert fit.slices.height == 20
    miss = (fit.quotes["iv_fit"] - fit.quotes["iv_mid"]).to_numpy()
    assert fit.quotes.height > 480
    assert np.sqrt((miss**2).mean()) <= 0.5 * fit.quotes["half_spread"].median()
    assert grid_arbitrage(fit.slices).total == 0
    assert exact_conditions(fit.slices)


def test_quotes_of_an_essvi_surface_are_recovered():
    truth = [(0.004, 0.03, -0.6), (0.010, 0.055, -0.5), (0.035, 0.11, -0.55)]
    vols = wide(strikes=9).filter(pl.col("t_cal").is_in(sorted(wide().get_column("t_cal").unique())[5:20:6]))
    parts = []
    for part, (theta, psi, rho) in zip(vols.partition_by("expiry_ts", maintain_order=True), truth, strict=True):
        iv = np.sqrt(essvi(part["log_moneyness"].to_numpy(), theta, psi, rho).value / part["t_cal"].to_numpy())
        parts.append(
            part.with_columns(
                iv_mid=pl.Series(iv), iv_bid=pl.Series(iv - 0.001), iv_ask=pl.Series(iv + 0.001), iv_se=pl.lit(0.0006)
            )
        )
    for loss in ("squares", "huber"):
        fit = fit_surface(pl.concat(parts), SurfaceSettings(loss=loss))
        found = fit.slices.select("theta", "psi", "rho").to_numpy()
        assert found == pytest.approx(np.array(truth), rel=1e-5)
        assert fit.slices["rmse_iv"].max() < 1e-6
    inside = fit_surface(pl.concat(parts), SurfaceSettings(loss="band"))
    assert inside.slices["inside_share"].min() == 1.0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    expiries=st.integers(1, 12),
    strikes=st.integers(1, 30),
    loss=st.sampled_from(["squares", "huber", "band"]),
)
def test_g10_any_chain_gives_a_surface_without_arbitrage_and_never_an_error(seed, expiries, strikes, loss):
    vols = random_vols(seed, expiries, strikes)
    fit = fit_surface(vols, SurfaceSettings(loss=loss, diagnose_svi=False, max_rounds=5, max_iterations=15))
    assert fit.slices.height + fit.left_out.height == vols["expiry_ts"].n_unique()
    assert fit.left_out["reason"].null_count() == 0
    SurfaceSlices.validate(fit.slices)
    if fit.slices.height:
        assert exact_conditions(fit.slices)
        assert grid_arbitrage(fit.slices, points=1000).total == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_between_and_beyond_the_expiries_no_arbitrage_appears(seed):
    fit = fit_surface(random_vols(seed, 6, 30), SurfaceSettings(diagnose_svi=False, max_rounds=3, max_iterations=10))
    if fit.slices.is_empty():
        return
    surface = Surface.of(fit.slices)
    times = np.unique(np.concatenate([surface.years * s for s in (0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 20.0)]))
    theta, psi, rho = (values[:, None] for values in surface.parameters(times))
    found = variance_arbitrage(np.linspace(-3, 3, 301), theta, psi, rho)
    assert found.total == 0


def test_the_joint_fit_is_the_optimum_that_a_general_solver_finds():
    """Five noisy slices whose own fits break the conditions; SLSQP from our solution and from flat finds no better."""
    vols = heston_chain(
        PARAMETERS, days=(20, 23, 26, 29, 33), deviations=np.linspace(-2, 1.5, 9), noise=1.0, half_spread_vol=0.006
    ).implied_vols
    config = SurfaceSettings(loss="squares", diagnose_svi=False)
    fit = fit_surface(vols, config)
    apart = fit.apart
    broken = calendar_slack(*(apart[n].to_numpy()[:-1] for n in ("theta", "psi", "rho")),
                            *(apart[n].to_numpy()[1:] for n in ("theta", "psi", "rho")))  # fmt: skip
    assert (broken < 0).any()
    quotes = fit.quotes.with_columns(row=pl.col("t_cal").rank("dense").cast(pl.Int64) - 1)
    k, row, iv, unit, t = (quotes[n].to_numpy() for n in ("log_moneyness", "row", "iv_mid", "unit", "t_cal"))

    def cost(flat):
        flat = np.clip(flat, -20, 2)
        theta, right, left = np.exp(flat.reshape(5, 3)).T
        psi, rho = 0.5 * (right + left), (right - left) / (right + left)
        model = np.sqrt(essvi(k, theta[row], psi[row], rho[row]).value / t)
        return float((((model - iv) / unit) ** 2).sum())

    def conditions(flat):
        x = flat.reshape(5, 3)
        psi = np.log(0.5 * np.exp(x[:, 1:]).sum(axis=1))
        return np.concatenate([np.diff(x, axis=0).ravel(), -np.diff(psi - x[:, 0])])

    ours = fit.slices.select("theta", "psi", "rho").to_numpy()
    x0 = np.log(np.stack([ours[:, 0], ours[:, 1] * (1 + ours[:, 2]), ours[:, 1] * (1 - ours[:, 2])], axis=1)).ravel()
    best = min(
        minimize(cost, start, method="SLSQP", constraints={"type": "ineq", "fun": conditions}).fun
        for start in (x0, np.tile([-6.0, -4.6, -3.5], 5) + np.repeat(0.02 * np.arange(5), 3))
    )
    assert cost(x0) <= best * 1.002


def test_a_warm_start_changes_the_time_and_not_the_answer():
    vols = wide(noise=0.5)
    cold = fit_surface(vols)
    warm = fit_surface(vols, previous=fit_surface(wide(noise=0.0)).slices)
    for name in ("theta", "psi", "rho"):
        assert warm.slices[name].to_numpy() == pytest.approx(cold.slices[name].to_numpy(), rel=1e-5)


def test_order_of_rows_does_not_matter_to_the_last_bit():
    vols = wide(noise=0.5)
    one = fit_surface(vols)
    two = fit_surface(vols.sample(fraction=1.0, shuffle=True, seed=3))
    assert one.slices.equals(two.slices)


def test_one_bad_early_expiry_does_not_lift_the_later_ones():
    vols = wide()
    second = sorted(vols["expiry_ts"].unique())[1]
    bad = pl.col("expiry_ts") == second
    lifted = vols.with_columns(pl.when(bad).then(pl.col(c) * 1.6).otherwise(pl.col(c)) for c in
                               ("iv_bid", "iv_mid", "iv_ask"))  # fmt: skip
    wide_error = lifted.with_columns(iv_se=pl.when(bad).then(0.1).otherwise(pl.col("iv_se")))
    one, two = fit_surface(vols).slices, fit_surface(wide_error).slices
    assert two["atm_iv"].to_numpy()[4:] == pytest.approx(one["atm_iv"].to_numpy()[4:], rel=2e-3)
    assert grid_arbitrage(two).total == 0


def test_expiries_that_cannot_be_fitted_are_named_with_the_reason():
    vols = wide()
    times = sorted(vols["expiry_ts"].unique())
    at = pl.col("expiry_ts")
    rank = pl.int_range(pl.len()).over("expiry_ts")
    changed = vols.filter((at != times[0]) | (rank < 6)).with_columns(
        t_cal=pl.when(at == times[1]).then(-0.001).otherwise("t_cal"),
        forward=pl.when(at == times[2]).then(None).otherwise("forward"),
    )
    fit = fit_surface(changed)
    assert fit.slices.height == 17
    reasons = dict(zip(fit.left_out["expiry_ts"], fit.left_out["reason"], strict=True))
    assert reasons[times[1]] == "expired"
    assert reasons[times[2]] == "no forward"
    assert reasons[times[0]] == "3 usable strikes of 6 quotes, at least 5 are needed"


def test_an_empty_chain_gives_an_empty_surface():
    fit = fit_surface(wide().head(0))
    assert fit.slices.is_empty()
    assert fit.left_out.is_empty()
    none_used = fit_surface(wide().with_columns(used=pl.lit(value=False)))
    assert none_used.slices.is_empty()
    assert none_used.left_out.height == 20
    with pytest.raises(ValueError, match="at least one slice"):
        Surface.of(fit.slices)


def test_two_snapshots_in_one_frame_are_refused():
    vols = wide()
    later = vols.with_columns(recv_ts=pl.col("recv_ts").dt.offset_by("1h"))
    with pytest.raises(ValueError, match="one snapshot"):
        fit_surface(pl.concat([vols, later]))
    ImpliedVols.validate(vols)


def test_fit_quality_is_what_its_names_say():
    fit = fit_surface(wide(noise=0.8))
    first = fit.slices.row(3, named=True)
    quotes = fit.quotes.filter(pl.col("expiry_ts") == first["expiry_ts"])
    miss = (quotes["iv_fit"] - quotes["iv_mid"]).to_numpy()
    half = 0.5 * (quotes["iv_ask"] - quotes["iv_bid"]).to_numpy()
    assert first["rmse_iv"] == pytest.approx(np.sqrt((miss**2).mean()))
    assert first["rmse_half_spreads"] == pytest.approx(np.sqrt(((miss / half) ** 2).mean()))
    assert first["inside_share"] == pytest.approx((np.abs(miss) <= half + 1e-12).mean(), abs=0.041)
    assert first["atm_iv"] == pytest.approx(np.sqrt(first["theta"] / first["t_cal"]))
    h = 1e-5
    iv = np.sqrt(essvi([-h, h], first["theta"], first["psi"], first["rho"]).value / first["t_cal"])
    assert first["skew"] == pytest.approx((iv[1] - iv[0]) / (2 * h), rel=1e-5)
    assert (fit.slices["svi_rmse_iv"] <= fit.slices["rmse_iv"] * 1.02).all()
