from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.robustness import resample_paths

PATH_A = np.array([120.0, -80.0, 60.0, -150.0, 90.0, 40.0])
CAPITAL = 1000.0


def mix(h):
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def twin(values, block, paths, seed, method="stationary", ruin=0.5, compound=True, stop=True):
    """The kernel as plain NumPy, one path after the other: same hash, same order of operations."""
    n = len(values)
    key = np.uint32(zlib.crc32(values.astype("<f8").tobytes(), zlib.crc32(seed.to_bytes(8, "little", signed=True))))
    streams = mix(mix(np.arange(paths, dtype=np.uint32) * np.uint32(0x9E3779B9) + key))
    numbers = [mix(np.arange(2, dtype=np.uint32) + np.uint32(2 * s)) for s in range(n)]
    threshold = np.uint32(int(2**32 / (1.0 if method == "iid" else block)) - 1)
    out = []
    for stream in streams:
        if method == "permutation":
            order = np.argsort([mix(np.array([stream ^ b], np.uint32))[0] for _, b in numbers], kind="stable")
        equity = peak = 1.0
        worst, ruined, index, current, longest = 0.0, False, 0, 0, 0
        for step, (a, b) in enumerate(numbers):
            if method == "permutation":
                index = order[step]
            else:
                fresh = int(mix(np.array([stream ^ b], np.uint32))[0]) * n >> 32
                restart = step == 0 or mix(np.array([stream ^ a], np.uint32))[0] <= threshold
                index = fresh if restart else (index + 1) % n
            if not (stop and ruined):
                equity = max(equity * (1.0 + values[index]) if compound else equity + values[index], 0.0)
            peak = max(peak, equity)
            worst = max(worst, 1.0 - equity / peak)
            ruined = ruined or equity <= ruin
            current = current + 1 if equity < peak else 0
            longest = max(longest, current)
        out.append((equity, worst, ruined, longest))
    return [np.array(column) for column in zip(*out, strict=True)]


@pytest.mark.parametrize("method", ["stationary", "iid", "permutation"])
@pytest.mark.parametrize("compound", [True, False])
def test_the_kernel_equals_its_plain_twin_bit_for_bit(method, compound):
    values = np.random.default_rng(3).normal(0.002, 0.08, 37)
    more = {"method": method, "compound": compound}
    kernel = resample_paths([values], [4.3], paths=100, seed=9, ruin_level=0.8, **more)[0]
    terminal, drawdown, ruined, under = twin(values, 4.3, 100, 9, ruin=0.8, **more)
    assert np.array_equal(kernel.terminal, terminal)
    assert np.array_equal(kernel.max_drawdown, drawdown)
    assert np.array_equal(kernel.ruined, ruined)
    assert np.array_equal(kernel.under_water, under)
    assert 0 < ruined.mean() < 1


def test_company_order_and_padding_of_runs_do_not_matter():
    rng = np.random.default_rng(1)
    runs = [rng.normal(0.001, 0.02, n) for n in (1, 63, 64, 65, 200, 7, 7, 90, 300, 5, 64)]
    blocks = [1.0 + i % 4 for i in range(len(runs))]
    together = resample_paths(runs, blocks, paths=100, seed=1)
    for values, block, one in zip(runs, blocks, together, strict=True):
        alone = resample_paths([values], [block], paths=100, seed=1)[0]
        assert all(np.array_equal(a, b) for a, b in zip(alone, one, strict=True))
    backwards = resample_paths(runs[::-1], blocks[::-1], paths=100, seed=1)[::-1]
    assert all(np.array_equal(a.terminal, b.terminal) for a, b in zip(together, backwards, strict=True))


def test_the_seed_changes_the_paths():
    values = np.random.default_rng(1).normal(0, 0.02, 50)
    one, two = (resample_paths([values], [1.0], paths=100, seed=s)[0].terminal for s in (1, 2))
    assert not np.array_equal(one, two)


