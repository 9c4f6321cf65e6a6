"""Stylised facts: against the shared data, against the simulated market (acceptance), against slow twins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from argus_core.calendar import TradingCalendar
from argus_core.market import facts
from argus_core.market.simulation import SimulatedMarket
from argus_core.settings import Project, SimulationSettings

GROUPS = {"asia": ("EWJ", "FXI", "EWT", "EWY", "INDA"), "europe": ("EWG", "EWU", "FEZ", "EWL"), "fx": ("USDJPY",)}
#: calibration.json and market-data.md §4, repeated so that the acceptance test runs without the shared data.
SPY_YEAR = {
    "variance_share_30m": [0.139, 0.131, 0.095, 0.073, 0.061, 0.054, 0.052, 0.057, 0.054, 0.063, 0.059, 0.057, 0.105],
    "volume_share_30m": [0.114, 0.086, 0.070, 0.064, 0.055, 0.050, 0.048, 0.049, 0.049, 0.060, 0.061, 0.074, 0.220],
    "var_share_first_5m": 0.0361,
    "vol_share_first_5m": 0.0351,
    "var_share_last_5m": 0.0289,
    "vol_share_last_5m": 0.0973,
    "share_unmoved": 0.019,
    "median_ann_vol_rth": 0.0899,
    "kurtosis_1m": 16.7,
    "kurtosis_1m_dayscaled": 6.12,
    "kurtosis_1m_day_and_tod_scaled": 4.69,
    "student_df": 7.1,
    "range_over_sd": 1.30,
    "volume_residual_sd": 0.59,
    "log_volume_sd_day": 0.329,
    "median_day_volume": 38.7e6,
    "ac1_1m": 0.0033,
    "autocorr_abs_1m_lag1": 0.284,
    "corr_absret_logvol_1m": 0.394,
    "scaled_abs_ac": [0.12, 0.07, 0.03],
    "volume_residual_ac1": 0.38,
    "volume_residual_corr_abs": 0.31,
}
CORRELATIONS = ("ac1_1m", "autocorr_abs_1m_lag1", "corr_absret_logvol_1m", "scaled_abs_ac", "ac1", "corr", "beta")


def assert_near(name: str, found: Any, wanted: Any) -> None:
    """The tolerance of market-data.md §5: 15 %, shares .01, correlations .05."""
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    if "share" in name:
        tolerance: Any = 0.01
    elif any(part in name for part in CORRELATIONS):
        tolerance = 0.05
    else:
        tolerance = 0.15 * np.abs(wanted)
    off = ~(np.abs(found - wanted) <= tolerance)
    assert not off.any(), f"{name}: found {found}, wanted {wanted}"


@pytest.fixture(scope="module")
def simulated(project: Project, calendar: TradingCalendar) -> SimulatedMarket:
    return SimulatedMarket(SimulationSettings(first_date=date(2015, 1, 2)), calendar, project.universe.instruments)


@pytest.fixture(scope="module")
def spy_years(simulated: SimulatedMarket, calendar: TradingCalendar) -> list[dict[str, Any]]:
    """Facts of eight simulated years of SPY minutes, 252 sessions each as in the measured sample."""
    days = calendar.sessions_between(date(2015, 1, 5), date(2023, 12, 29))[: 8 * 252]
    years = [days[i : i + 252] for i in range(0, len(days), 252)]
    return [facts.intraday_facts(pl.concat([simulated.bars("SPY", d) for d in year])) for year in years]


def middle(years: list[dict[str, Any]], name: str) -> Any:
    return np.median([year[name] for year in years], axis=0)


@pytest.mark.parametrize("name", SPY_YEAR)
def test_the_median_simulated_year_of_spy_minutes_has_the_measured_fact(spy_years, name: str) -> None:
    assert_near(name, middle(spy_years, name), SPY_YEAR[name])


@pytest.mark.parametrize(
    ("block", "name", "wanted", "tolerance"),
    [
        ("logRV", "mean", -10.301, 0.15 * 10.301),
        ("logRV", "sd", 0.857, 0.15 * 0.857),
        ("logRV", "ac1", 0.70, 0.05),
        ("HAR_logRV", "resid_sd", 0.611, 0.15 * 0.611),
        ("HAR_logRV", "R2", 0.503, 0.15 * 0.503),
        ("HAR_logRV", "d", 0.61, 0.15 * 0.61),
        ("jumps_5m", "jumps_per_day_LM99", 0.099, 0.15 * 0.099),
        ("jumps_5m", "median_abs_jump_in_daily_RV_sd", 0.464, 0.15 * 0.464),
        ("jumps_5m", "mean_jump_share_of_RV", 0.051, 0.01),
        ("jumps_1m", "median_abs_jump_in_daily_RV_sd", 0.237, 0.15 * 0.237),
        ("jumps_1m", "mean_jump_share_of_RV", 0.031, 0.01),
    ],
)
def test_the_median_simulated_year_has_the_measured_day_to_day_variance_and_jumps(
    spy_years, block: str, name: str, wanted: float, tolerance: float
) -> None:
    assert np.median([year[block][name] for year in spy_years]) == pytest.approx(wanted, abs=tolerance)


#: Facts that the simulator misses, with the bounds it keeps instead; docs/simulated-market.md says why.
MISSED = {
    ("logRV", "ac5"): (0.30, 0.25, 0.60),
    ("HAR_logRV", "m"): (-0.035, -0.05, 0.30),
    ("jumps_1m", "jumps_per_day_LM99"): (0.536, 0.33, 0.50),
    ("jumps_1m", "share_negative"): (0.763, 0.52, 0.70),
    ("jumps_5m", "share_negative"): (0.84, 0.58, 0.76),
}


@pytest.mark.parametrize("key", MISSED)
def test_what_misses_the_tolerance_stays_where_the_docs_say(spy_years, key: tuple[str, str]) -> None:
    _, low, high = MISSED[key]
    assert low < np.median([year[key[0]][key[1]] for year in spy_years]) < high


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thirteen_simulated_years_of_another_seed_have_the_measured_facts(project, calendar, seed: int) -> None:
    """What varies little from year to year; the level of a seed's years is its own."""
    settings = SimulationSettings(seed=seed, first_date=date(2015, 1, 2))
    market = SimulatedMarket(settings, calendar, project.universe.instruments)
    days = calendar.sessions_between(date(2015, 1, 5), date(2028, 12, 29))[: 13 * 252]
    years = [
        facts.intraday_facts(pl.concat([market.bars("SPY", d) for d in days[i : i + 252]]))
        for i in range(0, len(days), 252)
    ]
    varying = ("median_ann_vol_rth", "kurtosis_1m", "share_unmoved", "autocorr_abs_1m_lag1", "median_day_volume")
    for name, wanted in SPY_YEAR.items():
        if name not in varying:
            assert_near(name, middle(years, name), wanted)


