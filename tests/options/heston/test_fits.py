"""Fits of snapshots know only earlier ones, come out as the same bytes, and show the model beside the market."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.options.heston import HestonParameters
from argus_core.options.heston.calibration import calibrate
from argus_core.options.heston.fits import fit_snapshots, heston_residuals
from argus_core.options.schemas import HestonFits, HestonResiduals
from argus_core.settings.option_calibration import HestonCalibrationSettings
from tests.options.heston_chains import PARAMETERS, RECV, heston_chain

DAYS, DEVIATIONS = (20, 60, 200), tuple(np.linspace(-2, 1.5, 8))
DRIFTED = HestonParameters(0.05, 2.1, 0.052, 0.65, -0.72)


@pytest.fixture(scope="module")
def snapshots() -> pl.DataFrame:
    """Three snapshots of a drifting market; the second has too few contracts."""
    parts = []
    for number, parameters in enumerate((PARAMETERS, PARAMETERS, DRIFTED)):
        chain = heston_chain(
            parameters,
            recv_ts=RECV + timedelta(minutes=30 * number),
            days=DAYS,
            deviations=DEVIATIONS,
            noise=0.5,
            noise_seed=number,
        ).implied_vols
        parts.append(chain if number != 1 else chain.head(4))
    return pl.concat(parts)


def test_one_row_per_snapshot_with_a_reason_where_there_is_no_fit(snapshots: pl.DataFrame) -> None:
    fits = HestonFits.validate(fit_snapshots(snapshots))
    assert fits["recv_ts"].to_list() == [RECV + timedelta(minutes=30 * i) for i in range(3)]
    assert fits["converged"].to_list() == [True, False, True]
    assert fits["v0"].is_null().to_list() == [False, True, False]
    assert fits["reason"][1].endswith("usable contracts, 10 are needed")
    assert fits["regularised"].to_list() == [False, True, True]
    assert fits["v0"][0] == pytest.approx(PARAMETERS.v0, rel=0.05)
    assert fits["v0"][2] == pytest.approx(DRIFTED.v0, rel=0.05)
    assert fits["se_v0"][0] < 0.002
    p = HestonParameters(*fits.select(HestonParameters._fields).row(0))
    assert fits["parameter_hash"][0] == p.digest
    assert fits["feller"][0] == p.feller


def test_the_next_fit_starts_at_the_last_that_converged(snapshots: pl.DataFrame) -> None:
    fits = fit_snapshots(snapshots)
    first = HestonParameters(*fits.select(HestonParameters._fields).row(0))
    alone = calibrate(snapshots.filter(pl.col("recv_ts") == pl.col("recv_ts").max()), previous=first)
    assert fits.select(HestonParameters._fields).row(2) == tuple(alone.parameters)


def test_later_snapshots_change_nothing_before_them(snapshots: pl.DataFrame) -> None:
    whole = fit_snapshots(snapshots)
    moved = pl.when(pl.col("recv_ts") == RECV + timedelta(minutes=60)).then(pl.col("iv_mid") * 1.3).otherwise("iv_mid")
    assert fit_snapshots(snapshots.with_columns(iv_mid=moved)).head(2).equals(whole.head(2))
    early = snapshots.filter(pl.col("recv_ts") < RECV + timedelta(minutes=60))
    assert fit_snapshots(early).equals(whole.head(2))


def test_any_order_of_rows_gives_the_same_bytes(snapshots: pl.DataFrame) -> None:
    shuffled = snapshots[np.random.default_rng(3).permutation(snapshots.height)]
    fits = fit_snapshots(snapshots)
    assert fit_snapshots(shuffled).equals(fits, null_equal=True)
    assert heston_residuals(shuffled, fits).equals(heston_residuals(snapshots, fits))


def test_what_was_known_before_enters_the_first_fit_of_each_underlying(snapshots: pl.DataFrame) -> None:
    first = snapshots.filter(pl.col("recv_ts") == RECV)
    two = pl.concat([first, first.with_columns(underlying=pl.lit("QQQ"))])
    fits = fit_snapshots(two, HestonCalibrationSettings(previous_strength=1e9), previous=DRIFTED)
    assert fits["underlying"].to_list() == ["QQQ", "SPY"]
    assert fits["kappa"].to_list() == pytest.approx([DRIFTED.kappa] * 2, rel=1e-3)
    assert fits["regularised"].all()


def test_residuals_show_model_beside_market_also_for_contracts_left_out(snapshots: pl.DataFrame) -> None:
    short = heston_chain(days=(2, 20, 60, 200), deviations=DEVIATIONS).implied_vols
    fits = fit_snapshots(short)
    gaps = HestonResiduals.validate(heston_residuals(short, fits))
    assert gaps.height == short.filter("used").height == 32
    assert fits["n_contracts"][0] == 24
    # Noise-free: the model reproduces every contract, the two-day expiry that it did not see too.
    assert gaps["gap"].abs().max() < 1e-6
    assert gaps["gap_half_spreads"].abs().max() < 1e-3
    assert gaps["parameter_hash"].unique().to_list() == fits["parameter_hash"].to_list()
    # A snapshot without a fit has no rows.
    several = heston_residuals(snapshots, fit_snapshots(snapshots))
    assert several["recv_ts"].n_unique() == 2


def test_no_rows_give_no_fits() -> None:
    empty = heston_chain(days=(20,), deviations=(0.0,)).implied_vols.clear()
    fits = fit_snapshots(empty)
    assert fits.is_empty()
    assert heston_residuals(empty, fits).is_empty()
