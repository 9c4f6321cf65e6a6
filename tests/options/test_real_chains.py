"""Real chains: volatilities beside Cboe's and Deribit's, forwards beside the underlying, the AAPL split day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import load_calendar
from argus_core.market.schemas import OptionQuotes, conform
from argus_core.options.candidates import candidates_of
from argus_core.options.carry import whole_chains
from argus_core.options.forwards import forwards_of
from argus_core.options.hygiene import hygiene_counts
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.normalise import normalise_chain
from argus_core.settings import Instrument
from argus_core.settings.option_chains import CandidateSettings, OptionChainSettings

CALENDAR = load_calendar("XNYS")
SPX = Instrument(symbol="SPX", asset_class="index")
SPY = Instrument(symbol="SPY", asset_class="etf")
BTC = Instrument(symbol="BTC", asset_class="crypto", hours="always")
SETTINGS = OptionChainSettings(rate=0.042, forwards={"discount": "parity"})


def load(folder: Path, name: str) -> pl.DataFrame:
    frame = pl.read_parquet(folder / "option_quotes" / f"{name}.parquet")
    return conform(frame.with_columns(provider=pl.lit("files")), OptionQuotes)


def analysed(quotes: pl.DataFrame, instrument: Instrument, settings=SETTINGS) -> tuple[pl.DataFrame, pl.DataFrame]:
    forwards = forwards_of(quotes, instrument, CALENDAR, settings)
    return forwards, implied_vols_of(quotes, forwards, instrument, CALENDAR, settings)


def against_provider(vols: pl.DataFrame) -> pl.DataFrame:
    """Difference in points of volatility, and moneyness in standard deviations."""
    known = vols.filter(pl.col("used") & (pl.col("provider_iv") > 0))
    return known.with_columns(
        points=100 * (pl.col("iv_mid") - pl.col("provider_iv")),
        z=pl.col("log_moneyness") / (pl.col("iv_mid") * pl.col("t_cal").sqrt()),
    )


@pytest.mark.parametrize(("symbol", "instrument"), [("SPX", SPX), ("SPY", SPY)])
def test_evening_volatilities_agree_with_those_of_cboe(shared_data, symbol, instrument):
    forwards, vols = analysed(load(shared_data, f"{symbol}_2026-08-18_eod"), instrument)
    beside = against_provider(vols.filter(pl.col("t_cal") > 3 / 365))
    near = beside.filter(pl.col("z").abs() < 1)["points"]
    assert abs(near.median()) < 0.05
    assert near.abs().median() < 0.08
    assert beside["points"].abs().median() < 0.1
    assert vols["used"].mean() > 0.35
    # Today's expiry is over at 16:15; every other expiry has a forward to a few cents.
    assert forwards.filter(pl.col("reason").is_not_null())["reason"].to_list() == ["EXPIRED"]
    assert (forwards["forward_se"] / forwards["spot"]).max() < 1e-4


def test_spx_tells_the_rate_and_settles_its_monthlies_in_the_morning(shared_data):
    forwards, _ = analysed(
        load(shared_data, "SPX_2026-08-18_eod"), SPX, OptionChainSettings(forwards={"discount": "parity"})
    )
    assert forwards["rate"].unique().len() == 1
    assert 0.040 < forwards["rate"][0] < 0.044
    twice = forwards.filter(pl.col("expiry") == date(2026, 9, 18))
    assert twice["settlement"].to_list() == ["AM", "PM"]
    assert twice["forward"].n_unique() == 2
    # The spot behind the quotes of 16:15 lies near the close of 16:00.
    assert forwards["spot"][0] == pytest.approx(7691.76, rel=5e-4)


def test_spx_and_spy_forwards_tell_the_same_evening(shared_data):
    """Two markets, one move: spot implied at 16:15 over the close of 16:00."""
    moves = []
    for symbol, instrument in (("SPX", SPX), ("SPY", SPY)):
        quotes = load(shared_data, f"{symbol}_2026-07-22_eod")
        forwards = forwards_of(quotes, instrument, CALENDAR, SETTINGS)
        moves.append(np.log(forwards["spot"][0] / quotes["underlying_price"][0]))
    assert moves[0] > 0.001
    assert moves[0] == pytest.approx(moves[1], abs=3e-4)


def test_mid_session_spot_agrees_with_the_index_minute(shared_data):
    bars = pl.read_parquet(shared_data / "bars_1m" / "SPX.parquet")
    ratios = []
    for day in ("2026-08-13", "2026-08-14", "2026-08-17"):
        quotes = load(shared_data, f"SPY_{day}_intraday")
        forwards = forwards_of(quotes, SPY, CALENDAR, SETTINGS)
        minute = bars.filter(pl.col("ts") <= quotes["ts"].max()).sort("ts").row(-1, named=True)
        ratios.append(0.5 * (minute["open"] + minute["close"]) / forwards["spot"][0])
    # SPX over SPY moves by the dividends that SPY has collected only.
    assert max(ratios) / min(ratios) - 1 < 5e-4


def test_a_feed_of_changes_gives_the_underlying_and_calm_volatilities(shared_data):
    quotes = load(shared_data, "TWX_2014-06-05_1m")
    settings = OptionChainSettings(rate=0.001, hygiene={"max_lag_seconds": 3600.0})
    instrument = Instrument(symbol="TWX", asset_class="equity")
    forwards, vols = analysed(whole_chains(quotes, 3600, 3600), instrument, settings)
    assert forwards["reason"].null_count() == forwards.height
    minutes = pl.read_parquet(shared_data / "bars_1m_quotes" / "TWX.parquet")
    minutes = minutes.select(recv_ts=pl.col("ts") + timedelta(minutes=1), mid=(pl.col("bid") + pl.col("ask")) / 2)
    beside = forwards.group_by("recv_ts").agg(pl.col("spot").first()).join(minutes, on="recv_ts")
    assert beside.height >= 6
    assert (beside["spot"] - beside["mid"]).abs().max() < 0.03
    near = vols.filter("used").sort(pl.col("log_moneyness").abs()).unique(["recv_ts", "expiry"], keep="first")
    assert near.group_by("expiry").agg(pl.col("iv_mid").std())["iv_mid"].max() < 0.01


def test_the_split_day_keeps_its_smile_and_old_strikes_are_thrown_out(shared_data):
    quotes = load(shared_data, "AAPL_2014-06-06_2014-06-09_1h")
    instrument = Instrument(symbol="AAPL", asset_class="equity")
    settings = OptionChainSettings(rate=0.001)
    ends = quotes["recv_ts"].dt.date().unique().sort()
    friday, monday = (quotes.filter(pl.col("recv_ts").dt.date() == day) for day in ends)
    friday = friday.filter(pl.col("recv_ts") == pl.col("recv_ts").max())
    monday = monday.filter(pl.col("recv_ts") == pl.col("recv_ts").min())
    (before, _), (after, clean) = (analysed(part, instrument, settings) for part in (friday, monday))
    assert before["spot"][0] / after["spot"][0] == pytest.approx(7.0, rel=0.01)
    # A provider that still shows Friday's strikes on Monday, a few minutes behind the new ones.
    old = friday.with_columns(ts=pl.lit(monday["ts"][0] - timedelta(minutes=5)), recv_ts=pl.lit(monday["recv_ts"][0]))
    mixed_forwards, mixed = analysed(pl.concat([monday, old]), instrument, settings)
    assert (
        dict(hygiene_counts(mixed).select("reason", "count").rows())["SPLIT_DAY"]
        == old.filter(pl.col("expiry") > date(2014, 6, 6)).height
    )
    assert mixed_forwards.filter(pl.col("forward").is_not_null())["forward"].equals(
        after.filter(pl.col("forward").is_not_null())["forward"]
    )
    assert mixed.filter("used").select("contract", "iv_mid").equals(clean.filter("used").select("contract", "iv_mid"))


def test_deribit_volatilities_are_its_own(shared_data):
    quotes = load(shared_data, "BTC_2026-07-04_2026-08-15_deribit_daily")
    some = quotes.filter(pl.col("recv_ts").is_in(quotes["recv_ts"].unique().sort()[::8].implode()))
    forwards, vols = analysed(some, BTC, OptionChainSettings())
    assert set(forwards["expiry_ts"].dt.hour()) == {8}
    beside = against_provider(vols)
    assert beside.height > 1_000
    assert abs(beside["points"].median()) < 0.05
    assert beside["points"].abs().median() < 0.15


def test_a_raw_file_is_normalised_as_it_stands(shared_data):
    raw = pl.read_parquet(shared_data / "option_quotes" / "SPX_2026-08-18_eod.parquet")
    found = normalise_chain(raw, provider="cboe", format="cboe")
    assert found.counts == {}
    assert found.iv_unit == "fraction"
    assert found.quotes.height == raw.height
    percent = normalise_chain(raw.with_columns(pl.col("iv") * 100), provider="cboe", format="cboe")
    assert percent.iv_unit == "percent"
    np.testing.assert_allclose(percent.quotes["iv"].drop_nulls(), found.quotes["iv"].drop_nulls(), rtol=1e-5)


def test_candidates_of_a_real_evening_are_tradable(shared_data):
    _, vols = analysed(load(shared_data, "SPY_2026-08-18_eod"), SPY)
    found = candidates_of(vols, CandidateSettings(min_open_interest=100.0)).kept
    assert found["structure"].n_unique() == 7
    assert found["min_open_interest"].min() >= 100
    sold = found.filter((pl.col("side") == "sell") & pl.col("structure").str.ends_with("vertical"))
    assert ((sold["credit"] > 0) & (sold["max_loss"] > 0)).all()
    np.testing.assert_allclose(sold["credit"] + sold["max_loss"], sold["width"])


@pytest.mark.slow
@pytest.mark.parametrize(("symbol", "instrument"), [("SPX", SPX), ("SPY", SPY)])
def test_all_evenings_agree_with_cboe(shared_data, symbol, instrument):
    files = sorted((shared_data / "option_quotes").glob(f"{symbol}_*_eod.parquet"))
    assert len(files) == 18
    for file in files:
        forwards, vols = analysed(load(shared_data, file.stem), instrument)
        beside = against_provider(vols.filter(pl.col("t_cal") > 3 / 365))
        assert abs(beside["points"].median()) < 0.2, file.stem
        assert beside.filter(pl.col("z").abs() < 1)["points"].abs().median() < 0.25, file.stem
        assert forwards.filter(pl.col("t_cal") > 0)["forward"].null_count() == 0, file.stem
