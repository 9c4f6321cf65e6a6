"""How each provider spells an option chain, as data. A new provider is a new entry, not new code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Columns that `argus_core.options.normalise` reads; the last three are parts of others.
TARGETS = (
    *("underlying", "contract", "root", "expiry", "strike", "right", "ts", "recv_ts"),
    *("bid", "ask", "bid_size", "ask_size", "iv", "delta", "open_interest", "underlying_price"),
    *("quote_date", "ms_of_day", "is_call"),
)

#: Names by which a column goes anywhere, lower case, without blanks, dots, dashes and underscores.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "underlying": ("underlying", "underlyingsymbol", "underlyingticker", "ticker", "basecurrency"),
    "contract": (
        *("contract", "contractsymbol", "optionsymbol", "occsymbol", "option", "instrumentname", "streamersymbol"),
        *("eventsymbol", "detailsticker", "symbol"),
    ),
    "root": ("root", "rootsymbol", "optionroot", "tradingclass"),
    "expiry": ("expiry", "expiration", "expirationdate", "expirydate", "expirationtimestamp", "expdate", "maturity"),
    "strike": ("strike", "strikeprice", "k"),
    "right": ("right", "optiontype", "type", "callput", "cp", "cpflag", "putcall", "contracttype", "side"),
    "ts": ("ts", "quotets", "quotetime", "quotetimestamp", "timestamp", "bidtime", "lastupdated", "time"),
    "recv_ts": ("recvts", "receivedat", "receivetime", "fetchedat", "retrievedat"),
    "bid": ("bid", "bidprice", "bestbidprice", "bestbid", "bidpx"),
    "ask": ("ask", "askprice", "bestaskprice", "bestask", "offer", "askpx"),
    "bid_size": ("bidsize", "bestbidamount", "bidqty", "bidsz"),
    "ask_size": ("asksize", "bestaskamount", "askqty", "asksz"),
    "iv": ("iv", "impliedvolatility", "impliedvol", "markiv", "volatility", "midiv", "greeksmidiv"),
    "delta": ("delta", "greeksdelta"),
    "open_interest": ("openinterest", "oi"),
    "underlying_price": ("underlyingprice", "spot", "stockprice", "undprice", "currentprice", "underlyinglast"),
    "quote_date": ("date", "quotedate", "tradedate"),
    "ms_of_day": ("msofday",),
    "is_call": ("iscall",),
}


@dataclass(frozen=True)
class ProviderFormat:
    """What a provider's columns mean where names alone do not say it.

    Attributes:
        columns: column of the chain -> the provider's name, tried before `ALIASES`.
        strike_divisor: 1000 where strikes come in thousandths; None: detected from the chain as a whole.
        prices: coin where bid and ask are in units of the underlying.
        zone: zone of times that name none.
        iv_unit: None: detected from the chain as a whole.
    """

    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    strike_divisor: float | None = None
    prices: Literal["dollars", "coin"] = "dollars"
    zone: str = "UTC"
    iv_unit: Literal["percent", "fraction"] | None = None


FORMATS: Mapping[str, ProviderFormat] = {
    chain.name: chain
    for chain in (
        ProviderFormat("any"),
        ProviderFormat("argus", strike_divisor=1.0),
        ProviderFormat("cboe", {"contract": "option"}, zone="America/New_York"),
        ProviderFormat("yahoo", {"contract": "contractSymbol"}, strike_divisor=1.0),
        ProviderFormat("polygon", {"contract": "details.ticker", "iv": "implied_volatility"}, strike_divisor=1.0),
        ProviderFormat("tradier", {"contract": "symbol", "iv": "greeks.mid_iv"}, zone="America/New_York"),
        # A streamer symbol (.SPY260918C700) carries everything but the quote.
        ProviderFormat("dxlink", {"contract": "eventSymbol"}, strike_divisor=1.0),
        # Strikes in thousandths, dates as yyyymmdd, times as milliseconds of the New York day.
        ProviderFormat("thetadata", strike_divisor=1000.0, zone="America/New_York"),
        # Mark volatility in percent, quotes in coin, the price of the expiry's own future.
        ProviderFormat("deribit", {"contract": "instrument_name", "iv": "mark_iv"}, 1.0, prices="coin"),
    )
}


def provider_format(name: str) -> ProviderFormat:
    """The format called ``name``.

    Raises:
        KeyError: if there is none; the message lists what there is.
    """
    if name not in FORMATS:
        raise KeyError(f"no provider format {name!r}. Known: {', '.join(sorted(FORMATS))}; `any` goes by column names.")
    return FORMATS[name]