@pytest.fixture(scope="module")
def long_paths(project: Project, calendar: TradingCalendar) -> list[SimulatedMarket]:
    """Sixteen markets of 38 years: one path of 20 years leaves more noise in the tails than the tolerance."""
    return [
        SimulatedMarket(
            SimulationSettings(seed=seed, first_date=date(1998, 1, 2)), calendar, project.universe.instruments
        )
        for seed in range(16)
    ]


PREMIUM = {
    "mean_VIX": 19.62,
    "mean_RV21_next": 15.99,
    "mean_vol_pts": 3.63,
    "median_vol_pts": 4.62,
    "ratio_mean_var": 1.216,
    "median_ratio_IV_over_RV": 1.371,
    "P(VIX>RV) share": 0.836,
    "p5_vol_pts": -7.1,
    "p95_vol_pts": 11.9,
    "dlogVIX_per_1pct_return": -0.0465,
    "corr_ret_dlogVIX": -0.739,
    "logVIX_mean": 2.904,
    "logVIX_sd": 0.359,
    "logVIX_ac1": 0.9771,
    "dlogVIX_sd": 0.0769,
    "dlogVIX_kurt": 9.4,
}


def test_implied_volatility_and_its_premium_are_as_measured(long_paths: list[SimulatedMarket]) -> None:
    each = [facts.premium_facts(np.exp(m.market.log_close), m.daily_state()["iv30"].to_numpy()) for m in long_paths]
    for name, wanted in PREMIUM.items():
        assert_near(name, np.mean([f[name.removesuffix(" share")] for f in each]), wanted)


def daily(market: SimulatedMarket, symbol: str) -> pl.DataFrame:
    path = market.path(symbol)
    return (
        market.daily_state()
        .select("date")
        .with_columns(open=pl.Series(np.exp(path.log_open)), close=pl.Series(np.exp(path.log_close)))
    )


@pytest.mark.parametrize(
    ("symbol", "share", "weekend", "volatility"),
    [
        ("SPY", 0.352, 1.45, 0.195),
        ("QQQ", 0.343, 1.30, None),
        ("EWJ", 0.685, 1.10, None),
        ("INDA", 0.784, 1.23, None),
        ("FEZ", 0.658, 1.17, None),
    ],
)
def test_overnight_share_and_weekend_gaps_are_as_measured(
    long_paths: list[SimulatedMarket], symbol: str, share: float, weekend: float, volatility: float | None
) -> None:
    each = [facts.daily_facts(daily(m, symbol)) for m in long_paths[:10]]
    assert_near("on_share", np.mean([f["on_share"] for f in each]), share)
    assert_near("weekend", np.mean([f["weekend_on_sd_ratio"] for f in each]), weekend)
    assert_near("corr_on_it", np.mean([f["corr_on_it"] for f in each]), -0.009)
    if volatility:
        assert_near("cc_ann_vol", np.mean([f["cc_ann_vol"] for f in each]), volatility)


