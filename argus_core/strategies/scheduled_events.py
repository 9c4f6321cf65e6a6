"""Scheduled events of the US economy that were public long before they happened, with their time in New York.

Sources: the calendars of the Federal Reserve (federalreserve.gov/monetarypolicy/fomccalendars.htm) and the release
schedules of the Bureau of Labor Statistics (bls.gov/schedule/news_release/cpi.htm, .../empsit.htm).

FOMC: last day of each scheduled meeting. CPI and jobs: the releases of October 2025 to February 2026 are left out,
because the lapse in appropriations of autumn 2025 moved or cancelled them at short notice: a date known only afterwards
would be knowledge from the future. Releases after August 2026 are left out as well; they may still move.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time

from argus_core.calendar.trading import NEW_YORK

#: When an event of a calendar becomes public, New York time.
RELEASE_TIME: Mapping[str, time] = {"fomc": time(14), "cpi": time(8, 30), "jobs": time(8, 30)}

_DATES: Mapping[str, str] = {
    "fomc": """
        2024-01-31 2024-03-20 2024-05-01 2024-06-12 2024-07-31 2024-09-18 2024-11-07 2024-12-18
        2025-01-29 2025-03-19 2025-05-07 2025-06-18 2025-07-30 2025-09-17 2025-10-29 2025-12-10
        2026-01-28 2026-03-18 2026-04-29 2026-06-17 2026-07-29 2026-09-16 2026-10-28 2026-12-09
    """,
    "cpi": """
        2024-01-11 2024-02-13 2024-03-12 2024-04-10 2024-05-15 2024-06-12
        2024-07-11 2024-08-14 2024-09-11 2024-10-10 2024-11-13 2024-12-11
        2025-01-15 2025-02-12 2025-03-12 2025-04-10 2025-05-13 2025-06-11 2025-07-15 2025-08-12 2025-09-11
        2026-03-11 2026-04-10 2026-05-12 2026-06-10 2026-07-14 2026-08-12
    """,
    "jobs": """
        2024-01-05 2024-02-02 2024-03-08 2024-04-05 2024-05-03 2024-06-07
        2024-07-05 2024-08-02 2024-09-06 2024-10-04 2024-11-01 2024-12-06
        2025-01-10 2025-02-07 2025-03-07 2025-04-04 2025-05-02 2025-06-06 2025-07-03 2025-08-01 2025-09-05
        2026-03-06 2026-04-03 2026-05-08 2026-06-05 2026-07-02 2026-08-07
    """,
}

SCHEDULED: Mapping[str, tuple[date, ...]] = {
    name: tuple(date.fromisoformat(day) for day in text.split()) for name, text in _DATES.items()
}


def release(calendar: str, day: date) -> datetime:
    """The moment at which the event of ``day`` becomes public, in New York time."""
    return datetime.combine(day, RELEASE_TIME[calendar], NEW_YORK)
