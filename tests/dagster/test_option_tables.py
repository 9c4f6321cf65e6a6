"""Option tables as the assets read them."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from argus_dagster.assets.option_tables import by_snapshot


def test_rows_come_receipt_by_receipt():
    early, late = (datetime(2025, 3, 31, hour, tzinfo=UTC) for hour in (14, 20))
    frame = pl.DataFrame({"recv_ts": [late, early, late], "strike": [1.0, 2.0, 3.0]})
    assert [part["strike"].to_list() for part in by_snapshot(frame)] == [[2.0], [1.0, 3.0]]


def test_an_instrument_whose_chain_never_came_has_no_snapshot():
    assert list(by_snapshot(pl.DataFrame())) == []
