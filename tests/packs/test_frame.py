from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.options.schemas import IV_FRAME_COLUMNS
from argus_core.packs import assemble_frame, decision_frame, seal_pack
from argus_core.regimes.model_regimes import FRAME_COLUMNS

DAYS = [date(2025, 2, 3), date(2025, 2, 4), date(2025, 2, 5), date(2025, 2, 6)]
HORIZONS = (300, 3600)


@pytest.fixture
def pack_upto(make_lake, project, calendar, tmp_path):
    def seal(end, name="lake", symbol="SPY"):
        lake = make_lake(tmp_path / name, symbol=symbol)
        return seal_pack(lake, project, calendar, symbol, DAYS[0], end, output_dir=tmp_path / "packs")

    return seal


@pytest.fixture
def frame_of(project, calendar):
    return lambda pack: decision_frame(pack, project.instrument(pack.symbol), calendar, HORIZONS)


def test_the_frame_of_a_truncated_pack_is_the_head_of_the_full_one(pack_upto, frame_of):
    full = frame_of(pack_upto(DAYS[3]))
    for end in DAYS[:3]:
        short = frame_of(pack_upto(end))
        assert_frame_equal(short, full.head(short.height))


def test_outcomes_are_those_of_a_plain_loop_per_horizon(pack_upto, frame_of):
    pack = pack_upto(DAYS[1])
    frame = frame_of(pack)
    outcomes = pack.table("outcomes").filter(pl.col("status") == "OK")
    for row in frame.gather_every(37).iter_rows(named=True):
        for horizon in HORIZONS:
            seen = outcomes.filter(
                (pl.col("horizon_seconds") == horizon) & (pl.col("window_end") <= row["available_at"])
            ).sort("window_end")
            expected = seen["fwd_return"][-1] if seen.height else None
            assert row[f"fwd_return_{horizon}"] == expected
            # The value names its horizon: a longer one never stands in for a shorter one (predecessor 1.5).
            assert expected is None or int(expected) == horizon


def test_poisoned_rows_of_the_future_never_appear(pack_upto, frame_of, project, calendar):
    pack = pack_upto(DAYS[2])
    frame = frame_of(pack)
    cut = frame["available_at"][700]
    poison = {
        name: pack.table(name).with_columns(
            pl.when(pl.col(stamp) > cut).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
        )
        for name, stamp, column, value in [
            ("outcomes", "window_end", "fwd_return", 666.0),
            ("regimes", "available_at", "vol_regime", "POISON"),
            ("risk_flow", "available_at", "global_risk_flow", 666.0),
            ("market_risk", "available_at", "risk_regime", "POISON"),
            ("model_regimes", "available_at", "model_vote", "POISON"),
            ("iv_features", "available_at", "iv_30", 666.0),
        ]
    }
    poisoned = assemble_frame(pack.table("bars"), project.instrument("SPY"), calendar, HORIZONS, **poison)
    known = pl.col("available_at") <= cut
    assert_frame_equal(frame.filter(known), poisoned.filter(known))
    assert not frame.filter(~known).equals(poisoned.filter(~known))


def test_a_regime_is_seen_at_the_end_of_its_bar_and_not_before(pack_upto, frame_of):
    pack = pack_upto(DAYS[0])
    frame = frame_of(pack)
    regimes = pack.table("regimes")
    assert frame["trend_regime"].to_list() == regimes["trend_regime"].to_list()
    assert (frame["available_at"] == frame["end"]).all()


def test_a_late_feed_delays_its_outcomes_too(pack_upto, project, calendar):
    pack = pack_upto(DAYS[0])
    late = pack.table("bars").with_columns(available_at=pl.col("end") + timedelta(seconds=120))
    spy = project.instrument("SPY")
    outcomes = pack.table("outcomes")
    prompt = assemble_frame(pack.table("bars"), spy, calendar, (300,), outcomes=outcomes)
    delayed = assemble_frame(late, spy, calendar, (300,), outcomes=outcomes, delay_seconds=120)
    assert delayed["fwd_return_300"].equals(prompt["fwd_return_300"])


def test_missing_bars_are_counted_by_the_calendar(pack_upto, frame_of):
    frame = frame_of(pack_upto(DAYS[1]))
    odd = frame.filter(pl.col("missing_before") > 0)
    assert odd["missing_before"].to_list() == [2]
    assert odd["ts"].dt.strftime("%H:%M").to_list() == ["15:01"]
    # A night is no gap.
    assert frame.filter(pl.col("trade_date") == DAYS[1])["missing_before"][0] == 0


def test_the_clock_columns_are_relative_to_the_regular_session(pack_upto, frame_of):
    frame = frame_of(pack_upto(DAYS[0]))
    assert frame["minute_of_session"][0] == 0
    assert frame["minute_of_session"][-1] == 389
    assert frame["seconds_to_close"][0] == 390 * 60 - 60
    assert frame["seconds_to_close"][-1] == 0
    assert frame["minute_of_session"].dtype == pl.Int32
    assert frame["seconds_to_close"].dtype == pl.Int32


def test_a_premarket_bar_has_a_negative_minute(project, calendar, pack_upto):
    early = pack_upto(DAYS[0]).table("bars").head(2)
    shift = [pl.col(c).dt.offset_by("-90s") for c in ("ts", "end", "available_at")]
    frame = assemble_frame(early.with_columns(shift), project.instrument("SPY"), calendar, ())
    assert frame["minute_of_session"].to_list() == [-2, -1]