def flow(market: SimulatedMarket) -> dict[str, Any]:
    names = ["SPY", *(s for group in GROUPS.values() for s in group)]
    closes = (
        market.daily_state()
        .select("date")
        .with_columns(**{name: pl.Series(np.exp(market.path(name).log_close)) for name in names})
    )
    return facts.flow_facts(daily(market, "SPY").select("date", SPY="open"), closes, GROUPS)


def test_the_global_risk_flow_moves_with_spy_on_the_day_and_says_nothing_about_the_next(
    long_paths: list[SimulatedMarket],
) -> None:
    each = [flow(m) for m in long_paths[:6]]

    def mean(name: str) -> Any:
        return np.mean([f[name] for f in each], axis=0)

    assert_near("sd_bp", mean("sd_bp"), 88.2)
    assert_near("corr_same_day_SPY", mean("corr_same_day_SPY"), 0.836)
    assert_near("corr_prev_flow_next_SPY_overnight", mean("corr_prev_flow_next_SPY_overnight"), -0.005)
    assert_near("corr_prev_flow_next_SPY_intraday", mean("corr_prev_flow_next_SPY_intraday"), 0.022)
    # Measured -.08 and -.09: a memory of returns, which the simulator has not on purpose.
    assert abs(mean("corr_with_next_day_SPY")) < 0.02
    assert abs(mean("ac1")) < 0.02
    found = mean("corr")
    wanted = [0.72, 0.54, 0.70, 0.68, 0.61, 0.77, 0.77, 0.79, 0.74, 0.14]
    assert_near("corr", found[0, 1:], wanted)
    assert found[1:10, 1:10].min() > 0.43
    assert np.sort(found[1:10, 1:10].ravel())[-10] < 0.99


def test_five_minute_returns_move_together_as_measured(simulated: SimulatedMarket, calendar) -> None:
    days = calendar.sessions_between(date(2016, 1, 4), date(2016, 12, 30))
    spy, qqq, btc = (pl.concat([simulated.bars(s, d) for d in days]) for s in ("SPY", "QQQ", "BTC"))
    assert_near("corr", facts.five_minute_correlation(spy, qqq)["corr_5m"], 0.955)
    assert_near("corr", facts.five_minute_correlation(spy, btc)["corr_5m"], 0.52)
    assert_near("corr", facts.five_minute_correlation(qqq, btc)["corr_5m"], 0.53)


BITCOIN = {
    "ann_vol": 0.498,
    "median_ann_vol": 0.415,
    "ac1_1m": -0.0097,
    "weekend_rv_ratio": 0.411,
    "weekend_volume_ratio": 0.488,
    "logRV_sd": 0.904,
    "logRV_ac1": 0.57,
    "minute0_var_ratio": 1.31,
}


def test_bitcoin_has_its_measured_variance_hours_weekends_and_jumps(simulated: SimulatedMarket, calendar) -> None:
    days = calendar.sessions_between(date(2016, 1, 4), date(2018, 12, 31))
    found = facts.crypto_facts(pl.concat([simulated.bars("BTC", d).select("ts", "close", "volume") for d in days]))
    for name, wanted in BITCOIN.items():
        assert_near(name, found[name], wanted)
    assert int(np.argmax(found["hour_var_share"])) == 14
    assert found["hour_var_share"][14] == pytest.approx(0.0866, abs=0.01)
    assert found["hour_var_share"][5] == pytest.approx(0.021, abs=0.01)
    assert_near("jumps", found["jumps_5m"]["jumps_per_day_LM99"], 1.037)
    assert_near("size", found["jumps_5m"]["median_abs_jump_in_daily_RV_sd"], 0.289)


# -- the same code on the real data ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibration(shared_data: Path) -> Mapping[str, Any]:
    return json.loads((shared_data / "calibration.json").read_text())


