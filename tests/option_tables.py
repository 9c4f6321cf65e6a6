"""Option tables of a day for tests of pages: three snapshots of a small Heston chain, taken through every stage."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

import polars as pl

from argus_core.calendar import load_calendar
from argus_core.options.anomalies import find_anomalies
from argus_core.options.candidates import candidates_of
from argus_core.options.forwards import forwards_of
from argus_core.options.heston import HestonParameters
from argus_core.options.heston.fits import fit_snapshots
from argus_core.options.implied_vols import implied_vols_of
from argus_core.options.profit.page import profit_page
from argus_core.options.surface import fit_surface
from argus_core.settings import Instrument
from argus_core.settings.option_chains import CandidateSettings, OptionChainSettings
from argus_core.settings.option_profit import ProfitSettings
from tests.options.heston_chains import RECV, heston_chain

SETTINGS = ProfitSettings(per_structure=1, paths=2**12)
CHAINS = OptionChainSettings(rate=0.03)
STRIKES = tuple(range(460, 546, 5))


@lru_cache(maxsize=1)
def option_tables() -> dict[str, pl.DataFrame]:
    """Tables by their names in `argus_core.reports.option_day.TABLES`; one quote of the last snapshot is wrong."""
    spy, calendar = Instrument(symbol="SPY", asset_class="index"), load_calendar("XNYS")
    quotes = []
    for number in range(3):
        moment = RECV - timedelta(hours=2 - number)
        parameters = HestonParameters(0.03 + 0.002 * number, 2.0, 0.04, 0.5, -0.7)
        chain = heston_chain(
            parameters,
            recv_ts=moment,
            days=(11, 32, 123),
            strikes=STRIKES,
            spot=500.0,
            tick=0.01,
            noise=0.5,
            noise_seed=number,
        )
        quotes.append(chain.quotes)
    whole = pl.concat(quotes)
    wrong = (pl.col("recv_ts") == RECV) & (pl.col("strike") == 480.0) & (pl.col("right") == "P")
    wrong &= pl.col("expiry") == sorted(whole["expiry"].unique())[1]
    whole = whole.with_columns(
        pl.when(wrong).then(pl.col(side) + 1.5).otherwise(side).alias(side) for side in ("bid", "ask")
    )
    forwards = forwards_of(whole, spy, calendar, CHAINS)
    vols = implied_vols_of(whole, forwards, spy, calendar, CHAINS)
    slices, anomalies = [], []
    for snapshot in vols.sort("recv_ts", maintain_order=True).partition_by("recv_ts", maintain_order=True):
        fit = fit_surface(snapshot)
        slices.append(fit.slices)
        moment = snapshot["recv_ts"][0]
        anomalies.append(find_anomalies(snapshot, fit=fit, forwards=forwards.filter(pl.col("recv_ts") == moment)))
    fits = fit_snapshots(vols)
    last = pl.col("recv_ts") == RECV
    pop = profit_page(
        candidates_of(vols.filter(last), CandidateSettings(structures=("vertical", "iron_condor"))).kept,
        forwards.filter(last),
        pl.concat(slices).filter(last),
        fits.filter(last).row(0, named=True),
        SETTINGS,
        commission=0.65,
    )
    return {
        "forwards": forwards,
        "implied_vols": vols,
        "slices": pl.concat(slices),
        "fits": fits,
        "anomalies": pl.concat(anomalies),
        "pop": pop,
    }
