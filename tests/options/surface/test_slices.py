"""SVI and eSSVI slices against the published numbers of options.md A5 and against slow formulas."""

from __future__ import annotations

import numpy as np
import pytest

from argus_core.options.surface import (
    RawSvi,
    butterfly_slack,
    calendar_slack,
    durrleman,
    essvi,
    fit_svi,
    from_jump_wings,
    jump_wings,
    raw_svi,
    repair,
    svi,
)
from argus_core.options.surface.ssvi import Variance

VOGT = RawSvi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def test_a5_vogt_slice_in_jump_wings():
    expected = (0.017426252555, -0.175211140809, 0.699738104117, 1.316798218986, 0.011624903235)
    assert jump_wings(VOGT, 1.0) == pytest.approx(expected, abs=1e-11)


def test_a5_vogt_slice_has_butterflies_where_published():
    k = np.linspace(-1.5, 2.0, 350_001)
    g = durrleman(k, svi(k, VOGT))
    assert g.min() == pytest.approx(-0.0328635736, abs=1e-9)
    assert k[g.argmin()] == pytest.approx(0.87926, abs=1e-5)
    assert k[g < 0][[0, -1]] == pytest.approx([0.64241, 1.25691], abs=2e-5)


def test_a5_repair_of_the_vogt_slice():
    repaired = repair(VOGT, 1.0)
    wings = jump_wings(repaired, 1.0)
    assert wings.c == pytest.approx(0.349315822499, abs=1e-11)
    assert wings.v_min == pytest.approx(0.015481824841, abs=1e-11)
    expected = (0.007740912420, 0.069242034489, -0.334036480611, 0.042033745230, 0.118607802913)
    assert repaired == pytest.approx(expected, abs=1e-11)
    k = np.linspace(-1.5, 1.5, 4_001)
    assert durrleman(k, svi(k, repaired)).min() == pytest.approx(0.2778, abs=2e-4)


def test_a5_ssvi_values_and_raw_form():
    w = essvi([-0.3, 0.0, 0.2], 0.04, 0.04 * 2, -0.6).value
    # The table prints .0560444104037; by hand w(-.3) = .02 (1.36 + sqrt(2.08)) = .0560444102037: a digit slipped.
    assert w == pytest.approx([0.02 * (1.36 + np.sqrt(2.08)), 0.04, 0.0316924225025], abs=1e-13)
    assert w[0] == pytest.approx(0.0560444104037, abs=3e-10)
    assert raw_svi(0.04, 0.08, -0.6) == pytest.approx((0.0128, 0.04, -0.6, 0.3, 0.4), abs=1e-13)
    k = np.linspace(-1, 1, 9)
    assert svi(k, RawSvi(*raw_svi(0.04, 0.08, -0.6))).value == pytest.approx(essvi(k, 0.04, 0.08, -0.6).value)


def test_a5_the_butterfly_bound_is_sufficient_not_necessary():
    theta, phi, rho = 0.04, 12.0, -0.7
    assert theta * phi**2 * (1 + abs(rho)) == pytest.approx(9.792)
    assert butterfly_slack(theta, theta * phi, rho) < 0
    k = np.linspace(-3, 3, 60_001)
    assert durrleman(k, essvi(k, theta, theta * phi, rho)).min() == pytest.approx(0.099, abs=1e-3)


def test_a5_calendar_pairs():
    k = np.linspace(-2, 2, 400_001)
    good = (0.010, 0.12, -0.7), (0.022, 0.20, -0.6)
    bad = (0.010, 0.12, -0.4), (0.012, 0.13, -0.75)
    gap = essvi(k, *good[1]).value - essvi(k, *good[0]).value
    assert gap.min() == pytest.approx(0.00890712, abs=1e-8)
    assert calendar_slack(*good[0], *good[1]) >= 0
    gap = essvi(k, *bad[1]).value - essvi(k, *bad[0]).value
    assert gap[-1] == pytest.approx(-0.0410, abs=5e-5)
    assert calendar_slack(*bad[0], *bad[1]) < 0


