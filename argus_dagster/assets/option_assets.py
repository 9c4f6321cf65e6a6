"""Assets of the option product, with their plots and checks: `forwards` -> `implied_vols` -> `iv_surface` -> ..."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from argus_dagster.assets.option_tables import (
    FORWARDS,
    HESTON_PARAMS,
    IMPLIED_VOLS,
    IV_ANOMALIES,
    IV_FEATURES,
    IV_SURFACE,
    POP,
    by_snapshot,
    option_settings,
    read_options,
)
from argus_dagster.materialisation import stage_asset
from argus_dagster.metadata import bands, counts, plot, preview
from argus_dagster.partitions import Partitions, days_by_symbol
from argus_dagster.stage import Stage
from argus_dagster.workspace import Workspace


def _describe_forwards(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    last = frame.filter((pl.col("recv_ts") == frame["recv_ts"].max()) & pl.col("forward").is_not_null())
    if last.height < 2:
        return {"reasons": counts(_reasons(frame))}
    return {
        "term_structure": preview(last, ("expiry", "t_cal", "forward", "forward_se", "implied_yield", "n_pairs"), 40),
        "implied_yield": plot(last["implied_yield"].to_list(), label="implied yield by expiry"),
        "reasons": counts(_reasons(frame)),
    }


def _reasons(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.select(pl.col("reason").fill_null("used")).group_by("reason").len().rows())


def _describe_vols(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    found: dict[str, Any] = {"reasons": counts(_reasons(frame)), "snapshots": frame["recv_ts"].n_unique()}
    gap = frame.filter(pl.col("used")).select(pl.col("iv_mid") - pl.col("provider_iv")).to_series().drop_nulls()
    if len(gap):
        found["median_gap_to_provider_iv"] = float(np.median(gap.to_numpy()))
    smile = _smile(frame)
    if smile.height > 2:
        sides = [smile[name].to_list() for name in ("iv_bid", "iv_mid", "iv_ask")]
        found["smile"] = bands(sides, label=f"smile of {smile['expiry'][0]}: bid, mid, ask by strike")
    return found


def _smile(frame: pl.DataFrame) -> pl.DataFrame:
    """The used quotes of the last snapshot's expiry nearest to 30 days, by strike, with all three volatilities."""
    used = frame.filter(pl.col("used") & pl.all_horizontal(pl.col("iv_bid", "iv_mid", "iv_ask").is_not_null()))
    last = used.filter(pl.col("recv_ts") == used["recv_ts"].max())
    gap = (pl.col("t_cal") - 30 / 365).abs()
    return last.filter(gap == gap.min()).sort("strike")


