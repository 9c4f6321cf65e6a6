"""G9: implied volatilities and greeks beside vollib (lets_be_rational) and QuantLib, on the same options.

One million random market-like options: 1 day to 3 years, volatilities 5 % to 150 %, strikes to five standard
deviations, out of the money, prices from the normalised formula (checked against 60 digits in the tests). The peers are
called in a Python loop on fewer of them, as their users call them; QuantLib's arguments are built before the clock
starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from argus_core.options.greeks import greeks
from argus_core.options.normalised_black import evaluate, implied_vols, log_distance

COUNT, PEER_COUNT, SMALL = 1_000_000, 5_000, 10


def market(count: int, seed: int = 9) -> dict[str, np.ndarray]:
    """Price, strike, years, call, vol of options on a forward of 100, and the condition b / (s b')."""
    rng = np.random.default_rng(seed)
    years = 10 ** rng.uniform(np.log10(1 / 365), np.log10(3), count)
    vol = rng.uniform(0.05, 1.5, count)
    s = vol * np.sqrt(years)
    strike = 100 * np.exp(np.clip(rng.normal(0, 1.5, count), -5, 5) * s)
    b, _, _, slope = evaluate(np, log_distance(np, 100.0, strike), s)
    price = b * np.sqrt(100 * strike)
    return {
        "price": price,
        "strike": strike,
        "years": years,
        "call": strike >= 100,
        "vol": vol,
        "condition": b / (s * slope),
    }


def measured(function: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """(seconds that the first call took longer, best CPU seconds, last result)."""
    started = time.perf_counter()
    result = function()
    first = time.perf_counter() - started
    cpu, wall = [], []
    for _ in range(repeats):
        before, now = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - before)
        wall.append(time.perf_counter() - now)
    return max(first - min(wall), 0.0), min(cpu), result


def rows() -> list[dict[str, Any]]:
    """Rows of `benchmarks/options.py`."""
    m = market(COUNT)
    compiling, cpu, found = measured(lambda: implied_vols(m["price"], 100.0, m["strike"], m["years"], m["call"]), 7)
    good = m["condition"] < 100
    error = np.abs(found.iv / m["vol"] - 1)
    worst, failures, speed = float(np.nanmax(error[good])), int(np.count_nonzero(found.code)), COUNT / cpu
    made: list[dict[str, Any]] = [
        {
            "goal": "G9",
            "name": f"largest relative error of {COUNT:,} IVs, failures",
            "ours": f"{worst:.1e}, {failures}",
            "target": "<= 1e-12, 0",
            "reached": worst <= 1e-12 and failures == 0,
        }
    ]
    for name, error_of_peer, seconds in _peers(m):
        made.append(
            {
                "goal": "G9",
                "name": "IVs per CPU second",
                "ours": f"{speed / 1e6:.2f} M/s",
                "peer": f"{name}: {PEER_COUNT / seconds / 1e6:.3f} M/s, error {error_of_peer:.0e}",
                "ratio": speed * seconds / PEER_COUNT,
                "target": ">= 2 M/s on two cores",
                "reached": speed >= 2e6,
                "compile": compiling,
            }
        )
    few = {name: values[:SMALL] for name, values in m.items()}
    _, tiny, _ = measured(
        lambda: [implied_vols(few["price"], 100.0, few["strike"], few["years"], few["call"]) for _ in range(200)], 5
    )
    made.append({"goal": "G9", "name": f"one call with {SMALL} options", "ours": f"{tiny / 200 * 1e6:.0f} us"})
    return made + _greek_rows(m)


def _peers(m: dict[str, np.ndarray]) -> list[tuple[str, float, float]]:
    """(name, largest relative error where well conditioned, CPU seconds for PEER_COUNT options)."""
    import QuantLib as ql
    from lets_be_rational import implied_volatility_from_a_transformed_rational_guess
    from vollib.black.implied_volatility import implied_volatility

    part = {name: values[:PEER_COUNT] for name, values in m.items()}
    good = part["condition"] < 100
    numbers = list(zip(*(part[name].tolist() for name in ("price", "strike", "years", "call")), strict=True))
    kinds = [ql.Option.Call if call else ql.Option.Put for *_, call in numbers]
    root = np.sqrt(part["years"])
    inverse = ql.blackFormulaImpliedStdDev
    rational, label = (
        implied_volatility_from_a_transformed_rational_guess,
        f"lets_be_rational {version('lets_be_rational')}",
    )

    def stepwise() -> list[float]:
        return [rational(p, 100.0, k, t, 1.0 if c else -1.0) for p, k, t, c in numbers]

    def vollib() -> list[float]:
        return [implied_volatility(p, 100.0, k, 0.0, t, "c" if c else "p") for p, k, t, c in numbers]

    def plain() -> list[float]:
        return [inverse(kind, k, 100.0, p) for kind, (p, k, *_) in zip(kinds, numbers, strict=True)]

    def tight() -> list[float]:
        found = []
        for kind, (p, k, *_) in zip(kinds, numbers, strict=True):
            try:
                found.append(
                    ql.blackFormulaImpliedStdDevLiRS(kind, k, 100.0, p, 1.0, 0.0, ql.nullDouble(), 1.0, 1e-12, 100)
                )
            except RuntimeError:  # it does not converge far out of the money
                found.append(float("nan"))
        return found

    made = []
    for name, function, scale, repeats in (
        (label, stepwise, 1.0, 2),
        (f"vollib {version('vollib')}", vollib, 1.0, 2),
        (f"QuantLib {ql.__version__} default", plain, root, 4),
        (f"QuantLib {ql.__version__} LiRS 1e-12", tight, root, 4),
    ):
        _, seconds, result = measured(function, repeats)
        error = np.abs(np.array(result) / scale / part["vol"] - 1)
        failures = int(np.isnan(error).sum())
        made.append((name + (f" ({failures} failures)" if failures else ""), float(np.nanmax(error[good])), seconds))
    return made


def _greek_rows(m: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Price and eight greeks, all at once, beside QuantLib's seven and vollib's five one by one."""
    import QuantLib as ql
    from vollib.black.greeks import analytical

    compiling, cpu, _ = measured(lambda: greeks(100.0, m["strike"], m["years"], m["vol"], m["call"]), 5)
    numbers = list(zip(*(m[name][:PEER_COUNT].tolist() for name in ("strike", "years", "vol", "call")), strict=True))

    def quantlib() -> None:
        for k, t, v, c in numbers:
            payoff = ql.PlainVanillaPayoff(ql.Option.Call if c else ql.Option.Put, k)
            b = ql.BlackCalculator(payoff, 100.0, v * t**0.5, 1.0)
            b.value(), b.delta(100.0), b.deltaForward(), b.gamma(100.0), b.vega(t), b.theta(100.0, t), b.rho(t)

    def vollib() -> None:
        for k, t, v, c in numbers[: PEER_COUNT // 5]:
            for name in ("delta", "gamma", "vega", "theta", "rho"):
                getattr(analytical, name)("c" if c else "p", 100.0, k, t, 0.0, v)

    made = []
    for name, function, count in (
        (f"QuantLib {ql.__version__} BlackCalculator", quantlib, PEER_COUNT),
        (f"vollib {version('vollib')} analytical", vollib, PEER_COUNT // 5),
    ):
        _, seconds, _ = measured(function, 2)
        made.append(
            {
                "goal": "G9",
                "name": "options with price and greeks per CPU second",
                "ours": f"{COUNT / cpu / 1e6:.2f} M/s",
                "peer": f"{name}: {count / seconds / 1e6:.3f} M/s",
                "ratio": COUNT / cpu * seconds / count,
                "compile": compiling,
            }
        )
    return made
