"""G1 and G2: Heston's terminal law beside QuantLib: error on the goal's grid, prices per CPU second, pages of spreads.

Argus' times hold everything: ranges, numbers of terms, characteristic function, sums. QuantLib's options and engines
are built before the clock starts. Goals in milliseconds are judged by CPU time: wall time holds other work too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import QuantLib as ql

from argus_core.options.heston import HestonParameters
from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.tails import log_variance
from argus_core.options.positions import profit_lines_of
from argus_core.options.profit import heston_laws, terminal_profit
from tests.options.heston.lewis import lewis_cdf
from tests.options.heston.test_fourier import SETS, YEARS, strikes_of

MILD = HestonParameters(0.04, 2.0, 0.05, 0.6, -0.7)


def best(function: Callable[[], Any], repeats: int = 9) -> tuple[float, float, float, Any]:
    """(seconds that the first call took longer, best wall, best CPU, last result)."""
    started = time.perf_counter()
    result = function()
    first = time.perf_counter() - started
    wall, cpu = [], []
    for _ in range(repeats):
        cpu_before, before = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - cpu_before)
        wall.append(time.perf_counter() - before)
    return max(first - min(wall), 0.0), min(wall), min(cpu), result


def options(parameters: HestonParameters, days: list[int], k: np.ndarray, engine: Callable[[Any], Any]) -> list[Any]:
    """QuantLib's calls at strikes exp(k) on a spot of 1 without rates, row by row."""
    today = ql.Date(15, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, ql.Actual365Fixed()))
    v0, kappa, theta, sigma, rho = parameters
    spot = ql.QuoteHandle(ql.SimpleQuote(1.0))
    pricer = engine(ql.HestonModel(ql.HestonProcess(flat, flat, spot, v0, kappa, theta, sigma, rho)))
    made = []
    for i, row in zip(days, k, strict=True):
        for x in row:
            payoff = ql.PlainVanillaPayoff(ql.Option.Call, float(np.exp(x)))
            made.append(ql.VanillaOption(payoff, ql.EuropeanExercise(today + i)))
            made[-1].setPricingEngine(pricer)
    return made


def values(made: list[Any]) -> np.ndarray:
    for option in made:
        option.recalculate()
    return np.array([option.NPV() for option in made])


def adaptive(model: Any) -> Any:
    return ql.AnalyticHestonEngine(model, 1e-12, 1_000_000)


def grid_rows() -> list[dict[str, Any]]:
    """Largest errors over 7 sets, 6 expiries, 13 strikes."""
    probability = price = 0.0
    days = np.round(YEARS * 365).astype(int).tolist()
    for parameters in SETS.values():
        k = strikes_of(parameters, YEARS)
        below, call = heston_table(parameters, YEARS).law(k)
        twin = [lewis_cdf(parameters, years, k[i]) for i, years in enumerate(YEARS)]
        probability = max(probability, float(np.abs(below - twin).max()))
        peer = values(options(parameters, days, k, adaptive)).reshape(k.shape)
        price = max(price, float(np.abs(call - peer).max()))
    cells = len(SETS) * len(YEARS) * 13
    return [
        {
            "goal": "G1",
            "name": f"largest error of P(S <= K), {cells} cells",
            "ours": f"{probability:.1e}",
            "peer": "Lewis integrals, Gauss-Legendre panels",
            "target": "<= 1e-10",
            "reached": probability <= 1e-10,
        },
        {
            "goal": "G1",
            "name": f"largest difference of price / F, {cells} cells",
            "ours": f"{price:.1e}",
            "peer": f"QuantLib {ql.__version__} adaptive Gauss-Lobatto",
            "target": "<= 1e-10",
            "reached": price <= 1e-10,
        },
    ]


def speed_rows() -> list[dict[str, Any]]:
    """Prices of one chain per CPU second: 20 expiries, 25 strikes."""
    days = np.round(np.geomspace(7, 730, 20)).astype(int).tolist()
    years = np.array(days) / 365
    k = np.linspace(-2.5, 1.8, 25) * np.sqrt(log_variance(MILD, years))[:, None]
    compiling, _, cpu, ours = best(lambda: heston_table(MILD, years).prices(k))
    engines = {
        "adaptive, 1e-12": adaptive,
        "144 nodes": lambda model: ql.AnalyticHestonEngine(model, 144),
        "COS (16, 200)": lambda model: ql.COSHestonEngine(model, 16, 200),
    }
    found = []
    for name, engine in engines.items():
        made = options(MILD, days, k, engine)
        _, _, theirs, peer = best(lambda made=made: values(made), 3)
        error = float(np.abs(peer.reshape(k.shape) - ours).max())
        found.append(
            {
                "goal": "G1",
                "name": f"prices per CPU second, chain of {k.size}",
                "ours": f"{k.size / cpu:,.0f}/s, error <= 1e-12",
                "peer": f"QuantLib {ql.__version__} {name}: {k.size / theirs:,.0f}/s, differs by {error:.0e}",
                "ratio": theirs / cpu,
                "compile": compiling,
            }
        )
    return found


def page_rows() -> list[dict[str, Any]]:
    """10,000 vertical spreads over 20 expiries, from parameters and strikes."""
    rng = np.random.default_rng(0)
    years = np.geomspace(7, 730, 20) / 365
    forwards = 100 * np.exp(0.027 * years)
    expiry = np.repeat(np.arange(20), 500)
    deviation = np.sqrt(log_variance(MILD, years))[expiry]
    short = forwards[expiry] * np.exp(rng.normal(0, 1, 10_000) * deviation)
    strikes = np.stack([short, short * np.exp(-rng.uniform(0.05, 0.5, 10_000) * deviation)], axis=1)
    credit = (strikes[:, 0] - strikes[:, 1]) * rng.uniform(0.1, 0.5, 10_000)

    def pop() -> np.ndarray:
        # A put spread wins above its one break-even.
        laws = heston_laws(MILD, years, forwards)
        return 1.0 - laws.probability(expiry, short - credit)

    def table(**options: Any) -> Any:
        laws = heston_laws(MILD, years, forwards)
        page = profit_lines_of(strikes, False, [-1, 1], -credit)
        return terminal_profit(page, laws, laws.provenance, expiry=expiry, **options)

    twin = np.concatenate([1 - lewis_cdf(MILD, t, np.log((short - credit)[expiry == i][:40] / forwards[i]))
                           for i, t in enumerate(years)])  # fmt: skip
    checked = np.concatenate([np.flatnonzero(expiry == i)[:40] for i in range(20)])
    found = []
    for name, run, pick in (
        ("PoP", pop, lambda result: result),
        ("PoP, P(max), mean", lambda: table(tails=False), lambda result: result.pop_terminal),
        ("PoP, P(max), mean, CVaR", table, lambda result: result.pop_terminal),
    ):
        compiling, wall, cpu, result = best(run, 5)
        error = float(np.abs(pick(result)[checked] - twin).max())
        goal = name == "PoP"
        found.append(
            {
                "goal": "G2",
                "name": f"10,000 verticals, 20 expiries: {name}",
                "ours": f"{1e3 * cpu:.0f} ms CPU, {1e3 * wall:.0f} ms wall, error {error:.0e}",
                "target": "<= 60 ms, error <= 1e-8" if goal else None,
                "reached": (cpu <= 0.060 and error <= 1e-8) if goal else None,
                "compile": compiling,
            }
        )
    return found


def rows() -> list[dict[str, Any]]:
    return [*grid_rows(), *speed_rows(), *page_rows()]
