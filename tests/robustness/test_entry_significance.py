"""Entries against random entries: uniform without skill, small with it, blind to drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.robustness.entry_significance import entry_significance

START = datetime(2025, 1, 6, 14, 30, tzinfo=UTC)


def market(seed=0, days=60, drift=0.0):
    moves = np.random.default_rng(seed).normal(drift, 0.002, (days, 13))
    close = 100 * np.exp(moves.cumsum().reshape(days, 13))
    opens = np.concatenate([[100.0], close.ravel()[:-1]])
    ts = [START + timedelta(days=d, minutes=30 * k) for d in range(days) for k in range(13)]
    return pl.DataFrame({"ts": ts, "open": opens, "close": close.ravel()}).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC"))
    )


def trades(bars, entries, held, side=1):
    held = np.broadcast_to(held, len(entries))
    return pl.DataFrame(
        {
            "entry_ts": bars["ts"].gather(list(entries)),
            "exit_ts": bars["ts"].gather([int(e + h) for e, h in zip(entries, held, strict=True)]),
            "side": pl.Series([side] * len(entries), dtype=pl.Int8),
        }
    )


def skilled(bars, held=4, slot=3):
    """Enters at one time of day, on the days after which the price rose."""
    opens = bars["open"].to_numpy()
    return [e for e in range(slot, len(opens) - held, 13) if opens[e + held] > opens[e]]


def test_random_entries_have_uniform_p_values():
    found = []
    for seed in range(200):
        bars = market(seed)
        entries = np.sort(np.random.default_rng(seed + 999).choice(bars.height - 10, 25, replace=False))
        one = entry_significance(trades(bars, entries, 4), bars, draws=199, seed=seed)
        assert one is not None
        found.append(one.p_value)
    # 200 draws of a rate of 5 %: 99.9 % lie below 21.
    assert sum(p <= 0.05 for p in found) <= 20
    assert 0.4 < np.mean(found) < 0.6


def test_skill_shows_and_its_size_is_told():
    bars = market(3)
    one = entry_significance(trades(bars, skilled(bars), 4), bars, draws=500)
    assert one is not None
    assert one.p_value == pytest.approx(1 / 501)
    assert one.excess_bp > 20


def test_a_drift_is_not_skill():
    bars = market(5, drift=0.001)
    entries = np.sort(np.random.default_rng(1).choice(700, 40, replace=False))
    one = entry_significance(trades(bars, entries, 6), bars, draws=500)
    assert one is not None
    assert one.p_value > 0.05
    short = entry_significance(trades(market(3), skilled(market(3)), 4, side=-1), market(3), draws=500)
    assert short is not None
    assert short.p_value > 0.99


def test_the_same_seed_gives_the_same_numbers_and_chunks_do_not_matter(monkeypatch):
    bars = market(2)
    mine = trades(bars, skilled(bars), 4)
    whole = entry_significance(mine, bars, seed=7)
    monkeypatch.setattr("argus_core.robustness.entry_significance._CELLS", 200)
    assert entry_significance(mine, bars, seed=7) == whole


def test_daylight_saving_is_no_skill():
    """The first half hour always rises. Who buys it on random days has no timing, in winter and in summer."""
    moves = np.random.default_rng(8).normal(0, 0.001, (120, 13))
    moves[:, 0] += 0.004
    close = 100 * np.exp(moves.cumsum())
    start = [START + timedelta(days=d, hours=-1 if d >= 60 else 0) for d in range(120)]
    bars = pl.DataFrame(
        {
            "ts": pl.Series([s + timedelta(minutes=30 * k) for s in start for k in range(13)]).cast(
                pl.Datetime("us", "UTC")
            ),
            "open": np.concatenate([[100.0], close[:-1]]),
            "close": close,
            "minute_of_session": np.tile(np.arange(13) * 30, 120).astype(np.int32),
        }
    )
    mine = trades(bars, np.sort(np.random.default_rng(1).choice(119, 50, replace=False)) * 13, 1)
    by_session, by_utc = (entry_significance(mine, b, draws=500) for b in (bars, bars.drop("minute_of_session")))
    assert by_session is not None
    assert by_utc is not None
    assert by_session.p_value > 0.05
    assert by_utc.p_value < 0.01


def test_nothing_to_compare_is_none():
    bars = market()
    assert entry_significance(trades(bars, [], 1), bars) is None
    late = bars.with_columns(pl.col("ts") + timedelta(days=900))
    assert entry_significance(trades(bars, [3], 1), late) is None
