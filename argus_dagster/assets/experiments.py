"""`experiments`: every configured strategy and sweep on one pack. Sweeps are lanes inside the asset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from argus_core.market.lake import hash_of
from argus_dagster.assets.option_snapshots import snapshot_keys
from argus_dagster.assets.replay_pack import seal
from argus_dagster.materialisation import data_version, own_keys
from argus_dagster.metadata import counts, fan, plot, preview
from argus_dagster.partitions import Partitions, date_symbol_key, days_by_symbol, split_key
from argus_dagster.stage import across_symbols, by_symbol, stamps_hash
from argus_dagster.workspace import Workspace

if TYPE_CHECKING:
    from argus_core.experiments import ExperimentSet

TABLES = ("experiments", "experiment_trades", "experiment_returns", "trial_ledger", "retired_returns")

#: What a pack is sealed from: tables by symbol, and tables across symbols.
SERIES, ACROSS = ("bars", "outcomes", "regimes", "model_regimes"), ("risk_flow", "market_risk")

SHOWN = ("strategy", "sharpe", "total_return", "max_drawdown", "n_trades", "fill_rate", "status", "params")


@dataclass(frozen=True)
class PartitionRuns:
    """The stored experiments of one symbol and date."""

    runs: pl.DataFrame
    reused: bool
    #: strategies left out -> why the symbol does not fit their family
    skipped: Mapping[str, str]

    @property
    def pack_hash(self) -> str:
        return self.runs["pack_hash"][0] if self.runs.height else ""


def experiment_keys(symbol: str, day: date) -> dict[str, str | date]:
    return {"symbol": symbol, "date": day}


def experiments_hash(workspace: Workspace, symbol: str, day: date) -> str:
    """Hash of everything that a partition's experiments rest on: what its pack is sealed from, settings, code.

    It reads the footers of the lake, not the pack, so it sees corrected labels before a pack is sealed from them.
    """
    from argus_core.experiments import experiment_inputs_hash
    from argus_core.packs import STANDING_SESSIONS, pack_config_hash

    project = workspace.project
    window = workspace.window(day)
    back = project.loop.pack.warmup_days + STANDING_SESSIONS
    days = [*workspace.calendar.last_sessions(window[0], back + 1)[:-1], *window]
    series = [stamps_hash(workspace, table, [by_symbol(workspace, symbol, d) for d in days]) for table in SERIES]
    series += [
        stamps_hash(workspace, "bars", [by_symbol(workspace, name, d) for d in days])
        for name in project.references(symbol)
    ]
    chains = [
        stamps_hash(workspace, table, [snapshot_keys(workspace, symbol, d) for d in days])
        for table in ("option_snapshots", "iv_features")
    ]
    market = [
        stamps_hash(workspace, table, [across_symbols(table)(workspace, "", d) for d in days]) for table in ACROSS
    ]
    return hash_of(
        [*series, *chains, *market, pack_config_hash(project, symbol), experiment_inputs_hash(project), str(window)]
    )


def experiments_current(workspace: Workspace, symbol: str, day: date) -> bool:
    """Whether the stored experiments of a partition rest on labels, settings and code as they are now."""
    inputs = experiments_hash(workspace, symbol, day)
    stamps = [workspace.results.stamp(table, **experiment_keys(symbol, day)) for table in TABLES]
    return all(stamp is not None and stamp.inputs_hash == inputs for stamp in stamps)


def with_earlier_trials(
    workspace: Workspace, keys: dict[str, str | date], found: "ExperimentSet"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(ledger, retired returns): what was ever tried on the partition, not only what this run tried.

    The ledger counts the trials, the returns bring them into the joint test as long as their pack is the present one:
    other data would not be the same days.
    """
    from argus_core.experiments.ledger import RETIRED_SCHEMA, retired_returns, with_earlier_trials

    lake, retired = workspace.results, pl.DataFrame(schema=dict(RETIRED_SCHEMA))
    if not all(lake.exists(table, **keys) for table in TABLES):
        return found.ledger, retired
    ledger = with_earlier_trials(found.ledger, lake.read("trial_ledger", **keys))
    runs = lake.read("experiments", **keys)
    if set(runs["pack_hash"]) == set(found.runs["pack_hash"]):
        retired = retired_returns(
            runs, lake.read("experiment_returns", **keys), lake.read("retired_returns", **keys), found.runs
        )
    return ledger, retired


def run_partition(workspace: Workspace, symbol: str, day: date) -> PartitionRuns:
    """Run (or reuse) all experiments of one symbol on the pack that ends at ``day`` and store them."""
    # JAX is imported here, not when the code location loads.
    from argus_core.experiments import left_out, run_experiments, write_manifests
    from argus_core.experiments.journal import ReplayJournal

    project = workspace.project
    keys = experiment_keys(symbol, day)
    if experiments_current(workspace, symbol, day):
        return PartitionRuns(workspace.results.read("experiments", **keys), True, left_out(project, symbol))
    inputs = experiments_hash(workspace, symbol, day)
    pack = seal(workspace, symbol, day)
    output = project.resolve(project.loop.experiment.output_dir)
    journal = ReplayJournal(output / "journal" / symbol / str(day))
    found = run_experiments(pack, project, calendar=workspace.calendar, journal=journal)
    frames = (found.runs, found.trades, found.returns, *with_earlier_trials(workspace, keys, found))
    write_manifests(output, symbol, day, found.manifests)
    # `experiments` is written last: its footer says that the others are there.
    for table, frame in reversed(list(zip(TABLES, frames, strict=True))):
        workspace.results.write(
            table,
            frame,
            keys=keys,
            config_hash=project.config_hash,
            producer="experiments",
            inputs_hash=inputs,
        )
    journal.clear()
    return PartitionRuns(found.runs, False, found.skipped)