def test_facts_of_the_shared_spy_year_are_those_of_the_calibration(shared_data: Path, calibration) -> None:
    bars = pl.read_parquet(shared_data / "bars_1m" / "SPY.parquet")
    year = bars.filter((pl.col("session") == "rth") & (pl.col("ts").dt.date() < date(2025, 4, 3)))
    found, wanted = facts.intraday_facts(year), calibration["intraday"]["SPY_1m_2024-03_2025-04"]
    assert found["days"] == wanted["days"] == 252
    for name, value in wanted.items():
        if not isinstance(value, dict) and name in found:
            np.testing.assert_allclose(found[name], value, rtol=6e-3, atol=6e-5, err_msg=name)
    for block in ("logRV", "HAR_logRV"):
        for name, value in wanted[block].items():
            assert found[block][name] == pytest.approx(value, rel=0.03), name
    assert found["jumps_1m"]["jumps_per_day_LM99"] == pytest.approx(0.536, abs=0.001)
    assert found["jumps_5m"]["jumps_per_day_LM99"] == pytest.approx(0.099, rel=0.1)
    assert found["student_df"] == pytest.approx(7.1, abs=0.1)
    assert found["range_over_sd"] == pytest.approx(1.30, abs=0.005)
    np.testing.assert_allclose(found["scaled_abs_ac"], [0.12, 0.07, 0.03], atol=0.006)
    assert found["share_unmoved"] == pytest.approx(0.019, abs=0.0005)


def test_facts_of_the_shared_daily_bars_are_those_of_the_calibration(shared_data: Path, calibration) -> None:
    for symbol in ("SPY", "QQQ", "EWJ", "FXI", "INDA", "FEZ", "IBIT"):
        found = facts.daily_facts(pl.read_parquet(shared_data / "bars_1d" / f"{symbol}.parquet"))
        for name, value in calibration["daily_open_close"][f"{symbol}_2020_2025"].items():
            if name in found:
                tolerance = {"on_sd_bp": 0.6, "it_sd_bp": 0.6, "kurt_cc": 0.06}.get(name, 0.011)
                assert found[name] == pytest.approx(value, abs=tolerance), (symbol, name)


def test_premium_and_bitcoin_facts_of_the_shared_data_are_those_of_the_calibration(shared_data, calibration) -> None:
    closes = pl.read_parquet(shared_data / "closes_1d" / "adj_close.parquet")
    both = closes.pivot(on="symbol", index="date", values="adj_close").sort("date").select("SPY", "VIX").drop_nulls()
    found = facts.premium_facts(both["SPY"].to_numpy(), both["VIX"].to_numpy() / 100)
    for name, value in calibration["vrp"]["SPY_adj_2006_2026"].items():
        if name in found and name != "n":
            assert found[name] == pytest.approx(value, rel=0.01), name
    coin = pl.read_parquet(shared_data / "crypto_1m" / "BTCUSDT.parquet").filter(pl.col("ts") < date(2026, 2, 1))
    found, wanted = facts.crypto_facts(coin), calibration["btc"]
    for name in ("days", "ann_vol", "median_ann_vol", "kurt_1m", "kurt_1d", "ac1_1m", "weekend_rv_ratio", "logRV_ac1"):
        assert found[name] == pytest.approx(wanted[name], rel=0.01), name
    np.testing.assert_allclose(found["hour_var_share"], wanted["hour_var_share"], atol=6e-5)
    assert found["jumps_5m"]["jumps_per_day_LM99"] == pytest.approx(wanted["jumps_5m"]["per_day"], abs=0.001)


# -- twins -------------------------------------------------------------------------------------------------------------


def test_kurtosis_autocorrelation_and_student_fit_agree_with_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(2)
    x = rng.standard_t(6, 20_000)
    assert facts.kurtosis(x) == pytest.approx(stats.kurtosis(x, fisher=False))
    assert facts.autocorrelation(x, 1) == pytest.approx(np.corrcoef(x[1:], x[:-1])[0, 1], abs=1e-3)
    assert facts.student_degrees(x) == pytest.approx(stats.t.fit(x, floc=0)[0], rel=1e-3)


def test_heterogeneous_autoregression_equals_ordinary_least_squares() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    y = np.cumsum(rng.standard_normal(300)) * 0.1
    rows = [[y[t - 1], y[t - 5 : t].mean(), y[t - 22 : t].mean()] for t in range(22, 300)]
    fit = sm.OLS(y[22:], sm.add_constant(np.array(rows))).fit()
    found = facts.heterogeneous_autoregression(y)
    assert [found[k] for k in ("const", "d", "w", "m")] == pytest.approx(list(fit.params), abs=1e-9)
    assert found["R2"] == pytest.approx(fit.rsquared)


def test_sessions_that_are_not_full_are_left_out(simulated: SimulatedMarket) -> None:
    days = [date(2024, 11, 27), date(2024, 11, 29), date(2024, 12, 2)]
    matrix = facts.session_matrix(pl.concat([simulated.bars("SPY", d) for d in days]))
    assert [d.astype("datetime64[D]").item() for d in matrix["date"]] == [days[0], days[2]]
