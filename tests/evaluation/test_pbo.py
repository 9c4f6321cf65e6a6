"""CSCV: exact small case, invariants, null behaviour (statistics.md A-37, A-38)."""

from __future__ import annotations

import numpy as np
import pytest

from argus_core.evaluation.pbo import overfitting_probability, split_count

PBO_A = 0.01 * np.array(
    [
        [2, -1, 1, 0],
        [1, 3, -2, 1],
        [-3, 1, 2, 2],
        [4, -2, 0, -1],
        [0, 2, 1, 3],
        [-1, 1, -3, 2],
        [2, 0, 2, -2],
        [1, -1, 3, 1],
    ]
)


def test_a37_small_case_is_exact():
    result = overfitting_probability(PBO_A, blocks=4)
    assert result.pbo == pytest.approx(2 / 3)
    assert sorted(result.logits) == pytest.approx([-1.386294, -1.386294, -0.405465, -0.405465, 1.386294, 1.386294])
    assert result.slope == pytest.approx(-0.214052, abs=1e-5)
    assert result.intercept == pytest.approx(0.326049, abs=1e-5)
    assert result.loss_probability == pytest.approx(1 / 6)


def test_a38_demeaned_columns_force_certain_overfitting():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 6))
    assert overfitting_probability(values - values.mean(axis=0), blocks=8, metric="mean").pbo == 1.0


def test_a38_one_dominating_column_is_never_overfit():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(64, 6)) * 0.01
    values[:, 3] += 1.0
    assert overfitting_probability(values, blocks=8).pbo == 0.0


def test_a38_sixteen_blocks_give_every_split():
    values = np.random.default_rng(2).normal(size=(160, 3))
    assert overfitting_probability(values, blocks=16).n_splits == 12_870


def test_noise_gives_one_half_on_average():
    rng = np.random.default_rng(3)
    values = [overfitting_probability(rng.normal(size=(512, 50)), blocks=8, metric="mean").pbo for _ in range(60)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.08)
    assert np.std(values) == pytest.approx(0.18, abs=0.06)


def test_a_tie_out_of_sample_counts_for_the_winner():
    column = np.random.default_rng(4).normal(size=(40, 1))
    result = overfitting_probability(np.hstack([column, column, column]), blocks=4)
    assert result.logits == pytest.approx(np.full(6, np.log(3)), abs=1e-9)


@pytest.mark.parametrize(("periods", "blocks"), [(60, 12), (250, 16), (19, 0), (20, 4), (0, 0)])
def test_block_count_follows_the_history(periods, blocks):
    assert split_count(periods) == blocks


def test_unusable_input_is_named():
    with pytest.raises(ValueError, match="even"):
        overfitting_probability(PBO_A, blocks=3)
    with pytest.raises(ValueError, match="two configurations"):
        overfitting_probability(PBO_A[:, :1], blocks=4)
