"""PBO against the R package's vignette (A-36, with R's generator re-implemented) and on pure noise (A-76)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import linregress

from argus_core.evaluation.pbo import overfitting_probability


class R:
    """R's default generator: Mersenne Twister, scrambled seed, normals by inversion (R sources, RNG.c and snorm.c)."""

    def __init__(self, seed: int) -> None:
        for _ in range(50):
            seed = (69069 * seed + 1) & 0xFFFFFFFF
        state = []
        for _ in range(625):
            seed = (69069 * seed + 1) & 0xFFFFFFFF
            state.append(seed)
        # The first word is the position; R sets it to 624, so the state is generated anew at the first draw.
        self.generator = np.random.RandomState()
        self.generator.set_state(("MT19937", np.array(state[1:], np.uint32), 624))

    def uniform(self, count: int) -> np.ndarray:
        words = self.generator.randint(0, 2**32, count, dtype=np.uint32)
        return np.clip(words * 2.3283064365386963e-10, 0.5 * 2.328306437080797e-10, 1 - 0.5 * 2.328306437080797e-10)

    def normal(self, count: int) -> np.ndarray:
        draws = self.uniform(2 * count).reshape(count, 2)
        big = 134217728
        return ndtri((np.floor(big * draws[:, 0]) + draws[:, 1]) / big)


def test_the_generator_is_rs():
    # set.seed(42); rnorm(3) and set.seed(123); rnorm(3), as R prints them.
    np.testing.assert_allclose(R(42).normal(3), [1.37095845, -0.56469817, 0.36312841], atol=1e-8)
    np.testing.assert_allclose(R(123).normal(3), [-0.56047565, -0.23017749, 1.55870831], atol=1e-8)


@pytest.fixture(scope="module")
def vignette() -> np.ndarray:
    matrix = R(765).normal(2400 * 100).reshape(100, 2400).T
    matrix = matrix * (252**-0.5 / matrix.std(axis=0, ddof=1))
    return matrix - matrix.mean(axis=0)


@pytest.mark.parametrize(
    ("blocks", "slope", "printed", "adjusted"), [(8, -0.998014, -0.003046, 0.97), (4, -0.886389, -0.005909, 0.88)]
)
def test_a36_the_vignette_of_the_r_package(vignette, blocks, slope, printed, adjusted):
    found = overfitting_probability(vignette - 0.03 / 252, blocks=blocks)
    assert found.pbo == 1.0
    assert found.loss_probability == 1.0
    assert found.slope == pytest.approx(slope, abs=1e-4)
    # What the package prints as "slope" is the intercept of in sample regressed on out of sample.
    inside, outside = winners(vignette - 0.03 / 252, blocks)
    fit = linregress(outside, inside)
    assert fit.intercept == pytest.approx(printed, abs=1e-4)
    n = len(inside)
    assert 1 - (1 - fit.rvalue**2) * (n - 1) / (n - 2) == pytest.approx(adjusted, abs=0.005)


def winners(values: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe in and out of sample of every split's winner, by plain loops."""
    parts = np.split(values, blocks)
    pairs = []
    for chosen in combinations(range(blocks), blocks // 2):
        one = np.concatenate([parts[i] for i in chosen])
        other = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        sharpes = one.mean(axis=0) / one.std(axis=0, ddof=1)
        best = int(np.argmax(sharpes))
        pairs.append((sharpes[best], other[:, best].mean() / other[:, best].std(ddof=1)))
    return tuple(np.array(pairs).T)  # type: ignore[return-value]


def test_a76_noise_scatters_widely_and_a_real_edge_does_not():
    def pbo(seed: int, edge: float) -> float:
        values = np.random.default_rng(seed).normal(size=(512, 50))
        values[:, 7] += edge
        return overfitting_probability(values, blocks=8, metric="mean").pbo

    null = np.array([pbo(seed, 0.0) for seed in range(200)])
    assert null.mean() == pytest.approx(0.50, abs=0.05)
    assert null.std() == pytest.approx(0.18, abs=0.03)
    assert np.mean([pbo(seed, 0.25) for seed in range(200)]) == pytest.approx(0.03, abs=0.03)
