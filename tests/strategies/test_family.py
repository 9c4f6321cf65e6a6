"""What a family forbids is refused with the number that broke it."""

from __future__ import annotations

from argus_core.settings import Instrument
from argus_core.strategies.family import Family

ETF = Instrument(symbol="SPY", asset_class="etf")


def test_a_family_without_limits_fits_everything():
    assert Family().misfit(ETF, ()) == ""
    assert Family().breach(trades=10**6, days=1, turnover=1e9, days_per_year=252) == ""


def test_each_limit_on_instruments_is_named():
    refused = {
        "asset class etf": Family(name="basis", asset_classes=("crypto",)),
        "bars of 60 s; the family slow needs 3600": Family(name="slow", min_bar_seconds=3600),
        "bars of 60 s; the family quick needs 30": Family(name="quick", max_bar_seconds=30),
        "no option chain": Family(name="vol", needs_options=True),
        "0 reference symbol(s); the family pair needs 1": Family(name="pair", min_references=1),
    }
    for words, family in refused.items():
        assert words in family.misfit(ETF, ())
    assert Family(name="pair", min_references=1).misfit(ETF, ("QQQ",)) == ""


def test_a_run_within_its_limits_passes_and_one_beyond_is_named():
    family = Family(name="snap", max_trades_per_day=2, max_annual_turnover=500)
    assert family.breach(trades=20, days=10, turnover=10.0, days_per_year=252) == ""
    assert "2.10 trades a day" in family.breach(trades=21, days=10, turnover=10.0, days_per_year=252)
    assert "turnover 504 a year" in family.breach(trades=20, days=10, turnover=20.0, days_per_year=252)
    assert family.breach(trades=0, days=0, turnover=0.0, days_per_year=252) == ""