def _metadata(workspace: Workspace, symbol: str, day: date, partition: PartitionRuns) -> dict[str, Any]:
    runs = partition.runs
    ok = runs.filter(pl.col("status") == "ok")
    best = ok.sort("sharpe", descending=True, nulls_last=True).head(20)
    found: dict[str, Any] = {
        "dagster/row_count": runs.height,
        "pack_hash": partition.pack_hash,
        "reused": partition.reused,
        "convention": workspace.project.platform.execution.convention,
        "left_out": dg.MetadataValue.json(dict(partition.skipped)),
        "runs_by_status": counts(dict(runs.group_by("status").len().rows())),
        "trades": int(runs["n_trades"].fill_null(0).sum()),
    }
    if best.height:
        returns = workspace.results.read("experiment_returns", **experiment_keys(symbol, day))
        chosen = returns.filter(pl.col("run_id") == best["run_id"][0]).sort("trade_date")["daily_return"]
        equity = (1 + chosen.fill_null(0.0)).cum_prod()
        if equity.len() > 1:
            found["equity_of_top_run"] = plot(equity.to_list())
            trades = workspace.results.read("experiment_trades", **experiment_keys(symbol, day))
            mine = trades.filter(pl.col("run_id") == best["run_id"][0]).sort("exit_ts", "trade_id")["trade_return"]
            if mine.len() > 1:
                found["equity_fan_of_top_run"] = fan(mine.to_list(), block=best["mc_block_length"][0] or 1.0)
            found["drawdown_of_top_run"] = plot((equity / equity.cum_max() - 1).to_list())
        sharpe = ok["sharpe"].drop_nulls()
        if sharpe.len() > 1:
            found["sharpe_distribution"] = plot(sharpe.to_list(), kind="histogram")
    found["top_runs"] = preview(best, SHOWN, rows=20)
    return found


def build(partitions: Partitions) -> list[Any]:
    @dg.asset(
        name="experiments",
        group_name="research",
        partitions_def=partitions.research,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=["replay_pack"],
        kinds={"jax"},
        pool="kernels",
        code_version="1",
        description="All strategies and sweeps of the config on one pack, with robustness blocks and the trial ledger.",
    )
    def experiments(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        hashes, keys = [], own_keys(context)
        for symbol, days in days_by_symbol(context.partition_keys).items():
            for day in days:
                partition = run_partition(workspace, symbol, day)
                workspace.tell("experiments", symbol, day)
                stamp = workspace.results.stamp("experiments", **experiment_keys(symbol, day))
                hashes.append(stamp.data_hash if stamp else "-")
                context.add_asset_metadata(
                    _metadata(workspace, symbol, day, partition), partition_key=keys[date_symbol_key(day, symbol)]
                )
                context.log.info(f"experiments {symbol} {day}: {partition.runs.height} runs, reused {partition.reused}")
        return dg.MaterializeResult(data_version=data_version(hashes))

    @dg.asset_check(
        name="no_lookahead",
        asset="experiments",
        description="Intents recomputed on truncated data and on a perturbed future; offenders are killed by name.",
    )
    def no_lookahead(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        runs = _stored(workspace, context.op_execution_context.partition_keys)
        proved = runs.filter(pl.col("lookahead_ok").is_not_null())
        offenders = proved.filter(~pl.col("lookahead_ok"))
        return dg.AssetCheckResult(
            passed=offenders.is_empty(),
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={
                "runs_proved": proved.height,
                "offending_strategies": dg.MetadataValue.json(sorted(set(offenders["strategy"].to_list()))),
            },
            description=f"{offenders.height} of {proved.height} runs use the future",
        )

    @dg.asset_check(
        name="accounting",
        asset="experiments",
        description="Final equity equals starting cash plus the PnL of all trades, run by run.",
    )
    def accounting(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        worst, judged = accounting_error(workspace, context.op_execution_context.partition_keys)
        return dg.AssetCheckResult(
            passed=worst < 0.01,
            metadata={"largest_error_dollars": worst, "runs": judged},
            description=f"largest difference {worst:.2e} dollars over {judged} runs",
        )

    return [experiments, no_lookahead, accounting]


def _stored(workspace: Workspace, keys: Sequence[str]) -> pl.DataFrame:
    return workspace.results.read_many(
        "experiments", [experiment_keys(symbol, day) for day, symbol in map(split_key, keys)]
    )


def accounting_error(workspace: Workspace, keys: Sequence[str]) -> tuple[float, int]:
    """Largest |final equity - starting cash - sum of trade PnL| in dollars over the stored runs, and their number."""
    worst, judged = 0.0, 0
    for day, symbol in map(split_key, keys):
        one = experiment_keys(symbol, day)
        runs = workspace.results.read("experiments", **one).filter(pl.col("status") == "ok")
        trades = workspace.results.read("experiment_trades", **one)
        pnl = trades.group_by("run_id").agg(pl.col("pnl").sum())
        joined = runs.join(pnl, on="run_id", how="left").with_columns(pl.col("pnl").fill_null(0.0))
        errors = (joined["final_equity"] - joined["starting_cash"] - joined["pnl"]).abs()
        # A number that is missing is not conserved.
        worst = max(worst, float(errors.fill_nan(None).fill_null(float("inf")).to_numpy().max(initial=0.0)))
        judged += joined.height
    return worst, judged
