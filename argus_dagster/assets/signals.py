"""`signals`: what every configured strategy decides with its base parameters, ranked and routed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from argus_core.market.lake import hash_of
from argus_dagster.assets.experiments import experiment_keys, experiments_hash
from argus_dagster.assets.replay_pack import seal
from argus_dagster.materialisation import data_version, own_keys
from argus_dagster.metadata import counts, plot, preview
from argus_dagster.partitions import Partitions, date_symbol_key, days_by_symbol, split_key
from argus_dagster.workspace import Workspace

TABLE = "signals"

#: Columns that people read first, newest signals on top.
SHOWN = ("available_at", "rank", "symbol", "strategy", "kind", "direction", "confidence", "routes", "explanation")


@dataclass(frozen=True)
class PartitionSignals:
    """The stored signals of one symbol and date; ``failed``: strategies that raised -> what, where just computed."""

    signals: pl.DataFrame
    reused: bool
    failed: Mapping[str, str]


def signals_hash(workspace: Workspace, symbol: str, day: date) -> str:
    """Hash of everything that a partition's signals rest on: what its experiments rest on, and the signal settings."""
    from argus_core.signals import signals_code_hash

    settings = workspace.project.loop.signals.config_hash
    return hash_of([experiments_hash(workspace, symbol, day), settings, signals_code_hash()])


def run_partition(workspace: Workspace, symbol: str, day: date) -> PartitionSignals:
    """Compute (or reuse) the signals of one symbol on the pack that ends at ``day`` and store them."""
    from argus_core.signals import pack_signals

    keys, inputs = experiment_keys(symbol, day), signals_hash(workspace, symbol, day)
    stamp = workspace.results.stamp(TABLE, **keys)
    if stamp is not None and stamp.inputs_hash == inputs:
        return PartitionSignals(workspace.results.read(TABLE, **keys), True, {})
    found = pack_signals(seal(workspace, symbol, day), workspace.project, calendar=workspace.calendar)
    workspace.results.write(
        TABLE,
        found.signals,
        keys=keys,
        config_hash=workspace.project.loop.signals.config_hash,
        producer=TABLE,
        # A strategy that raised is tried again: its partition is not up to date.
        inputs_hash="" if found.failed else inputs,
    )
    return PartitionSignals(found.signals, False, found.failed)


def export(signals: pl.DataFrame, path: Path) -> None:
    """Write signals for other tools; the suffix says how: .parquet, .csv or .json.

    Raises:
        ValueError: if the suffix is another one.
    """
    import io

    from argus_core.market.lake import write_atomically

    stamps = [name for name, dtype in signals.schema.items() if isinstance(dtype, pl.Datetime)]
    text = signals.with_columns(pl.col(stamps).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        signals.write_parquet(buffer)
        content = buffer.getvalue()
    elif path.suffix == ".csv":
        content = text.write_csv().encode()
    elif path.suffix == ".json":
        content = text.write_json().encode()
    else:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}; use .parquet, .csv or .json")
    write_atomically(path, content)


def faults(workspace: Workspace, signals: pl.DataFrame, day: date) -> dict[str, int]:
    """What is wrong with stored signals: rule -> number of rows that break it."""
    window = workspace.window(day)
    broken = {
        "id_twice": pl.col("signal_id").is_duplicated(),
        "before_bar_end": pl.col("available_at") < pl.col("bar_end"),
        "warm_up": ~pl.col("trade_date").is_between(window[0], window[-1]),
        "confidence": ~pl.col("confidence").is_between(0.0, 1.0),
    }
    if signals.is_empty():
        return dict.fromkeys(broken, 0)
    return signals.select(rule.fill_null(True).sum().alias(name) for name, rule in broken.items()).row(0, named=True)


def _metadata(workspace: Workspace, day: date, partition: PartitionSignals) -> dict[str, Any]:
    signals = partition.signals
    found: dict[str, Any] = {
        "dagster/row_count": signals.height,
        "reused": partition.reused,
        "entries": signals.filter(pl.col("kind") == "entry").height,
        "by_strategy": counts(dict(signals.group_by("strategy").len().rows())),
        "by_route": counts(_by_route(signals)),
        "failed": dg.MetadataValue.json(dict(partition.failed)),
    }
    days = pl.DataFrame({"trade_date": workspace.window(day)})
    per_day = days.join(signals.group_by("trade_date").len(), on="trade_date", how="left", maintain_order="left")
    if per_day.height > 1:
        found["signals_per_session"] = plot(per_day["len"].fill_null(0).cast(pl.Float64).to_list())
    if signals.height:
        newest = signals.sort("available_at", "rank", descending=[True, False])
        found["newest"] = preview(newest, SHOWN, rows=15)
    return found


def _by_route(signals: pl.DataFrame) -> dict[str, int]:
    names = signals.filter(pl.col("routes") != "")["routes"].to_list()
    taken = [name for joined in names for name in joined.split(",")]
    return {name: taken.count(name) for name in sorted(set(taken))}


def build(partitions: Partitions) -> list[Any]:
    @dg.asset(
        name=TABLE,
        group_name="research",
        partitions_def=partitions.research,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=["replay_pack"],
        kinds={"polars"},
        code_version="1",
        description="Entries and exits of every strategy with its base parameters, explained, ranked and routed.",
    )
    def signals(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        hashes, keys = [], own_keys(context)
        for symbol, days in days_by_symbol(context.partition_keys).items():
            for day in days:
                partition = run_partition(workspace, symbol, day)
                workspace.tell(TABLE, symbol, day)
                stamp = workspace.results.stamp(TABLE, **experiment_keys(symbol, day))
                hashes.append(stamp.data_hash if stamp else "-")
                context.add_asset_metadata(
                    _metadata(workspace, day, partition), partition_key=keys[date_symbol_key(day, symbol)]
                )
                context.log.info(f"signals {symbol} {day}: {partition.signals.height}, reused {partition.reused}")
        return dg.MaterializeResult(data_version=data_version(hashes))

    @dg.asset_check(
        name="sound_signals",
        asset=TABLE,
        description="Ids are unique, no signal stands before its bar's end or in the warm-up, confidence is 0..1.",
    )
    def sound_signals(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        broken = _broken(workspace, context.op_execution_context.partition_keys)
        return dg.AssetCheckResult(
            passed=not any(broken.values()),
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"broken_rules": dg.MetadataValue.json(broken)},
            description=", ".join(f"{name}: {count}" for name, count in broken.items() if count) or "all rules hold",
        )

    return [signals, sound_signals]


def _broken(workspace: Workspace, keys: Sequence[str]) -> dict[str, int]:
    total: dict[str, int] = {}
    for day, symbol in map(split_key, keys):
        found = faults(workspace, workspace.results.read(TABLE, **experiment_keys(symbol, day)), day)
        total = {name: total.get(name, 0) + count for name, count in found.items()}
    return total
