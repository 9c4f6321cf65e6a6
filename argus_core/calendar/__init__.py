"""Sessions, trading days and the trade-date rule."""

from argus_core.calendar.trading import (
    ALWAYS_OPEN,
    CRYPTO_SESSIONS,
    EQUITY_SESSIONS,
    NEW_YORK,
    UTC_US,
    TradingCalendar,
    from_us,
    load_calendar,
    to_us,
)

__all__ = [
    "ALWAYS_OPEN",
    "CRYPTO_SESSIONS",
    "EQUITY_SESSIONS",
    "NEW_YORK",
    "UTC_US",
    "TradingCalendar",
    "from_us",
    "load_calendar",
    "to_us",
]
