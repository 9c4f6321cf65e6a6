"""Known facts of a real series that ships with arch: the drawdown of 2007 to 2009 (A-34) and its Sharpe (A-35)."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from argus_core.evaluation.sharpe import min_track_record, probabilistic_sharpe


@pytest.fixture(scope="module")
def prices():
    from arch.data import sp500

    return sp500.load()["Adj Close"]


def test_a34_the_drawdown_of_the_financial_crisis(prices):
    values = prices.to_numpy()
    peak = np.maximum.accumulate(values)
    depth = 1 - values / peak
    low = int(np.argmax(depth))
    high = int(np.argmax(values[: low + 1]))
    assert 100 * depth[low] == pytest.approx(56.77539, rel=1e-6)
    assert (prices.index[high].date(), prices.index[low].date()) == (date(2007, 10, 9), date(2009, 3, 9))
    assert (values[high], values[low]) == pytest.approx((1565.150, 676.530), abs=1e-3)


def test_a34_by_the_metrics_of_a_run(prices):
    from argus_core.replay.metrics import max_drawdown

    values = prices.to_numpy()
    assert 100 * max_drawdown(values[1:] / values[:-1] - 1) == pytest.approx(56.77539, rel=1e-6)


def test_a35_the_sharpe_of_twenty_years(prices):
    returns = np.diff(np.log(prices.to_numpy()))
    n, spread = len(returns), returns.std(ddof=0)
    centred = (returns - returns.mean()) / spread
    sharpe = returns.mean() / returns.std(ddof=1)
    skew, kurtosis = (centred**3).mean(), (centred**4).mean()
    assert (sharpe, skew, kurtosis) == pytest.approx((0.0117840, -0.204611, 11.169196), rel=1e-5)
    assert probabilistic_sharpe(sharpe, n, skew=skew, kurtosis=kurtosis) == pytest.approx(0.798005, abs=1e-5)
    assert min_track_record(sharpe, skew=skew, kurtosis=kurtosis) == pytest.approx(19538, abs=1)
