"""Option chains: Black (1976), snapshots in order of receipt, forwards, volatilities, spread selection."""

from argus_core.options.black import black_delta, black_price, implied_vol
from argus_core.options.chains import (
    ExpirySlice,
    atm_vol,
    atm_vol_at,
    expiries,
    expiry_slice,
    implied_forward,
)
from argus_core.options.selection import (
    Liquidity,
    Structure,
    select_calendar,
    select_iron_condor,
    select_straddle,
    select_strangle,
    select_vertical,
)
from argus_core.options.tape import LegQuote, OptionSnapshot, OptionTape

__all__ = [
    "ExpirySlice",
    "LegQuote",
    "Liquidity",
    "OptionSnapshot",
    "OptionTape",
    "Structure",
    "atm_vol",
    "atm_vol_at",
    "black_delta",
    "black_price",
    "expiries",
    "expiry_slice",
    "implied_forward",
    "implied_vol",
    "select_calendar",
    "select_iron_condor",
    "select_straddle",
    "select_strangle",
    "select_vertical",
]
