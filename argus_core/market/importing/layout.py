"""The layout of an import folder: which folder holds what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["bars", "daily", "closes", "fixings", "option_quotes", "option_eod"]

DAY = 86_400

#: Feeds of intraday bars, best first: where two supply the same bar, the first wins.
INTRADAY_FEEDS = ("bars_1m_quotes", "crypto_1m")

_INTRADAY = re.compile(r"(?:bars|crypto)_(\d+)(m|h)(?:_quotes)?")
_DAILY: dict[str, Kind] = {
    "bars_1d": "daily",
    "bars_1d_raw": "daily",
    "fx_1d": "daily",
    "closes_1d": "closes",
    "option_quotes": "option_quotes",
    "option_eod": "option_eod",
}

#: Columns that each kind needs; the others are optional.
REQUIRED: dict[Kind, tuple[str, ...]] = {
    "bars": ("ts", "open", "high", "low", "close"),
    "daily": ("open", "high", "low", "close"),
    "closes": ("date", "symbol", "adj_close"),
    "fixings": ("date", "pair", "rate"),
    "option_quotes": ("ts", "recv_ts", "underlying", "contract", "expiry", "strike", "right", "bid", "ask"),
    "option_eod": ("date", "underlying", "expiry", "strike", "right"),
}

_BAR_COLUMNS = frozenset(
    {
        *("ts", "date", "symbol", "open", "high", "low", "close", "volume", "session", "source", "volume_scope"),
        *("bid", "ask", "bid_size", "ask_size", "adjustment", "price_factor", "split_factor", "repaired"),
        *("trade_count", "vwap"),
    }
)
#: Columns that each kind knows; others are named in the report and not used.
KNOWN: dict[Kind, frozenset[str]] = {
    "bars": _BAR_COLUMNS,
    "daily": _BAR_COLUMNS,
    "closes": frozenset({"date", "symbol", "adj_close", "source"}),
    "fixings": frozenset({"ts", "recv_ts", "date", "pair", "rate", "source"}),
    "option_quotes": frozenset(
        {
            *("ts", "recv_ts", "underlying", "contract", "root", "expiry", "strike", "right", "underlying_price"),
            *("bid", "ask", "bid_size", "ask_size", "last", "volume", "open_interest", "source"),
            *("iv", "delta", "gamma", "theta", "vega", "rho"),
        }
    ),
    "option_eod": frozenset(
        {
            *("date", "underlying", "expiry", "strike", "right", "price", "iv", "delta"),
            *("volume", "open_interest", "underlying_price", "source"),
        }
    ),
}


@dataclass(frozen=True)
class Place:
    """What a folder says about its files."""

    folder: str
    kind: Kind
    bar_seconds: int
    asset_class: str


def place_of(folder: str) -> Place | None:
    """What ``folder`` holds, or None for a folder that the layout does not know."""
    found = _INTRADAY.fullmatch(folder)
    if found:
        seconds = int(found[1]) * (60 if found[2] == "m" else 3600)
        return Place(folder, "bars", seconds, "crypto" if folder.startswith("crypto") else "etf")
    if folder in _DAILY:
        return Place(folder, _DAILY[folder], DAY, "fx" if folder == "fx_1d" else "etf")
    return None


def feed_of(source: str) -> str:
    """The feed of a landed row: the folder of its file; the ECB's fixings are a feed of their own."""
    folder, _, name = source.partition("/")
    return "ecb_fixings" if folder == "fx_1d" and name.startswith("ecb_fixings") else folder


def rank_of(source: str, *, daily_feeds: tuple[str, ...], bar_seconds: int) -> int:
    """Place of a row's feed in the order of preference; 0 is best, feeds outside the order come last."""
    order = daily_feeds if bar_seconds >= DAY else INTRADAY_FEEDS
    feed = feed_of(source)
    return order.index(feed) if feed in order else len(order)
