"""The asset `model_regimes`: same bytes from dates and ranges, due when inputs change, a check that bites."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from argus_core.calendar import UTC_US
from argus_dagster.assets.model_regimes import MODEL_REGIMES, faults
from argus_dagster.graph import build_assets, partitions_of
from argus_dagster.loop import RANGE_END, RANGE_START
from argus_dagster.partitions import date_symbol_key
from argus_dagster.workspace import Workspace
from tests.dagster.conftest import SMALL, make_project

START, END = date(2024, 10, 1), date(2025, 1, 17)
WANTED = (date(2024, 12, 30), END)


def write_bars(workspace: Workspace, day: date, *, close: float | None = None) -> None:
    """Two bars of a session, whose closes are a random walk over the sessions since `START`."""
    rng = np.random.default_rng(day.toordinal())
    price = close or 500 * np.exp(np.random.default_rng(1).normal(0, 0.01, 400).cumsum()[(day - START).days])
    open_, end = workspace.calendar.session_bounds(day)
    frame = pl.DataFrame(
        {
            "ts": pl.Series([open_, end]).cast(UTC_US).dt.offset_by("-1m"),
            "end": pl.Series([open_, end]).cast(UTC_US),
            "available_at": pl.Series([open_, end]).cast(UTC_US),
            "open": [price, price * 1.0005],
            "high": [price * 1.001, price * (1.002 + 0.01 * rng.random())],
            "low": [price * 0.999, price * 0.998],
            "close": [price * 1.0005, price],
        }
    ).with_columns(
        provider=pl.lit("sim"), symbol=pl.lit("SPY"), bar_seconds=pl.lit(60, pl.Int32), trade_date=pl.lit(day)
    )
    workspace.lake.write(
        "bars", frame, keys=workspace.series_keys("SPY", day), config_hash="c", producer="test", inputs_hash="i"
    )


def filled(folder: Path) -> Workspace:
    overrides = SMALL["overrides"] | {"model_regimes": {"min_sessions": 20, "history_months": 6}}
    workspace = Workspace.open(make_project(folder, overrides=overrides))
    for day in workspace.sessions(START, END):
        write_bars(workspace, day)
    return workspace


@pytest.fixture
def market(tmp_path: Path, workspace: Workspace) -> Workspace:
    return filled(tmp_path)


def test_single_dates_and_a_range_give_the_same_bytes(market: Workspace, tmp_path: Path) -> None:
    days = market.sessions(*WANTED)
    MODEL_REGIMES.materialise(market, "SPY", days)
    other = filled(tmp_path / "other")
    for day in reversed(days):
        MODEL_REGIMES.materialise(other, "SPY", [day])
    for day in days:
        one, two = (w.lake.path("model_regimes", **w.series_keys("SPY", day)).read_bytes() for w in (market, other))
        assert one == two
    rows = MODEL_REGIMES.read(market, "SPY", days)
    assert rows.height == len(days)
    assert rows["model_high_vol_prob"].null_count() == 0
    assert rows["model_cp_prob"].null_count() == 0


def test_rows_are_due_when_bars_of_their_history_change_and_not_else(market: Workspace) -> None:
    days = market.sessions(*WANTED)
    assert MODEL_REGIMES.due(market, "SPY", days) == days
    MODEL_REGIMES.materialise(market, "SPY", days)
    assert MODEL_REGIMES.due(market, "SPY", days) == []
    write_bars(market, date(2025, 1, 6), close=600.0)
    assert MODEL_REGIMES.due(market, "SPY", days) == [d for d in days if d >= date(2025, 1, 6)]
    write_bars(market, date(2024, 10, 14), close=600.0)
    assert MODEL_REGIMES.due(market, "SPY", days) == days


def test_dates_without_bars_have_no_row(market: Workspace) -> None:
    later = market.calendar.next_session(END)
    result = MODEL_REGIMES.materialise(market, "SPY", [END, later])
    assert [r.status for r in result.values()] == ["computed", "no_input"]


def run(workspace: Workspace, instance: dg.DagsterInstance, members: list[str]) -> dg.ExecuteInProcessResult:
    first, last = date(2025, 1, 2), END
    return dg.materialize(
        build_assets(workspace, partitions_of(workspace)),
        selection=dg.AssetSelection.assets(*members),
        instance=instance,
        tags={RANGE_START: date_symbol_key(first, "SPY"), RANGE_END: date_symbol_key(last, "SPY")},
        resources={"workspace": workspace},
        raise_on_error=False,
    )


def test_the_asset_has_plots_and_its_check_passes(market: Workspace, instance: dg.DagsterInstance) -> None:
    result = run(market, instance, ["model_regimes"])
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == "sound_probabilities"
    assert check.passed, check.description
    event = instance.get_latest_materialization_event(dg.AssetKey("model_regimes"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert {"model_vote", "model_run_length", "model_confidence", "model_high_vol_prob"} <= set(metadata)
    assert str(metadata["model_run_length"].value).startswith("![")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"model_high_vol_prob": 1.2}, "probability outside 0..1"),
        ({"model_cp_prob": 0.0}, "change probability below the hazard"),
        ({"model_vote": "TURBULENT", "vote_change": None, "vote_states": None}, "verdict of a single method"),
        ({"model_level": 0.123}, "changes when the future is cut"),
    ],
)
def test_the_check_fails_where_a_stored_row_is_wrong(market: Workspace, change: dict[str, object], rule: str) -> None:
    MODEL_REGIMES.materialise(market, "SPY", [END])
    assert not any(faults(market, "SPY", [END]).values())
    rows = MODEL_REGIMES.read(market, "SPY", [END])
    wrong = rows.with_columns(pl.lit(value, rows.schema[name]).alias(name) for name, value in change.items())
    market.lake.write(
        "model_regimes", wrong, keys=market.series_keys("SPY", END), config_hash="c", producer="test", inputs_hash="i"
    )
    assert faults(market, "SPY", [END])[rule] == 1
