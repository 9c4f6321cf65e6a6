"""G10 and G11: the eSSVI surface beside raw SVI slices fitted with SciPy, and the planted-fault suite.

Rerun: `python -m benchmarks.option_sides.surface` in the project's folder (needs the extra `test`). CPU seconds of this
process, best of several runs, warm. The peer is what a user would write: `scipy.optimize.least_squares` over the five
raw SVI parameters of every expiry; it fits better and promises nothing, so its arbitrage is counted beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

DAYS = tuple(np.unique(np.round(np.geomspace(7, 730, 20)).astype(int)).tolist())
STRIKES, GRID = 25, 1000


def rows(*, chains: int = 8, bumped: int = 200) -> list[dict[str, Any]]:
    """One row per goal: name, ours, peer, ratio, goal, reached.

    Args:
        chains: chains of the planted-fault suite; the slow test of the project runs hundreds.
        bumped: chains with four bumps each, those of the slow test: near the goal, 32 bumps tell nothing.
    """
    from argus_core.options.surface import fit_surface, grid_arbitrage
    from argus_core.settings.option_surface import SurfaceSettings
    from tests.options.anomalies.planted import arbitrage_score, bump_score, clean_score

    vols = _chain()
    fit = fit_surface(vols)
    ours, bare = (_cpu(lambda s=s: fit_surface(vols, s)) for s in (SurfaceSettings(), _bare()))
    peer = _cpu(lambda: scipy_svi(vols), repeats=2)
    miss = (fit.quotes["iv_fit"] - fit.quotes["iv_mid"]).to_numpy()
    error = float(np.sqrt((miss**2).mean()) / fit.quotes["half_spread"].median())
    slices = scipy_svi(vols)
    noisy = _chain(noise=0.6)
    left = grid_arbitrage(fit_surface(noisy).slices, points=GRID).total
    clean, traded = clean_score(range(chains)), arbitrage_score(range(chains))
    bumps = bump_score(range(100, 100 + bumped))
    bump_name = f"G11 recall of {bumps.planted} bumps of 3 half-spreads"
    return [
        _row("G10 fit 20 x 25, with SVI diagnosis, CPU ms", 1e3 * ours, 1e3 * peer, "<= 100", 1e3 * ours <= 100),
        _row("G10 fit 20 x 25, surface alone, CPU ms", 1e3 * bare, 1e3 * peer, "<= 30 (stretch)", 1e3 * bare <= 30),
        _row(
            "G10 arbitrage on a 1,000-point grid, noisy quotes",
            left,
            _svi_arbitrage(scipy_svi(noisy)),
            "0",
            left == 0,
        ),
        _row("G10 RMSE / median half spread", error, _svi_error(vols, slices), "<= 0.5", error <= 0.5),
        _row("G11 false flags per quote", clean.false_flags / clean.quotes, None, "<= 1e-4", clean.false_flags == 0),
        _row(bump_name, bumps.recall, None, ">= 0.95", bumps.recall >= 0.95),
        _row("G11 recall of executable arbitrage", traded.recall, None, ">= 0.999", traded.recall >= 0.999),
    ]


def scipy_svi(vols: pl.DataFrame) -> list[tuple[float, np.ndarray]]:
    """(years, raw parameters) per expiry by bounded least squares in total variance, from one plain start."""
    from scipy.optimize import least_squares

    found = []
    for part in vols.filter("used").sort("t_cal", "strike").partition_by("expiry_ts", maintain_order=True):
        k, iv, t = (part[name].to_numpy() for name in ("log_moneyness", "iv_mid", "t_cal"))
        w = iv**2 * t
        start = [0.5 * w.min(), 0.1, -0.5, 0.0, 0.1]
        bounds = ([-1.0, 0.0, -0.999, -2.0, 1e-4], [1.0, 2.0, 0.999, 2.0, 2.0])
        fit = least_squares(lambda p, k=k, w=w: 1e4 * (_svi(p, k) - w), start, bounds=bounds)
        found.append((float(t[0]), fit.x))
    return found


def _svi(p: np.ndarray, k: np.ndarray) -> np.ndarray:
    return p[0] + p[1] * (p[2] * (k - p[3]) + np.sqrt((k - p[3]) ** 2 + p[4] ** 2))


def _svi_arbitrage(slices: list[tuple[float, np.ndarray]]) -> int:
    """Points of the same kind of grid with a negative density or below the expiry before."""
    from argus_core.options.surface import RawSvi, durrleman, svi

    u = np.linspace(-1.0, 1.0, GRID)
    k = 2.0 * u * np.abs(u)
    variance = [svi(k, RawSvi(*parameters)) for _, parameters in slices]
    butterfly = sum(int(((durrleman(k, v) < -1e-10) | (v.value <= 0)).sum()) for v in variance)
    calendar = sum(int((two.value < one.value).sum()) for one, two in pairwise(variance))
    return butterfly + calendar


def _svi_error(vols: pl.DataFrame, slices: list[tuple[float, np.ndarray]]) -> float:
    used = vols.filter("used").sort("t_cal", "strike")
    squares = []
    for part, (t, p) in zip(used.partition_by("expiry_ts", maintain_order=True), slices, strict=True):
        iv = np.sqrt(np.maximum(_svi(p, part["log_moneyness"].to_numpy()), 0) / t)
        squares.append((iv - part["iv_mid"].to_numpy()) ** 2)
    half = (0.5 * (used["iv_ask"] - used["iv_bid"])).median()
    return float(np.sqrt(np.concatenate(squares).mean()) / half)


def _chain(noise: float = 0.0) -> pl.DataFrame:
    """Heston, Feller number .56, half spread a quarter of a volatility point; noise in half spreads."""
    from tests.options.heston_chains import heston_chain

    deviations = np.linspace(-2.5, 1.8, STRIKES)
    return heston_chain(days=DAYS, deviations=deviations, half_spread_vol=0.0025, noise=noise).implied_vols


def _bare() -> Any:
    from argus_core.settings.option_surface import SurfaceSettings

    return SurfaceSettings(diagnose_svi=False)


def _cpu(function: Callable[[], object], repeats: int = 9) -> float:
    """Best CPU seconds of this process."""
    function()
    best = float("inf")
    for _ in range(repeats):
        before = time.process_time()
        function()
        best = min(best, time.process_time() - before)
    return best


def _row(name: str, ours: float, peer: float | None, goal: str, reached: bool) -> dict[str, Any]:
    ratio = peer / ours if peer is not None and ours else None
    told = None if peer is None else f"{peer:.4g} (SciPy SVI)"
    return {"name": name, "ours": f"{ours:.4g}", "peer": told, "ratio": ratio, "goal": goal, "reached": reached}


def main() -> None:
    for row in rows():
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3g}"
        peer = row["peer"] or "-"
        print(f"{row['name']:<50} {row['ours']:>8} {peer:>18} {ratio:>6}  {row['goal']:<16} {row['reached']}")


if __name__ == "__main__":
    main()