def test_a_round_the_clock_symbol_counts_minutes_of_the_utc_day(pack_upto, frame_of):
    frame = frame_of(pack_upto(DAYS[1], symbol="BTC"))
    expected = frame["ts"].dt.hour().cast(pl.Int32) * 60 + frame["ts"].dt.minute().cast(pl.Int32)
    assert frame["minute_of_session"].to_list() == expected.to_list()
    assert frame["seconds_to_close"].null_count() == frame.height


def test_the_half_spread_is_quoted_where_a_quote_stands_and_modelled_elsewhere(pack_upto, frame_of, project, calendar):
    pack = pack_upto(DAYS[0])
    frame = frame_of(pack)
    spy = project.instrument("SPY")
    modelled = max(spy.tick, frame["close"][0] * spy.spread_bps * 1e-4) / 2
    assert frame["half_spread"][0] == pytest.approx(modelled)
    assert frame["half_spread"][1] == pytest.approx(0.025)
    crossed = pack.table("bars").with_columns(ask=pl.col("bid") - 1)
    assert assemble_frame(crossed, spy, calendar, ())["half_spread"][1] == pytest.approx(modelled, rel=1e-2)


def test_risk_values_hold_until_the_next_one_is_published(pack_upto, frame_of):
    frame = frame_of(pack_upto(DAYS[1]))
    assert frame["global_risk_flow"].to_list()[:390:50] == [0.03] * 8
    second = frame.filter(pl.col("trade_date") == DAYS[1])
    assert second["risk_regime"][0] == "R3"
    assert second["risk_regime"][-1] == "R4"


def test_the_market_state_of_the_evening_before_stands_on_the_first_day(make_lake, project, calendar, tmp_path):
    lake = make_lake(tmp_path / "lake")
    for day in DAYS[1:]:
        lake.delete("risk_flow", **project.market_state_keys("risk_flow"), date=day)
    pack = seal_pack(lake, project, calendar, "SPY", DAYS[2], DAYS[3], output_dir=tmp_path / "packs")
    assert pack.table("risk_flow").select("global_risk_flow", "warmup").rows() == [(0.03, True)]
    frame = decision_frame(pack, project.instrument("SPY"), calendar, ())
    assert frame["global_risk_flow"].unique().to_list() == [0.03]
    assert frame["risk_regime"][0] == "R4"


def test_the_model_regimes_of_a_session_are_known_at_its_last_bar_and_stand_until_the_next(
    make_lake, project, calendar, tmp_path
):
    pack = seal_pack(make_lake(tmp_path / "l"), project, calendar, "SPY", DAYS[2], DAYS[3], output_dir=tmp_path / "p")
    assert pack.table("model_regimes").select("model_vote", "warmup").rows() == [
        ("V4", True),
        ("V5", False),
        ("V6", False),
    ]
    frame = decision_frame(pack, project.instrument("SPY"), calendar, ())
    days = {day: frame.filter(pl.col("trade_date") == day)["model_vote"].to_list() for day in DAYS[2:]}
    assert days[DAYS[2]] == ["V4"] * 389 + ["V5"]
    assert days[DAYS[3]] == ["V5"] * 389 + ["V6"]
    assert frame["model_cp_prob"][0] == 0.04


def test_what_a_chain_says_is_seen_from_its_receipt_on_with_its_age(make_lake, project, calendar, tmp_path):
    pack = seal_pack(make_lake(tmp_path / "l"), project, calendar, "SPY", DAYS[2], DAYS[3], output_dir=tmp_path / "p")
    # The one that stands from before; the last one is received after the pack's last bar.
    assert pack.table("iv_features").select("iv_30", "warmup").rows() == [
        (4.2, True),
        (5.1, False),
        (5.2, False),
        (6.1, False),
    ]
    frame = decision_frame(pack, project.instrument("SPY"), calendar, ())
    days = {day: frame.filter(pl.col("trade_date") == day)["iv_30"].to_list() for day in DAYS[2:]}
    # Received during the eleventh bar: the decision at its end is the first to see it.
    assert days[DAYS[2]] == [4.2] * 10 + [5.1] * 380
    assert days[DAYS[3]] == [5.2] * 10 + [6.1] * 380
    assert (frame["iv_recv_ts"] <= frame["available_at"]).all()
    assert (frame["available_at"] - frame["iv_recv_ts"]).dt.total_seconds()[10] == 20
    assert frame["iv_60"].null_count() == frame.height


def test_a_pack_of_an_instrument_without_options_has_no_chain_and_null_columns(make_lake, project, calendar, tmp_path):
    lake = make_lake(tmp_path / "l", symbol="QQQ")
    pack = seal_pack(lake, project, calendar, "QQQ", DAYS[0], DAYS[1], output_dir=tmp_path / "p")
    assert "iv_features" not in pack.manifest.tables
    frame = decision_frame(pack, project.instrument("QQQ"), calendar, ())
    names = list(IV_FRAME_COLUMNS.values())
    assert frame.select(names).null_count().row(0) == (frame.height,) * len(names)
    assert frame["iv_recv_ts"].dtype == pl.Datetime("us", "UTC")


def test_a_frame_without_labels_holds_nulls(pack_upto, project, calendar):
    frame = assemble_frame(pack_upto(DAYS[0]).table("bars"), project.instrument("SPY"), calendar, HORIZONS)
    assert frame["fwd_return_300"].null_count() == frame.height
    assert frame["vol_regime"].dtype == pl.String
    assert frame["regime_warm"].dtype == pl.Boolean
    assert frame.select(FRAME_COLUMNS).null_count().row(0) == (frame.height,) * len(FRAME_COLUMNS)
    assert frame["model_vote"].dtype == pl.String