def enumerate_paths(steps, block, *, compound):
    """Every index path of the stationary bootstrap with its probability, exactly."""
    n, p = len(steps), 1 / block
    paths = np.array(list(itertools.product(range(n), repeat=n)))
    follows = paths[:, 1:] == (paths[:, :-1] + 1) % n
    weight = np.prod(np.where(follows, p / n + 1 - p, p / n), axis=1) / n
    moves = steps[paths]
    equity = np.cumprod(1 + moves, axis=1) if compound else 1 + np.cumsum(moves, axis=1)
    equity = np.concatenate([np.ones((len(paths), 1)), equity], axis=1)
    drawdown = (1 - equity / np.maximum.accumulate(equity, axis=1)).max(axis=1)
    return weight, equity, drawdown


# P(ruin), E[MDD %], sd of the end in dollars (additive; ).
PUBLISHED = {
    1.0: (0.223744, 0.169529, 235.655115),
    2.0: (0.150133, 0.155000, 184.873267),
    4.0: (0.089285, 0.150599, 143.875964),
}
B = 40_000


def test_a25_every_statistic_of_independent_trades():
    weight, equity, drawdown = enumerate_paths(PATH_A / CAPITAL, 1.0, compound=False)
    dollars = equity * CAPITAL
    fall = (np.maximum.accumulate(dollars, axis=1) - dollars).max(axis=1)
    end = dollars[:, -1]
    mean = weight @ end
    assert weight @ (dollars <= 800 + 1e-6).any(axis=1) == pytest.approx(0.223744, abs=1e-6)
    assert weight @ (end <= 800 + 1e-6) == pytest.approx(0.125429, abs=1e-6)
    assert weight @ fall == pytest.approx(185.062157, abs=1e-6)
    assert weight @ drawdown == pytest.approx(0.169529, abs=1e-6)
    order = np.argsort(fall)
    assert fall[order][np.searchsorted(np.cumsum(weight[order]), 0.95)] == pytest.approx(410)
    assert mean == pytest.approx(1080)
    assert np.sqrt(weight @ (end - mean) ** 2) == pytest.approx(235.655115, abs=1e-6)
    assert weight @ (end < 1000 - 1e-6) == pytest.approx(0.347051, abs=1e-6)
    # The kernel plays the same game.
    got = resample_paths([PATH_A / CAPITAL], [1.0], paths=B, seed=4, ruin_level=0.8 + 1e-9, compound=False)[0]
    assert got.ruined.mean() == pytest.approx(0.223744, abs=4 * np.sqrt(0.223744 * (1 - 0.223744) / B))
    free = resample_paths([PATH_A / CAPITAL], [1.0], paths=B, seed=4, compound=False, stop_at_ruin=False)[0]
    loss = (free.terminal < 1 - 1e-9).mean()
    assert loss == pytest.approx(0.347051, abs=4 * np.sqrt(0.347051 * (1 - 0.347051) / B))


