"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argus_core.calendar import TradingCalendar, load_calendar
from argus_core.settings import Project, load_project
from tests.series import btc, make_bars, spy, spy_year

__all__ = ["btc", "calendar", "make_bars", "project", "shared_data", "spy", "spy_year"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Project:
    return load_project(ROOT / "config" / "research_loop.yaml", root=ROOT)


@pytest.fixture(scope="session")
def calendar() -> TradingCalendar:
    return load_calendar("XNYS")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real market data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("ARGUS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data not found at {folder}; set ARGUS_SHARED_DATA to its folder")
    return folder
