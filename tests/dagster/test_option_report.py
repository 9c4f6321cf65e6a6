"""The page of options as an asset: written beside the cycle report, from whatever is stored."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from argus_dagster.assets.option_report import TABLES, option_days, page_path, write_page
from argus_dagster.assets.option_snapshots import snapshot_keys
from argus_dagster.graph import JOBS, build_assets, partitions_of
from argus_dagster.loop import RANGE_END, RANGE_START, report_options
from argus_dagster.workspace import Workspace
from tests.option_tables import option_tables

DAY = date(2025, 1, 6)


def words(path) -> str:
    page = path.read_text()
    return page[page.index("</script>") :]


@pytest.fixture
def stored(workspace: Workspace) -> Workspace:
    """A workspace whose lake holds every option table of the day."""
    keys = snapshot_keys(workspace, "SPY", DAY)
    for name, frame in option_tables().items():
        workspace.lake.write(TABLES[name], frame, keys=keys, config_hash="-", producer="test", inputs_hash="-")
    return workspace


def test_a_date_gets_its_page_and_the_cycle_report_its_link(stored: Workspace, instance) -> None:
    assert "option_report" in JOBS["options"]
    assert option_days(stored, DAY)[1] == [None]
    assert report_options(stored, instance, "SPY", DAY) is None
    path = page_path(stored, "SPY", DAY)
    assert path.name == "options_SPY_2025-01-06.html"
    page = words(path)
    assert all(f'id="{figure}"' in page for figure in ("strip0", "fan", "boundaries", "residuals", "heston_rho"))
    event = instance.get_latest_materialization_event(dg.AssetKey("option_report")).asset_materialization
    assert event.metadata["report"].value == str(path)
    days, pages = option_days(stored, DAY)
    assert [day.underlying for day in days] == ["SPY"]  # BTC has no options
    assert pages == [path.name]
    before = path.read_bytes()
    assert report_options(stored, instance, "SPY", DAY) is None
    assert path.read_bytes() == before


def test_in_a_range_only_the_newest_date_is_told(workspace: Workspace, instance) -> None:
    later = date(2025, 1, 7)
    outcome = dg.materialize(
        build_assets(workspace, partitions_of(workspace)),
        selection=dg.AssetSelection.assets("option_report"),
        instance=instance,
        tags={RANGE_START: f"{DAY}|SPY", RANGE_END: f"{later}|SPY"},
        resources={"workspace": workspace},
    )
    assert outcome.success
    assert page_path(workspace, "SPY", later).exists()
    assert not page_path(workspace, "SPY", DAY).exists()


def test_absent_tables_are_told(workspace: Workspace) -> None:
    page = words(write_page(workspace, "SPY", DAY))
    assert "There is no chain" in page