def test_growing_wings_alone_do_not_prevent_crossings_but_with_phi_they_do():
    rng = np.random.default_rng(5)
    n = 4_000
    theta, rho = rng.uniform(0.001, 0.2, (2, n)), rng.uniform(-0.95, 0.95, (2, n))
    psi = np.minimum(rng.uniform(0.05, 2, (2, n)), np.sqrt(4 * theta / (1 + np.abs(rho))))
    wings = (psi[1] - psi[0] >= np.abs(rho[1] * psi[1] - rho[0] * psi[0])) & (theta[1] >= theta[0])
    accepted = calendar_slack(theta[0], psi[0], rho[0], theta[1], psi[1], rho[1]) >= 0
    k = np.linspace(-4, 4, 801)
    one, two = (essvi(k[None], theta[i, :, None], psi[i, :, None], rho[i, :, None]).value for i in range(2))
    crosses = (two - one).min(axis=1) < -1e-13
    assert accepted.sum() > 100
    assert not crosses[accepted].any()
    assert crosses[wings].mean() > 0.02


@pytest.mark.parametrize("slice_", [VOGT, RawSvi(0.01, 0.3, -0.9, 0.05, 0.02), RawSvi(0.0128, 0.04, -0.6, 0.3, 0.4)])
def test_raw_parameters_survive_the_way_through_jump_wings(slice_):
    assert from_jump_wings(jump_wings(slice_, 0.7), 0.7) == pytest.approx(slice_, rel=1e-9)


def test_derivatives_equal_central_differences():
    k, h = np.linspace(-1.5, 1.5, 31), 1e-4
    for law in (lambda x: svi(x, VOGT), lambda x: essvi(x, 0.05, 0.3, -0.8)):
        low, mid, high = law(k - h), law(k), law(k + h)
        assert mid.slope == pytest.approx((high.value - low.value) / (2 * h), abs=1e-7)
        assert mid.curvature == pytest.approx((high.value - 2 * mid.value + low.value) / h**2, abs=1e-5)


def test_g_of_a_flat_smile_is_one():
    k = np.linspace(-1, 1, 5)
    flat = Variance(np.full(5, 0.04), np.zeros(5), np.zeros(5))
    assert durrleman(k, flat) == pytest.approx(np.ones(5))


def test_the_quasi_explicit_fit_recovers_raw_slices_and_leaves_thin_ones_out():
    truth = [VOGT, repair(VOGT, 1.0), RawSvi(0.0128, 0.04, -0.6, 0.3, 0.4)]
    k = np.tile(np.linspace(-1, 1, 30), (4, 1))
    w = np.stack([*(svi(k[0], slice_).value for slice_ in truth), np.full(30, 0.04)])
    weight = np.full_like(w, 1e3)
    weight[3, 4:] = 0.0
    found = np.stack(fit_svi(k, w, weight, (np.zeros(4), np.full(4, 0.2))), axis=1)
    assert found[:3] == pytest.approx(np.array(truth), rel=1e-5, abs=1e-6)
    assert np.isnan(found[3]).all()


def test_the_quasi_explicit_fit_is_as_good_as_scipy_on_noisy_slices():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(3)
    k = np.linspace(-0.3, 0.25, 25)
    w = svi(k, RawSvi(0.002, 0.05, -0.4, 0.02, 0.1)).value * (1 + 0.01 * rng.standard_normal((6, 25)))
    weight = np.full_like(w, 1e4)
    fits = fit_svi(np.tile(k, (6, 1)), w, weight, (np.zeros(6), np.full(6, 0.1)))
    for i in range(6):
        slice_ = RawSvi(*(float(np.asarray(v)[i]) for v in fits))
        ours = (((svi(k, slice_).value - w[i]) * 1e4) ** 2).sum()

        def miss(p, i=i):
            return (svi(k, RawSvi(p[0], p[1], np.tanh(p[2]), p[3], np.exp(p[4]))).value - w[i]) * 1e4

        start = [0.002, 0.05, np.arctanh(-0.4), 0.02, np.log(0.1)]
        theirs = (least_squares(miss, start, method="lm").fun ** 2).sum()
        assert ours <= theirs * 1.001
        assert slice_.b * (1 + abs(slice_.rho)) <= 2.0 + 1e-9
