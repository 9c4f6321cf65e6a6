"""Real evenings: SPY and SPX, fitted without arbitrage, with the fit error in half spreads; anomalies in words."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.options.anomalies import find_anomalies, residuals
from argus_core.options.surface import Surface, executable_arbitrage, fit_surface, grid_arbitrage
from argus_core.settings.option_anomalies import AnomalySettings, ResidualSettings
from tests.options.surface.chains import real_chain

EVENING = AnomalySettings(max_age_seconds=40_000.0)


def chain(shared_data, name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    if not (shared_data / "option_quotes" / f"{name}.parquet").is_file():
        pytest.skip(f"option_quotes/{name}.parquet is not among the shared data")
    return real_chain(shared_data, name)


@pytest.mark.parametrize(
    ("name", "least", "worst"), [("SPX_2026-08-06_eod", 30, 4.0), ("SPY_2026-08-06_eod", 30, 20.0)]
)
def test_an_evening_is_fitted_without_arbitrage(shared_data, name, least, worst):
    _, vols = chain(shared_data, name)
    fit = fit_surface(vols)
    assert fit.slices.height >= least
    assert grid_arbitrage(fit.slices).total == 0
    assert fit.slices["rmse_half_spreads"].median() < worst
    assert fit.slices["rmse_iv"].median() < 0.006
    # Near the money, where most of a position lies, the surface is within a third of a volatility point.
    near = fit.quotes.filter(pl.col("log_moneyness").abs() < pl.col("iv_mid") * pl.col("t_cal").sqrt())
    assert (near["iv_fit"] - near["iv_mid"]).abs().median() < 0.003


def test_the_surface_gives_a_law_for_every_expiry(shared_data):
    _, vols = chain(shared_data, "SPX_2026-08-06_eod")
    surface = Surface.of(fit_surface(vols).slices)
    for years, forward in zip(surface.years, surface.forward, strict=True):
        cdf = surface.law(float(years)).cdf(forward * np.exp(np.linspace(-0.5, 0.3, 200)))
        assert (np.diff(cdf) >= -1e-12).all()
        assert 0.3 < float(surface.law(float(years)).cdf(forward)) < 0.6


def test_an_evening_has_no_arbitrage_left_after_fees_and_few_anomalies(shared_data):
    forwards, vols = chain(shared_data, "SPX_2026-08-06_eod")
    vols = vols.filter(pl.col("t_cal") < 0.05)
    trades = executable_arbitrage(vols, american=False, fee=0.65, rate_error=0.002)
    assert len(trades) <= 5
    flags = find_anomalies(vols, EVENING, forwards=forwards)
    assert flags.height <= 20
    assert flags["explanation"].str.len_chars().min() > 40


def test_a_fault_planted_in_a_real_evening_is_found(shared_data):
    _, vols = chain(shared_data, "SPX_2026-08-06_eod")
    vols = vols.filter(pl.col("t_cal").is_between(0.02, 0.06))
    fit = fit_surface(vols)
    used = vols.filter(
        pl.col("used")
        & (pl.col("log_moneyness").abs() < pl.col("iv_mid") * pl.col("t_cal").sqrt())
        & pl.col("t_cal").is_between(0.02, 0.06)
    ).sort("contract")
    rng = np.random.default_rng(0)
    picked = used["contract"].gather(rng.choice(used.height, 20, replace=False)).to_list()
    half = 0.5 * (pl.col("iv_ask") - pl.col("iv_bid"))
    hit = pl.col("contract").is_in(picked)
    moved = vols.with_columns(
        pl.when(hit).then(pl.col(name) + 4 * half).otherwise(pl.col(name)) for name in ("iv_bid", "iv_mid", "iv_ask")
    )
    found = residuals(moved, fit.slices, ResidualSettings()).filter("flagged")["contract"].to_list()
    assert len(set(found) & set(picked)) >= 17
    assert len(set(found) - set(picked)) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["SPX", "SPY"])
def test_all_evenings(shared_data, symbol):
    files = sorted((shared_data / "option_quotes").glob(f"{symbol}_2026-*_eod.parquet"))
    if not files:
        pytest.skip("no evening chains among the shared data")
    previous = slices = None
    for file in files:
        forwards, vols = real_chain(shared_data, file.stem)
        fit = fit_surface(vols, previous=slices)
        assert grid_arbitrage(fit.slices).total == 0, file.stem
        assert fit.slices["rmse_iv"].median() < 0.01, file.stem
        flags = find_anomalies(vols, EVENING, fit=fit, forwards=forwards, previous=previous)
        assert flags.height <= 0.01 * vols.height, file.stem
        assert (flags["recv_ts"] - vols["recv_ts"][0] == timedelta(0)).all()
        previous, slices = vols, fit.slices
