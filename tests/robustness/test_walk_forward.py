from __future__ import annotations

import numpy as np
import pytest

from argus_core.robustness import walk_forward
from argus_core.robustness.walk_forward import sharpe_decay


def noise(lanes, days, seed=0):
    return np.random.default_rng(seed).normal(0, 0.01, (lanes, days))


def sharpe(x):
    return x.mean() / x.std(ddof=1) * np.sqrt(252)


def test_folds_are_anchored_cover_the_rest_and_leave_the_embargo_out():
    result = walk_forward(noise(3, 100), folds=4, embargo_days=2)
    assert [fold.train for fold in result.folds] == [(0, 18), (0, 38), (0, 58), (0, 78)]
    assert [fold.test for fold in result.folds] == [(20, 40), (40, 60), (60, 80), (80, 100)]


def test_rolling_folds_forget_what_lies_before_their_train_blocks():
    result = walk_forward(noise(3, 100), folds=4, mode="rolling", train_blocks=1, embargo_days=2)
    assert [fold.train for fold in result.folds] == [(0, 18), (20, 38), (40, 58), (60, 78)]
    assert [fold.test for fold in result.folds] == [(20, 40), (40, 60), (60, 80), (80, 100)]
    result = walk_forward(noise(3, 100), folds=3, mode="rolling", train_blocks=2, embargo_days=1)
    assert [fold.train for fold in result.folds] == [(0, 39), (20, 59), (40, 79)]
    assert [fold.test for fold in result.folds] == [(40, 60), (60, 80), (80, 100)]


def test_anchored_folds_may_begin_with_more_than_one_block():
    result = walk_forward(noise(3, 100), folds=3, train_blocks=2, embargo_days=0)
    assert [fold.train for fold in result.folds] == [(0, 40), (0, 60), (0, 80)]


def test_a_rolling_choice_follows_a_change_that_an_anchored_one_averages_away():
    returns = noise(2, 200, 4) * 0.1
    # Lane 0 earns much in the first two blocks of forty days, lane 1 a little in the last three.
    returns[0, :80] += 0.01
    returns[1, 80:] += 0.002
    anchored, rolling = (walk_forward(returns, folds=4, mode=mode) for mode in ("anchored", "rolling"))
    assert [fold.chosen for fold in anchored.folds] == [0, 0, 0, 0]
    assert [fold.chosen for fold in rolling.folds] == [0, 0, 1, 1]
    # What lies before the window does not count.
    changed = returns.copy()
    changed[:, :80] = noise(2, 80, 9)
    again = walk_forward(changed, folds=4, mode="rolling")
    assert again.folds[2:] == rolling.folds[2:]


def test_the_lane_is_chosen_on_train_and_judged_on_test():
    returns = noise(5, 120, 3)
    result = walk_forward(returns, folds=3, embargo_days=1)
    stitched = []
    for fold in result.folds:
        scores = [sharpe(lane[slice(*fold.train)]) for lane in returns]
        assert fold.chosen == int(np.argmax(scores))
        assert fold.train_sharpe == pytest.approx(max(scores))
        assert fold.test_sharpe == pytest.approx(sharpe(returns[fold.chosen, slice(*fold.test)]))
        stitched.append(returns[fold.chosen, slice(*fold.test)])
    assert result.oos_sharpe == pytest.approx(sharpe(np.concatenate(stitched)))


def test_what_happens_in_a_test_block_never_changes_its_choice():
    returns = noise(6, 100, 5)
    first = walk_forward(returns, folds=4)
    poisoned = returns.copy()
    poisoned[:, 80:] = noise(6, 20, 99) + 5
    second = walk_forward(poisoned, folds=4)
    assert [f.chosen for f in first.folds] == [f.chosen for f in second.folds]
    inside_embargo = returns.copy()
    inside_embargo[:, 79] = 9.0
    assert walk_forward(inside_embargo, folds=4).folds[-1].chosen == first.folds[-1].chosen


def test_consistent_losers_are_consistent_at_losing():
    # The predecessor gave them no penalty (defect B6).
    result = walk_forward(noise(2, 60) - 0.05)
    assert result.lane_sign_consistency == (0.0, 0.0)
    assert result.lane_decay == (1.0, 1.0)


def test_a_lane_that_never_trades_has_no_sharpe_and_is_never_chosen():
    returns = noise(2, 60, 1) - 0.05
    returns[0] = 0
    result = walk_forward(returns)
    assert {fold.chosen for fold in result.folds} == {1}
    assert result.lane_oos_sharpe[0] is None
    assert result.lane_sign_consistency[0] is None


def test_without_any_choice_the_money_stays_in_cash():
    result = walk_forward(np.zeros((2, 50)))
    assert [fold.chosen for fold in result.folds] == [None] * 4
    assert result.oos_sharpe is None


def test_a_choice_made_of_noise_decays():
    decays = [walk_forward(noise(60, 250, seed)).decay for seed in range(12)]
    assert np.median(decays) > 0.6


def test_short_windows_get_fewer_folds_and_very_short_ones_none():
    assert len(walk_forward(noise(1, 12)).folds) == 3
    assert len(walk_forward(noise(1, 9)).folds) == 2
    assert walk_forward(noise(1, 8)) is None
    assert walk_forward(np.zeros((0, 100))) is None
    # Two blocks of two days to train on, two of two to test.
    assert len(walk_forward(noise(1, 8), train_blocks=2, mode="rolling").folds) == 2
    assert walk_forward(noise(1, 7), train_blocks=2, mode="rolling") is None


@pytest.mark.parametrize(
    ("inside", "outside", "decay"),
    [(2.0, 1.0, 0.5), (2.0, 3.0, 0.0), (2.0, -1.0, 1.0), (-1.0, 1.0, 0.0), (-1.0, -2.0, 1.0), (None, 1.0, None)],
)
def test_decay_is_the_share_of_sharpe_that_is_lost(inside, outside, decay):
    assert sharpe_decay(inside, outside) == decay
