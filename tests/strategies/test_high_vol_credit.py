"""HighVolCredit: when volatility counts as high and falling, what is sold, and how it ends."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from argus_core.experiments.sweep import load_sweep
from argus_core.options.chains import atm_vol_at
from argus_core.options.tape import OptionTape
from argus_core.replay.callback import replay_callback
from argus_core.replay.lookahead import prove_no_lookahead_callback
from argus_core.settings import ExecutionSettings, Instrument
from argus_core.strategies.high_vol_credit import HighVolCredit, HighVolCreditParams
from tests.replay.frames import decision_frame
from tests.replay.quotes import at, chain

ROOT = Path(__file__).resolve().parents[2]
MONTH = [date(2025, 3, 7), date(2025, 3, 14)]
#: rises to .5 on day 3, falls to .42 on day 4
PEAK = (0.2, 0.25, 0.3, 0.5, 0.42, 0.4)


def market(days: int, **labels) -> pl.DataFrame:
    return decision_frame([(100.0,) * 4] * (13 * days), bars_per_day=13, bar_seconds=1_800, half_spread=0.01, **labels)


def chains(vols: tuple[float, ...], **arguments) -> pl.DataFrame:
    """One chain at 16:00 UTC of each day from 2025-02-03 on."""
    return pl.concat(chain(at(f"{3 + n:02d} 16:00"), MONTH, vol=vol, **arguments) for n, vol in enumerate(vols))


def run(vols=PEAK, frame: pl.DataFrame | None = None, options: pl.DataFrame | None = None, **params):
    values = {"iv_source": "chain", "min_snapshots": 3, "width": 0.05, "min_credit_ratio": 0.05, **params}
    options = chains(vols) if options is None else options
    frame = market(len(vols) + 1) if frame is None else frame
    etf, execution = Instrument(symbol="SPY", asset_class="etf"), ExecutionSettings()
    arguments = {"starting_cash": 100_000.0, "symbol": "SPY", "options": options}
    return replay_callback(HighVolCredit(HighVolCreditParams(**values)), frame, etf, execution, **arguments)


def opened(result) -> list:
    return [intent.legs for _, intent in result.decisions if intent.action == "open"]


def days(result) -> list[int]:
    return [trade.day for trade in result.trades["entry_ts"].sort()]


def test_it_sells_a_condor_when_volatility_is_high_and_off_its_peak():
    result = run(min_fall=0.1, min_percentile=0.75)
    [trade] = result.trades.to_dicts()
    # .42 lies above three of the four earlier chains and sixteen percent below the peak: the chain of day 7 decides.
    assert (trade["entry_ts"], trade["side"]) == (at("07 16:00"), -1)
    legs = json.loads(trade["legs"])
    assert sorted((leg["right"], leg["quantity"]) for leg in legs) == [("C", -1), ("C", 1), ("P", -1), ("P", 1)]
    strikes = [leg["strike"] for leg in sorted(legs, key=lambda leg: leg["strike"])]
    assert strikes[0] < strikes[1] < 100 < strikes[2] < strikes[3]
    assert strikes[1] - strikes[0] == strikes[3] - strikes[2] == 5.0


@pytest.mark.parametrize(
    ("params", "sold"),
    [
        ({"min_percentile": 0.75}, [7]),
        ({"min_percentile": 0.8}, []),
        ({"min_percentile": 0.75, "min_snapshots": 5}, []),
        ({"min_percentile": 0.6, "min_snapshots": 5}, [8]),
        ({"min_percentile": 0.75, "min_fall": 0.15}, [7]),
        ({"min_percentile": 0.5, "min_fall": 0.17, "falling_from": 5}, [8]),
        ({"min_percentile": 0.5, "min_fall": 0.17, "falling_from": 1}, []),
    ],
)
def test_high_and_falling_are_measured_against_earlier_chains_only(params, sold):
    assert days(run(**params)) == sold


def test_the_percentile_is_that_of_the_atm_volatilities_seen():
    rng = np.random.default_rng(1)
    vols = tuple(rng.uniform(0.2, 0.5, 12).round(3))
    options = chains(vols)
    seen = [atm_vol_at(snapshot, 30.0) for snapshot in OptionTape(options).snapshots]
    expected = [
        n
        for n in range(4, 12)
        if np.mean([v < seen[n] for v in seen[:n]]) >= 0.5 and seen[n] <= 0.95 * max(seen[max(n - 3, 0) : n])
    ]
    result = run(vols, options=options, min_percentile=0.5, min_snapshots=4, falling_from=3, min_fall=0.05,
                 max_positions=20, risk_per_trade=0.01, profit_target=1.0, stop_loss=20.0)  # fmt: skip
    assert 2 <= len(expected) <= 7
    assert [day - 3 for day in days(result)] == expected


def test_the_regime_can_decide_instead_or_as_well():
    wild = market(7, vol=["HIGH"] * 7 * 13)
    # The first chain below the one before, without any past to rank it in.
    assert days(run((0.5, 0.4, 0.3), frame=wild, trigger="regime")) == [4]
    assert days(run((0.5, 0.4, 0.3), trigger="regime")) == []
    assert days(run((0.5, 0.4, 0.3), frame=wild, trigger="both")) == []
    assert days(run(frame=wild, trigger="both", min_percentile=0.75)) == [7]
    assert days(run(frame=market(7, vol=[None] * 7 * 13), trigger="both", min_percentile=0.75)) == []


def test_a_put_spread_can_be_sold_instead():
    [legs] = opened(run(min_percentile=0.75, structure="put_spread"))
    assert [(leg.right, leg.quantity) for leg in legs] == [("P", -1), ("P", 1)]


def test_a_thin_credit_or_wide_quotes_are_refused():
    assert opened(run(min_percentile=0.75, min_credit_ratio=0.9)) == []
    assert opened(run(min_percentile=0.75, options=chains(PEAK, half_spread=0.6))) == []


def test_a_chain_without_volatility_is_no_part_of_the_past():
    blind = chains(PEAK).with_columns(
        *(pl.when(pl.col("recv_ts") == at("05 16:00")).then(0.0).otherwise(pl.col(side)).alias(side)
          for side in ("bid", "ask"))
    )  # fmt: skip
    # Three chains are left before day 7: enough for three, not for four.
    assert days(run(options=blind, min_percentile=0.6, min_snapshots=3)) == [7]
    assert 7 not in days(run(options=blind, min_percentile=0.6, min_snapshots=4))


def test_it_is_bought_back_at_its_target_and_its_stop():
    tight = chains((*PEAK, 0.25), half_spread=0.005)
    calm = run((*PEAK, 0.25), options=tight, min_percentile=0.75, structure="put_spread", profit_target=0.4)
    assert calm.trades["exit_reason"].to_list() == ["profit_target"]
    storm = run((*PEAK[:5], 0.95), min_percentile=0.75, structure="put_spread", stop_loss=1.3)
    assert storm.trades["exit_reason"].to_list() == ["stop_loss"]
    short = run((*PEAK, 0.4, 0.4), min_percentile=0.75, min_days=26, target_days=28, dte_exit=25, profit_target=1.0,
                stop_loss=20.0)  # fmt: skip
    assert short.trades["exit_reason"].to_list()[0] == "time"


def surfaces(vols: tuple[float | None, ...], received: tuple[int, ...] | None = None) -> pl.DataFrame:
    """A market whose ``iv_30`` of a day is known from the bar that ends at 16:00 on; ``received``: day of its chain."""
    frame = market(len(vols) + 1)
    names = received or tuple(range(3, 3 + len(vols)))
    row = pl.int_range(pl.len())
    # 14:30 and half hours: the bar that ends at 16:00 is the third of a day.
    number = (row - 2) // 13
    table = pl.DataFrame(
        {
            "number": list(range(len(vols))),
            "iv_30": pl.Series(vols, dtype=pl.Float64),
            "iv_recv_ts": pl.Series([at(f"{day:02d} 16:00") for day in names], dtype=pl.Datetime("us", "UTC")),
        }
    )
    keyed = frame.with_columns(number=number.clip(upper_bound=len(vols) - 1).cast(pl.Int64))
    return keyed.join(table, on="number", how="left", maintain_order="left").drop("number")


def test_the_surface_of_the_frame_can_rank_instead_of_the_chain():
    flat = chains((0.3,) * 6)
    # The chains never move: only the frame's volatility says high and falling.
    result = run(frame=surfaces(PEAK), options=flat, iv_source="surface", min_percentile=0.75, min_fall=0.1)
    assert days(result) == [7]
    assert days(run(frame=surfaces(PEAK), options=flat, min_percentile=0.75, min_fall=0.1)) == []
    assert days(run(frame=surfaces((None,) * 6), options=flat, iv_source="surface")) == []


def test_a_surface_seen_before_is_not_counted_twice():
    # Day 7 repeats the surface of day 6: it is no new volatility below the peak.
    held = surfaces(PEAK, (3, 4, 5, 6, 6, 8))
    assert 7 not in days(run(frame=held, options=chains((0.3,) * 6), iv_source="surface", min_percentile=0.5))


def test_a_frame_without_the_surface_teaches():
    with pytest.raises(ValueError, match="iv_source surface needs the columns iv_30 and iv_recv_ts"):
        run(iv_source="surface")


def test_it_does_not_look_ahead():
    options = chains((0.3, 0.5, 0.4, 0.45, 0.35, 0.5, 0.42))

    def decide(rows, quotes):
        values = {"min_percentile": 0.3, "min_snapshots": 2, "max_positions": 5, "risk_per_trade": 0.01}
        return run((), frame=rows, options=quotes, **values).decisions

    assert len(decide(market(8), options)) >= 3
    proof = prove_no_lookahead_callback(decide, market(8), options, cuts=5, seed=3)
    assert proof.ok, proof.detail


@pytest.mark.parametrize(
    "bad", [{"min_days": 40}, {"dte_exit": 20}, {"short_delta": 0.6}, {"trigger": "always"}, {"iv_days": 45.0}]
)
def test_parameters_are_validated(bad):
    with pytest.raises(ValidationError):
        HighVolCreditParams(**bad)


def test_the_shipped_sweep_is_valid():
    sets = load_sweep(ROOT / "config" / "sweeps" / "high_vol_credit.yaml")
    assert len({HighVolCreditParams(**values) for values in sets}) == len(sets) == 24