def _describe_surface(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    if frame.is_empty():
        return {}
    last = frame.filter(pl.col("recv_ts") == frame["recv_ts"].max()).sort("t_cal")
    shown = ("expiry", "atm_iv", "skew", "theta", "psi", "rho", "n_quotes", "rmse_iv", "rmse_half_spreads")
    return {
        "slices": preview(last, (*shown, "inside_share"), 40),
        "atm_iv_by_expiry": plot(last["atm_iv"].to_list(), label="at-the-money volatility by expiry"),
        "fit_by_expiry": plot(last["rmse_half_spreads"].to_list(), kind="bar", label="rmse in half-spreads by expiry"),
    }


def _describe_anomalies(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    if frame.is_empty():
        return {"flags": 0}
    last = frame.filter(pl.col("recv_ts") == frame["recv_ts"].max())
    shown = ("severity", "kind", "expiry", "contracts", "edge", "persistence", "explanation")
    return {
        "kinds": counts(dict(frame.group_by("kind").len().rows())),
        "severities": counts(dict(frame.group_by("severity").len().rows())),
        "last_snapshot": preview(last, shown, 30),
    }


def _describe_features(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    if frame.is_empty():
        return {}
    last = frame.row(-1, named=True)
    names = ("iv_30", "iv_60", "iv_rr25_30", "iv_bf25_30", "iv_term_slope", "expected_vol_30", "vol_premium_30")
    found: dict[str, Any] = {name: last[name] for name in names if last[name] is not None}
    return found | {"implied_by": str(last["implied_by"]), "reasons": counts(_reasons(frame))}


def _describe_heston(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    if frame.is_empty():
        return {}
    last = frame.row(-1, named=True)
    names = ("v0", "kappa", "theta", "sigma", "rho", "feller", "rmse_iv", "rmse_half_spreads", "condition")
    return {name: last[name] for name in names if last[name] is not None} | {"converged": bool(last["converged"])}


POP_SHOWN = (
    "structure",
    "side",
    "expiry",
    "candidate",
    "price",
    "max_loss",
    "pop_terminal",
    "pop_surface",
    "pop_managed",
    "pop_managed_se",
    "p50",
    "expected_pnl",
    "expected_pnl_surface",
)


def _describe_pop(workspace: Workspace, symbol: str, day: date, frame: pl.DataFrame) -> Mapping[str, Any]:
    if frame.is_empty():
        return {}
    gaps = frame["model_gap"].drop_nulls().to_list()
    found: dict[str, Any] = {
        "page": preview(frame.sort("score", descending=True), POP_SHOWN, 40),
        "monitoring": frame["monitoring"][0],
        "measure": frame["measure"][0],
    }
    return found | ({"model_gap": plot(gaps, kind="histogram", label="Heston less surface PoP")} if gaps else {})


def _surface_check() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="no_static_arbitrage",
        asset="iv_surface",
        description="No butterfly, calendar or wing arbitrage on a grid of log-moneyness, in any snapshot of the run.",
    )
    def no_static_arbitrage(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        from argus_core.options.surface import grid_arbitrage

        settings = option_settings(workspace).surface
        points, broken, least = 0, 0, float("inf")
        for symbol, days in days_by_symbol(context.op_execution_context.partition_keys).items():
            for day in days:
                for snapshot in by_snapshot(read_options(workspace, "iv_surface", symbol, [day])):
                    found = grid_arbitrage(snapshot, points=settings.grid_points, deviations=settings.grid_deviations)
                    points, broken, least = points + found.points, broken + found.total, min(least, found.min_g)
        return dg.AssetCheckResult(
            passed=broken == 0,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"points": points, "violations": broken} | ({"least_g": least} if points else {}),
            description=f"{broken} violations on {points:,} points",
        )

    return no_static_arbitrage


def _parity_check() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="parity",
        asset="forwards",
        description="Most unexpired expiries have a forward, known within 0.2 % of itself (standard error).",
    )
    def parity(context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        rows = known = 0
        worst = 0.0
        for symbol, days in days_by_symbol(context.op_execution_context.partition_keys).items():
            frame = read_options(workspace, "forwards", symbol, days)
            if frame.is_empty():
                continue
            alive = frame.filter(pl.col("t_cal") > 0)
            rows += alive.height
            known += alive.height - alive["forward"].null_count()
            error = alive.select((pl.col("forward_se") / pl.col("forward")).median()).item()
            worst = max(worst, float(error or 0.0))
        share = known / rows if rows else 1.0
        return dg.AssetCheckResult(
            passed=share >= 0.5 and worst <= 0.002,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"expiries": rows, "with_forward": int(known), "median_relative_error": worst},
            description=f"{known} of {rows} expiries have a forward; median error {1e4 * worst:.2f} basis points",
        )

    return parity


def _calibration_check() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="calibration_error",
        asset="heston_params",
        description="Every fit converged, and misses the market by at most 3 volatility points (root mean square).",
    )
    def calibration_error(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        fits = failed = 0
        worst = 0.0
        for symbol, days in days_by_symbol(context.op_execution_context.partition_keys).items():
            frame = read_options(workspace, "heston_params", symbol, days)
            if frame.is_empty():
                continue
            fits += frame.height
            failed += frame.height - int(frame["converged"].sum())
            worst = max(worst, float(frame["rmse_iv"].fill_null(0.0).to_numpy().max()))
        return dg.AssetCheckResult(
            passed=failed == 0 and worst <= 0.03,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"fits": fits, "not_converged": failed, "worst_rmse_iv": worst},
            description=f"{failed} of {fits} fits did not converge; worst error {100 * worst:.2f} volatility points",
        )

    return calibration_error


def build(partitions: Partitions) -> list[Any]:
    """The assets from the chain to Heston parameters, and their checks."""

    def table(stage: Stage, deps: Sequence[str], kind: str, description: str, describe: Any) -> Any:
        return stage_asset(
            stage,
            partitions.market,
            group="options",
            deps=list(deps),
            kind=kind,
            description=description,
            describe=describe,
        )

    return [
        table(
            FORWARDS,
            ["option_snapshots"],
            "polars",
            "Forward, discount and implied yield per expiry from put-call parity, American premium removed.",
            _describe_forwards,
        ),
        _parity_check(),
        table(
            IMPLIED_VOLS,
            ["option_snapshots", "forwards"],
            "jax",
            "Volatilities of bid, mid and ask, greeks, and for every quote that is not used the reason.",
            _describe_vols,
        ),
        table(
            IV_SURFACE,
            ["implied_vols"],
            "scipy",
            "eSSVI slices per snapshot, free of static arbitrage, with the quality of their fit.",
            _describe_surface,
        ),
        _surface_check(),
        table(
            IV_FEATURES,
            ["implied_vols", "iv_surface", "bars"],
            "polars",
            "Constant-maturity volatility, skew, butterfly, term slope and variance premium per snapshot, for packs.",
            _describe_features,
        ),
        table(
            IV_ANOMALIES,
            ["implied_vols", "forwards", "iv_surface"],
            "polars",
            "Quotes and expiries that do not fit: what, how sure, worth how much, and which quotes to look at.",
            _describe_anomalies,
        ),
        table(
            HESTON_PARAMS,
            ["implied_vols"],
            "jax",
            "Heston parameters per snapshot with standard errors, drawn towards the session before.",
            _describe_heston,
        ),
        _calibration_check(),
        table(
            POP,
            ["heston_params", "implied_vols", "forwards", "iv_surface"],
            "jax",
            "Candidate positions of the last snapshot: probability of profit by model, by market density, managed.",
            _describe_pop,
        ),
    ]
