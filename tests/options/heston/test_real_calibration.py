"""Heston on the real SPY and SPX chains of evenings: it converges, fits as well as Heston can, and moves slowly."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from argus_core.options.heston import HestonParameters
from argus_core.options.heston.calibration import calibrate
from argus_core.options.heston.fits import fit_snapshots, heston_residuals
from argus_core.settings import Instrument
from argus_core.settings.option_calibration import HestonCalibrationSettings
from tests.options.test_real_chains import analysed, load

SPX = Instrument(symbol="SPX", asset_class="index")
SPY = Instrument(symbol="SPY", asset_class="etf")


@pytest.mark.parametrize(("symbol", "instrument"), [("SPX", SPX), ("SPY", SPY)])
def test_an_evening_chain_is_fitted_to_a_point_of_volatility(shared_data, symbol, instrument) -> None:
    _, vols = analysed(load(shared_data, f"{symbol}_2026-08-18_eod"), instrument)
    fit = calibrate(vols)
    assert fit.converged
    assert fit.reason is None
    assert fit.n_contracts > 4000
    assert fit.n_expiries == 30
    # Heston has no jumps: the first two weeks are worse than the rest.
    assert fit.rmse_iv < 0.011
    late = fit.by_expiry.filter(pl.col("t_cal") > 14 / 365)
    early = fit.by_expiry.filter(pl.col("t_cal") <= 14 / 365)
    assert late["rmse_iv"].median() < 0.009
    assert late["rmse_iv"].median() < early["rmse_iv"].max()
    p = fit.parameters
    assert p is not None
    assert 0.005 < p.v0 < 0.05
    assert 0.02 < p.theta < 0.1
    assert -0.85 < p.rho < -0.5
    assert p.feller < 1
    # A search finds no better optimum.
    searched = calibrate(vols, HestonCalibrationSettings(starts=5, seed=1))
    assert fit.objective <= 1.001 * searched.objective


def test_parameters_of_consecutive_evenings_stay_close(shared_data) -> None:
    parts = [analysed(load(shared_data, f"SPX_2026-08-{day}_eod"), SPX)[1] for day in (17, 18)]
    vols = pl.concat(parts)
    fits = fit_snapshots(vols)
    assert fits["converged"].all()
    assert fits["regularised"].to_list() == [False, True]
    first, second = (np.array(row) for row in fits.select(HestonParameters._fields).iter_rows())
    assert np.all(np.abs(second / first - 1) < 0.5)
    gaps = heston_residuals(vols, fits)
    assert gaps.height == vols["used"].sum()
    assert gaps["gap"].is_finite().mean() > 0.97
