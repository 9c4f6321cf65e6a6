"""`replay_pack`: the sealed, content-addressed input of every experiment on one symbol and window."""

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from argus_core.packs import Pack, PackError, seal_pack
from argus_dagster.materialisation import data_version, own_keys
from argus_dagster.metadata import counts, plot
from argus_dagster.partitions import Partitions, date_symbol_key, days_by_symbol
from argus_dagster.workspace import Workspace

#: Tables beside the bars that a pack takes from its symbol's sessions.
_LABELS = ("outcomes", "regimes", "model_regimes", "option_snapshots", "iv_features")


def seal(workspace: Workspace, symbol: str, day: date) -> Pack:
    """Seal the pack whose window ends at ``day``.

    Raises:
        PackError: if the window holds no session with published bars and labels.
    """
    window = workspace.window(day)
    if not window:
        raise PackError(f"{symbol} {day}: the window is empty. Is {day} a session after calendar.start_date?")
    project = workspace.project
    return seal_pack(
        workspace.lake,
        project,
        workspace.calendar,
        symbol,
        window[0],
        window[-1],
        output_dir=project.resolve(project.loop.pack.packs_output_dir),
    )


def window_mapping(workspace: Workspace, *, references: bool = False) -> dg.MultiPartitionMapping:
    """The sessions before a partition that its pack holds: of its symbol and, where asked, of its references."""
    pack = workspace.project.loop.pack
    if pack.last_n_days is not None:
        back = pack.last_n_days - 1
    else:
        assert pack.start_date is not None
        assert pack.end_date is not None
        back = max(len(workspace.sessions(pack.start_date, pack.end_date)) - 1, 0)
    symbols: dg.PartitionMapping = dg.IdentityPartitionMapping()
    if references:
        project = workspace.project
        symbols = dg.StaticPartitionMapping(
            {
                name: [s for s in workspace.symbols if name == s or name in project.references(s)]
                for name in workspace.bar_symbols
            }
        )
    return dg.MultiPartitionMapping(
        {
            "date": dg.DimensionPartitionMapping("date", dg.TimeWindowPartitionMapping(start_offset=-back)),
            "symbol": dg.DimensionPartitionMapping("symbol", symbols),
        }
    )


def build(partitions: Partitions, workspace: Workspace) -> list[Any]:
    window = window_mapping(workspace)
    same_date = dg.MultiToSingleDimensionPartitionMapping("date")

    @dg.asset(
        name="replay_pack",
        group_name="packs",
        partitions_def=partitions.research,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[
            dg.AssetDep("bars", partition_mapping=window_mapping(workspace, references=True)),
            *(dg.AssetDep(name, partition_mapping=window) for name in _LABELS),
            *(dg.AssetDep(name, partition_mapping=same_date) for name in ("risk_flow", "market_risk")),
        ],
        kinds={"parquet"},
        code_version="1",
        description="Bars, labels, chains, market state and reference bars of one window, sealed under one hash.",
    )
    def replay_pack(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        hashes, keys = [], own_keys(context)
        for symbol, days in days_by_symbol(context.partition_keys).items():
            for day in days:
                pack = seal(workspace, symbol, day)
                manifest = pack.manifest
                hashes.append(pack.pack_hash)
                context.add_asset_metadata(
                    {
                        "pack_hash": pack.pack_hash,
                        "folder": dg.MetadataValue.path(str(Path(pack.folder))),
                        "window": f"{manifest.sessions[0]} to {manifest.sessions[-1]}",
                        "sessions": len(manifest.sessions),
                        "missing_sessions": len(manifest.missing_sessions),
                        "references": dg.MetadataValue.json(
                            {name: entry.model_dump(mode="json") for name, entry in manifest.references.items()}
                        ),
                        "rows": counts({name: entry.rows for name, entry in manifest.tables.items()}),
                        "close": plot(pack.table("bars")["close"].to_list()),
                    },
                    partition_key=keys[date_symbol_key(day, symbol)],
                )
        return dg.MaterializeResult(data_version=data_version(hashes))

    return [replay_pack]
