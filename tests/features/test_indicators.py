"""Indicators: batch equals incremental to the last bit, known values, outside oracles."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core import features
from argus_core.features.wilder import true_range

FISHER_A_HIGHS = [
    82.15,
    81.89,
    83.03,
    83.30,
    83.85,
    83.90,
    83.33,
    84.30,
    84.84,
    85.00,
    85.90,
    86.58,
    86.98,
    88.00,
    87.87,
]
FISHER_A_LOWS = [
    81.29,
    80.64,
    81.31,
    82.65,
    83.07,
    83.11,
    82.49,
    82.30,
    84.15,
    84.11,
    84.03,
    85.39,
    85.76,
    87.17,
    87.01,
]
FISHER_A = [0.343, 0.791, 0.825, 0.806, 1.066, 1.439, 1.851, 2.275, 2.698, 3.117, 3.185]


def bars(seed: int, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 2e-3, n))), 2)
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) + np.round(rng.exponential(0.05, n), 2)
    low = np.minimum(opens, close) - np.round(rng.exponential(0.05, n), 2)
    volume = rng.integers(0, 50, n).astype(float)
    return {"high": high, "low": low, "close": close, "volume": volume, "session": np.arange(n) // 40}


def updates(indicator, *columns: np.ndarray) -> np.ndarray:
    return np.array([indicator.update(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]).T


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 200), length=st.integers(2, 40))
def test_batch_and_incremental_forms_agree_to_the_last_bit(seed, n, length):
    b = bars(seed, n)
    h, lo, c, v, s = b["high"], b["low"], b["close"], b["volume"], b["session"]
    returns = features.log_returns(c)
    pairs = [
        (features.ema(c, length), features.Ema(length), (c,)),
        (features.rsi_wilder(c, length), features.RsiWilder(length), (c,)),
        (features.atr_wilder(h, lo, c, length), features.AtrWilder(length), (h, lo, c)),
        (returns, features.LogReturns(), (c,)),
        (features.rolling_volatility(returns, length), features.RollingVolatility(length), (returns,)),
        (features.fisher(h, lo, length), features.Fisher(length), (h, lo)),
        (features.session_vwap(h, lo, c, v, s), features.SessionVwap(), (h, lo, c, v, s)),
    ]
    for batch, incremental, columns in pairs:
        assert np.array_equal(batch, updates(incremental, *columns), equal_nan=True), type(incremental).__name__
    if n:
        assert np.array_equal(features.macd(c, 5, 9, 4), updates(features.Macd(5, 9, 4), c), equal_nan=True)
        bands = features.bollinger(c, length, 2.5)
        assert np.array_equal(bands, updates(features.Bollinger(length, 2.5), c), equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 150))
def test_the_future_never_changes_a_value(seed, cut):
    b = bars(seed, 150)
    h, lo, c = b["high"], b["low"], b["close"]
    for indicator in (
        lambda k: features.ema(c[:k], 12),
        lambda k: features.rsi_wilder(c[:k]),
        lambda k: features.atr_wilder(h[:k], lo[:k], c[:k]),
        lambda k: features.macd(c[:k])[2],
        lambda k: features.rolling_volatility(features.log_returns(c[:k]), 20),
        lambda k: features.bollinger(c[:k])[1],
        lambda k: features.fisher(h[:k], lo[:k]),
    ):
        assert np.array_equal(indicator(cut), indicator(150)[:cut], equal_nan=True)


def test_warm_up_is_nan_and_has_the_stated_length():
    b = bars(1, 60)
    h, lo, c = b["high"], b["low"], b["close"]
    returns = features.log_returns(c)
    warm_up = {
        "ema": (features.ema(c, 10), 9),
        "rsi": (features.rsi_wilder(c, 14), 14),
        "atr": (features.atr_wilder(h, lo, c, 14), 13),
        "macd": (features.macd(c)[0], 25),
        "macd signal": (features.macd(c)[1], 33),
        "returns": (returns, 1),
        "volatility": (features.rolling_volatility(returns, 20), 20),
        "bollinger": (features.bollinger(c)[0], 19),
        "fisher": (features.fisher(h, lo, 5), 4),
    }
    for name, (values, expected) in warm_up.items():
        assert np.isnan(values[:expected]).all(), name
        assert np.isfinite(values[expected:]).all(), name


def test_a66_fisher_gives_the_published_values():
    values = features.fisher(np.array(FISHER_A_HIGHS), np.array(FISHER_A_LOWS), 5)
    assert values[4:] == pytest.approx(FISHER_A, abs=5e-4)


def test_fisher_of_a_window_without_range_is_zero():
    flat = np.full(20, 10.0)
    assert features.fisher(flat, flat, 5)[4:].tolist() == [0.0] * 16


def test_ema_of_a_nan_starts_anew():
    values = np.array([1.0, 2.0, math.nan, 3.0, 5.0, 7.0])
    batch = features.ema(values, 2)
    assert batch == pytest.approx([math.nan, 1.5, math.nan, math.nan, 4.0, 6.0], nan_ok=True)
    assert np.array_equal(batch, updates(features.Ema(2), values), equal_nan=True)


def test_rsi_at_its_limits():
    rising, flat = np.arange(1.0, 30.0), np.full(30, 5.0)
    assert set(features.rsi_wilder(rising)[14:]) == {100.0}
    assert set(features.rsi_wilder(rising[::-1].copy())[14:]) == {0.0}
    assert set(features.rsi_wilder(flat)[14:]) == {50.0}


def test_ema_macd_and_rsi_equal_pandas_recursions():
    pandas = pytest.importorskip("pandas")
    c = bars(7, 300)["close"]
    seeded = pandas.Series(np.concatenate([[c[:12].mean()], c[12:]]))
    assert features.ema(c, 12)[11:] == pytest.approx(
        seeded.ewm(alpha=2 / 13, adjust=False).mean().to_numpy(), rel=1e-12
    )
    change = np.diff(c)
    averages = [
        pandas.Series(np.concatenate([[side[:14].mean()], side[14:]])).ewm(alpha=1 / 14, adjust=False).mean()
        for side in (np.maximum(change, 0), np.maximum(-change, 0))
    ]
    expected = 100 - 100 / (1 + averages[0] / averages[1])
    assert features.rsi_wilder(c)[14:] == pytest.approx(expected.to_numpy(), rel=1e-9)


def test_volatility_bollinger_and_vwap_equal_polars():
    b = bars(9, 200)
    returns = features.log_returns(b["close"])
    oracle = pl.Series(returns[1:]).rolling_std(30).to_numpy()
    assert features.rolling_volatility(returns, 30)[30:] == pytest.approx(oracle[29:], rel=1e-9)
    middle, upper, _ = features.bollinger(b["close"])
    closes = pl.Series(b["close"])
    assert middle[19:] == pytest.approx(closes.rolling_mean(20).to_numpy()[19:], rel=1e-12)
    assert (upper - middle)[19:] == pytest.approx(2 * closes.rolling_std(20, ddof=0).to_numpy()[19:], rel=1e-6)
    frame = pl.DataFrame(b).with_columns(
        money=(pl.col("high") + pl.col("low") + pl.col("close")) / 3 * pl.col("volume")
    )
    running = frame.select((pl.col("money").cum_sum() / pl.col("volume").cum_sum()).over("session")).to_series()
    ours = features.session_vwap(b["high"], b["low"], b["close"], b["volume"], b["session"])
    assert ours == pytest.approx(running.to_numpy(), rel=1e-12, nan_ok=True)


def test_true_range_counts_the_gap_from_the_previous_close():
    ranges = true_range(np.array([11.0, 15.0, 9.0]), np.array([10.0, 14.0, 8.5]), np.array([10.5, 14.5, 9.0]))
    assert ranges.tolist() == [1.0, 4.5, 6.0]


def test_a_year_of_minutes_agrees_in_both_forms(shared_data):
    frame = pl.read_parquet(shared_data / "bars_1m" / "SPY.parquet").filter(pl.col("ts").dt.date() < date(2024, 6, 1))
    close = frame["close"].to_numpy()
    assert np.array_equal(features.ema(close, 120), updates(features.Ema(120), close), equal_nan=True)
    assert np.array_equal(features.log_returns(close), updates(features.LogReturns(), close), equal_nan=True)
