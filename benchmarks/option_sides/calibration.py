"""G8: Heston calibration beside QuantLib's Levenberg-Marquardt: same chain, start and weighted objective.

Both go from the chain's frame to parameters. QuantLib: `HestonModelHelper` per contract, `AnalyticHestonEngine`
(Gauss-Laguerre, 64 nodes or its default of 144), parameters only. Argus: choice of contracts, nodes, payoff matrices,
the fit, the check of its prices with finer nodes, standard errors and residuals. Argus computes on one core here, so
that CPU seconds are the wall seconds of an idle machine; the goal is judged by them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import QuantLib as ql

from argus_core.options.heston import HestonParameters
from argus_core.options.heston.calibration import HestonFit, calibrate
from argus_core.settings.option_calibration import HestonCalibrationSettings
from tests.options.heston_chains import PARAMETERS, HestonChain, heston_chain

START = HestonParameters(0.09, 1.0, 0.09, 1.0, -0.3)  # options.md A7
#: Expiries, strikes, goal in wall seconds.
SIZES = ((10, 10, 0.020), (20, 25, 0.050))
NODES = (64, 144)


def chain_of(expiries: int, strikes: int, **options: Any) -> HestonChain:
    days = np.round(np.geomspace(7, 730, expiries)).astype(int)
    return heston_chain(days=np.unique(days).tolist(), deviations=np.linspace(-2.5, 1.8, strikes), **options)


def best(function: Callable[[], Any], repeats: int) -> tuple[float, float, float, Any]:
    """(first call wall, best wall, best CPU, last result)."""
    started = time.perf_counter()
    result = function()
    first = time.perf_counter() - started
    wall, cpu = [], []
    for _ in range(repeats):
        cpu_before, before = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - cpu_before)
        wall.append(time.perf_counter() - before)
    return first, min(wall), min(cpu), result


def quantlib(chain: HestonChain, nodes: int) -> HestonParameters:
    """Calibrate from `START`; dates are those of the chain."""
    used = chain.implied_vols.filter("used")
    today = ql.Date(used["recv_ts"][0].day, used["recv_ts"][0].month, used["recv_ts"][0].year)
    ql.Settings.instance().evaluationDate = today
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, ql.Actual365Fixed()))
    process = ql.HestonProcess(flat, flat, ql.QuoteHandle(ql.SimpleQuote(1.0)), *START)
    model = ql.HestonModel(process)
    engine = ql.AnalyticHestonEngine(model, nodes)
    error = ql.BlackCalibrationHelper.PriceError
    helpers, weights = [], []
    for row in used.iter_rows(named=True):
        days = round(row["t_cal"] * 365)
        vol = row["iv_mid"] * (row["t_cal"] * 365 / days) ** 0.5
        # Moneyness against a spot of 1 without rates: the forward price, as in Argus' fit.
        quote, strike = ql.QuoteHandle(ql.SimpleQuote(vol)), row["strike"] / row["forward"]
        helper = ql.HestonModelHelper(
            ql.Period(days, ql.Days), ql.NullCalendar(), 1.0, strike, quote, flat, flat, error
        )
        helper.setPricingEngine(engine)
        helpers.append(helper)
        half_spread = 0.5 * (row["iv_ask"] - row["iv_bid"])
        weights.append((half_spread * row["vega"] / (row["forward"] * row["discount"])) ** -2)
    end = ql.EndCriteria(500, 50, 1e-8, 1e-8, 1e-8)
    model.calibrate(helpers, ql.LevenbergMarquardt(1e-8, 1e-8, 1e-8), end, ql.NoConstraint(), weights)
    theta, kappa, sigma, rho, v0 = model.params()
    return HestonParameters(v0, kappa, theta, sigma, rho)


def apart(found: HestonParameters, wanted: HestonParameters) -> float:
    return float(np.max(np.abs(np.array(found) / np.array(wanted) - 1)))


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for expiries, strikes, limit in SIZES:
        chain = chain_of(expiries, strikes, noise=1.0, noise_seed=1)
        first, wall, cpu, fit = best(lambda: calibrate(chain.implied_vols, start=START), 9)  # noqa: B023
        assert isinstance(fit, HestonFit)
        assert fit.converged
        assert fit.parameters is not None
        target = f"wall <= {1000 * limit:.0f} ms warm; >= 10x QuantLib"
        for nodes in NODES:
            _, peer_wall, peer_cpu, peer = best(lambda: quantlib(chain, nodes), 5)  # noqa: B023
            found.append(
                {
                    "goal": "G8",
                    "name": f"calibrate {fit.n_contracts} noisy contracts, {fit.n_expiries} expiries",
                    "ours": f"{1000 * wall:.1f} ms wall, {1000 * cpu:.1f} ms CPU",
                    "peer": f"QuantLib {ql.__version__} LM, {nodes} nodes: {1000 * peer_wall:.0f} ms, "
                    f"{1000 * peer_cpu:.0f} ms CPU, {100 * apart(peer, fit.parameters):.2f} % apart",
                    "ratio": peer_cpu / cpu,
                    "target": target,
                    "reached": cpu <= limit and peer_cpu / cpu >= 10,
                    "compile": first - wall,
                }
            )
    return [*found, _starts(), _noise()]


def _starts() -> dict[str, Any]:
    """32 starts without noise."""
    chain = chain_of(10, 10)
    worst, converged = 0.0, 0
    for factors in itertools.product((0.5, 2.0), repeat=4):
        for rho in (-0.2, -0.85):
            fit = calibrate(chain.implied_vols, start=HestonParameters(*(np.array(PARAMETERS[:4]) * factors), rho))
            converged += fit.converged
            worst = max(worst, apart(fit.parameters, PARAMETERS) if fit.parameters else np.inf)
    return {
        "goal": "G8",
        "name": "32 starts (0.5 to 2x each, rho -.2 and -.85), no noise",
        "ours": f"{converged} converge, worst parameter off by {worst:.0e}",
        "target": "all, 1e-4",
        "reached": converged == 32 and worst <= 1e-4,
    }


def _noise() -> dict[str, Any]:
    """One fit against the best of a seeded search."""
    worst = 0.0
    for seed in (1, 2, 3):
        frame = chain_of(10, 10, noise=1.0, noise_seed=seed).implied_vols
        one = calibrate(frame)
        searched = calibrate(frame, HestonCalibrationSettings(starts=200, seed=seed))
        worst = max(worst, one.rmse_iv / searched.rmse_iv)
    return {
        "goal": "G8",
        "name": "IV RMSE with half-spread noise, over the best of 200 starts (3 chains)",
        "ours": f"{worst:.6f}",
        "target": "<= 1.05",
        "reached": worst <= 1.05,
    }
