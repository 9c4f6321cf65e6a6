"""The quarantine in the lake."""

from __future__ import annotations

from datetime import date

import pytest

from argus_core.market.gates import gate_bars
from argus_core.market.lake import Lake
from argus_core.market.quarantine import count_quarantine, read_quarantine, write_quarantine
from argus_core.market.schemas import Quarantine, empty
from argus_core.settings import GateSettings
from tests.market.gate_frames import DAY, SPY, change, session_bars

KEYS = {"stage": "bars", "provider": "test", "symbol": "SPY", "day": DAY, "config_hash": "c"}


def refused(calendar, row: int = 3):
    return gate_bars(change(session_bars(calendar), row, close=-1.0), SPY, DAY, calendar, GateSettings()).quarantined


def test_refused_rows_come_back_and_are_counted(tmp_path, calendar):
    lake = Lake(tmp_path)
    write_quarantine(lake, refused(calendar), **KEYS)
    rows = read_quarantine(lake, stage="bars", symbol="SPY", day=DAY)
    assert rows["reason"].to_list() == ["NON_POSITIVE_PRICE"]
    assert rows["date"].to_list() == ["2025-02-04"]
    assert count_quarantine(lake).rows() == [("bars", "test", "SPY", "NON_POSITIVE_PRICE", 1)]


def test_a_rerun_replaces_the_partition_and_a_repaired_one_disappears(tmp_path, calendar):
    lake = Lake(tmp_path)
    write_quarantine(lake, refused(calendar, 3), **KEYS)
    assert not write_quarantine(lake, refused(calendar, 3), **KEYS).changed
    assert write_quarantine(lake, refused(calendar, 4), **KEYS).changed
    assert read_quarantine(lake).height == 1
    assert write_quarantine(lake, empty(Quarantine), **KEYS) is None
    assert read_quarantine(lake).is_empty()
    assert count_quarantine(lake).is_empty()


def test_other_partitions_are_left_alone(tmp_path, calendar):
    lake = Lake(tmp_path)
    write_quarantine(lake, refused(calendar), **KEYS)
    write_quarantine(lake, refused(calendar), **{**KEYS, "day": date(2025, 2, 5)})
    assert read_quarantine(lake, day=DAY).height == 1
    assert read_quarantine(lake, stage="options").is_empty()
    assert count_quarantine(lake, provider="test")["rows"].to_list() == [2]


def test_an_unknown_stage_is_refused(tmp_path, calendar):
    with pytest.raises(ValueError, match="import, bars, options"):
        write_quarantine(Lake(tmp_path), refused(calendar), **{**KEYS, "stage": "labels"})
