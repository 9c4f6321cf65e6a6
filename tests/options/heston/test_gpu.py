"""The same paths on a CUDA device: equal to the CPU's, and how fast."""

from __future__ import annotations

import time

import numpy as np
import pytest

from argus_core.accelerator import load_jax
from argus_core.options.heston.managed import Management, pop_managed
from argus_core.options.heston.market import Market, SimulatedLeg, SimulatedPosition
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.heston.simulation import Sampling, simulate

EQUITY = HestonParameters(0.04, 2, 0.05, 0.6, -0.7)


@pytest.fixture
def cpu():
    jax = load_jax()
    if jax.default_backend() == "cpu":
        pytest.skip("no CUDA device: pip install .[cuda12] on a machine with one")
    return jax.devices("cpu")[0]


@pytest.mark.gpu
def test_probabilities_equal_those_of_the_cpu(cpu):  # G12
    jax = load_jax()
    sampling = Sampling(paths=2**20, precision="double")
    strikes = np.log([0.9, 0.95, 1.0, 1.05])
    device = simulate(EQUITY, 45 / 365, 45, sampling=sampling)
    with jax.default_device(cpu):
        host = simulate(EQUITY, 45 / 365, 45, sampling=sampling)
    for k in strikes:
        assert (device.x > k).mean() == pytest.approx((host.x > k).mean(), abs=1e-6)


@pytest.mark.gpu
def test_throughput_and_managed_probability(cpu, capsys):  # G4, G5
    sampling = Sampling(paths=2**26)
    held = SimulatedPosition((SimulatedLeg(95, "P", -1, 45), SimulatedLeg(90, "P", 1, 45)), 0.67578465)
    for work in (
        lambda: simulate(EQUITY, 45 / 365, 45, sampling=sampling),
        lambda: pop_managed([held], EQUITY, Market(100, 0.04, 0.013), Management(stop=2.0)),
    ):
        work()
        begin = time.perf_counter()
        work()
        with capsys.disabled():
            print(f"{time.perf_counter() - begin:.3f} s")
    outcome = pop_managed([held], EQUITY, Market(100, 0.04, 0.013), Management(stop=2.0))[0]
    assert outcome.p_target.value == pytest.approx(0.68111, abs=8e-4)
