"""Option chains: any provider's rows to one schema, forwards, volatilities, candidates; snapshots and pickers of the
replay."""

from argus_core.options.american import early_exercise_premium
from argus_core.options.black import black_delta, black_price, implied_vol
from argus_core.options.candidates import Candidates, candidates_of
from argus_core.options.carry import whole_chains
from argus_core.options.chains import (
    ExpirySlice,
    atm_vol,
    atm_vol_at,
    expiries,
    expiry_slice,
    implied_forward,
)
from argus_core.options.forwards import forwards_of
from argus_core.options.hygiene import hygiene_counts
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.normalise import NormalisedChain, normalise_chain
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
    "Candidates",
    "ExpirySlice",
    "LegQuote",
    "Liquidity",
    "NormalisedChain",
    "OptionSnapshot",
    "OptionTape",
    "Structure",
    "atm_vol",
    "atm_vol_at",
    "black_delta",
    "black_price",
    "candidates_of",
    "early_exercise_premium",
    "expiries",
    "expiry_slice",
    "forwards_of",
    "hygiene_counts",
    "implied_forward",
    "implied_vol",
    "implied_vols_of",
    "normalise_chain",
    "select_calendar",
    "select_iron_condor",
    "select_straddle",
    "select_strangle",
    "select_vertical",
    "whole_chains",
]
