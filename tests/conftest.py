"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from argus_core.calendar import TradingCalendar, load_calendar
from argus_core.settings import Project, load_project
from tests.series import btc, make_bars, spy, spy_year

__all__ = ["btc", "calendar", "make_bars", "project", "shared_data", "spy", "spy_year"]

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes depends on what else the machine does: no test fails for that.
hypothesis_settings.register_profile("argus", deadline=None)
hypothesis_settings.load_profile("argus")


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