@pytest.mark.parametrize("block", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("compound", [False, True])
def test_path_statistics_equal_full_enumeration_within_monte_carlo_error(block, compound):
    steps = PATH_A / CAPITAL
    weight, equity, drawdown = enumerate_paths(steps, block, compound=compound)
    assert weight.sum() == pytest.approx(1.0)
    # Sums of decimals: the level sits a hair above 800 dollars.
    level = 0.8 + 1e-9
    ruin = weight @ (equity <= level).any(axis=1)
    end = equity[:, -1]
    spread = np.sqrt(weight @ (end - weight @ end) ** 2)
    if not compound:
        assert (ruin, weight @ drawdown, spread * CAPITAL) == pytest.approx(PUBLISHED[block], abs=2e-6)
        assert weight @ end == pytest.approx(1.08)
    got = resample_paths([steps], [block], paths=B, seed=4, ruin_level=level, compound=compound, stop_at_ruin=False)[0]
    assert got.ruined.mean() == pytest.approx(ruin, abs=4 * np.sqrt(ruin * (1 - ruin) / B))
    below = weight @ (end <= level)
    assert (got.terminal <= level).mean() == pytest.approx(below, abs=4 * np.sqrt(below * (1 - below) / B))
    assert got.terminal.mean() == pytest.approx(weight @ end, abs=4 * spread / np.sqrt(B))
    sd = np.sqrt(weight @ (drawdown - weight @ drawdown) ** 2)
    assert got.max_drawdown.mean() == pytest.approx(weight @ drawdown, abs=4 * sd / np.sqrt(B))


@given(st.lists(st.floats(-0.2, 0.25), min_size=2, max_size=40), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_permutations_all_end_at_the_same_wealth(values, seed):
    returns = np.array(values)
    got = resample_paths([returns], [1.0], paths=100, seed=seed, method="permutation", stop_at_ruin=False)[0]
    assert got.terminal == pytest.approx(np.full(100, np.prod(1 + returns)), rel=1e-12)


def test_permutations_are_uniform():
    # Drawdown of three distinct trades names their order: six orders, each a sixth.
    returns = np.array([-0.1, 0.05, -0.3])
    got = resample_paths([returns], [1.0], paths=30_000, seed=2, method="permutation", stop_at_ruin=False)[0]
    expected = []
    for order in itertools.permutations(returns):
        equity = np.cumprod(np.concatenate([[1.0], 1 + np.array(order)]))
        expected.append(round(float((1 - equity / np.maximum.accumulate(equity)).max()), 9))
    for value in set(expected):
        share = expected.count(value) / 6
        assert (np.round(got.max_drawdown, 9) == value).mean() == pytest.approx(share, abs=0.012)


def test_gamblers_ruin():
    # Start 10 of 20 in unit bets, both barriers; then without the upper one, which is what the kernel plays.
    ratio = 0.45 / 0.55
    both = (ratio**10 - ratio**20) / (1 - ratio**20)
    assert both == pytest.approx(0.118501, abs=1e-6)
    never_stops = both + (1 - both) * ratio**20
    assert never_stops == pytest.approx(ratio**10)
    bets = np.concatenate([np.full(550, 0.1), np.full(450, -0.1)])
    got = resample_paths([bets], [1.0], paths=20_000, seed=3, ruin_level=1e-9, compound=False)[0]
    assert got.ruined.mean() == pytest.approx(never_stops, abs=4 * np.sqrt(never_stops * (1 - never_stops) / 20_000))


def test_a_fair_game_is_lost_as_often_as_the_reflection_principle_says():  # A-28, p = .5
    from scipy.stats import binom

    n = 400
    bets = np.concatenate([np.full(n // 2, 0.1), np.full(n // 2, -0.1)])
    # P(min <= -10) = P(S <= -10) + P(S < -10), S = 2 heads - n.
    exact = binom.cdf((n - 10) // 2, n, 0.5) + binom.cdf((n - 12) // 2, n, 0.5)
    got = resample_paths([bets], [1.0], paths=20_000, seed=3, ruin_level=1e-9, compound=False)[0]
    assert got.ruined.mean() == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_a_ruined_path_stops_and_does_not_recover():
    values = np.array([-0.6, 3.0, 3.0, 3.0])
    got = resample_paths([values], [1.0], paths=2000, seed=1, method="permutation", ruin_level=0.5)[0]
    first = np.isclose(got.terminal, 0.4)
    assert np.array_equal(first, got.ruined)
    assert first.mean() == pytest.approx(0.25, abs=0.04)


def test_equity_never_falls_below_zero():
    got = resample_paths([np.array([-1.5, 0.5])], [1.0], paths=200, seed=1, stop_at_ruin=False)[0]
    assert got.terminal.min() == 0.0
    assert got.max_drawdown.max() == 1.0


def test_a_run_without_trades_and_a_block_below_one_are_errors():
    with pytest.raises(ValueError, match="no trades"):
        resample_paths([np.array([])], [1.0], paths=100, seed=1)
    with pytest.raises(ValueError, match="at least 1"):
        resample_paths([np.array([0.1])], [0.5], paths=100, seed=1)
    assert resample_paths([], [], paths=100, seed=1) == []
