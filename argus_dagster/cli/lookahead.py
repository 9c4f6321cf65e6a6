"""`argus lookahead`: the lookahead proof of one strategy, on a pack of the loop or on a simulated one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argus_dagster.cli.output import (
    EXIT_FAILED,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    SymbolOption,
    fail,
    open_at,
    open_workspace,
    print_document,
    print_table,
)
from argus_dagster.cli.parameters import ParamOption, chosen_strategy

if TYPE_CHECKING:
    from argus_core.experiments.replays import Market
    from argus_core.packs import Pack
    from argus_core.strategies.interface import Strategy
    from argus_dagster.workspace import Workspace

#: In place of a strategy: every one that cheats on purpose. Exit code 1 if one of them is not caught.
CHEATERS = "cheaters"
#: Last session of a simulated pack: any would do; a fixed one gives the same verdict every day.
SIMULATED_END = date(2025, 1, 31)


def lookahead(
    strategy: Annotated[
        str,
        typer.Argument(
            help="shipped name, `module:Class`, `path/to/file.py:Class`; `cheaters`: all that cheat on purpose"
        ),
    ],
    symbol: SymbolOption = None,
    param: ParamOption = None,
    day: Annotated[str | None, typer.Option("--date", help="last session of the pack [the cycle's date]")] = None,
    pack: Annotated[Path | None, typer.Option("--pack", help="folder of a sealed pack")] = None,
    simulate: Annotated[
        int | None, typer.Option("--simulate", min=1, help="sessions of the simulated market; needs no data")
    ] = None,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="points behind which the future is changed")] = 6,
    seed: Annotated[int, typer.Option("--seed", help="places the cuts and draws the changes")] = 42,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that a strategy does not look ahead. Exit code 1: it does, and the first row that moved is printed."""
    from tempfile import TemporaryDirectory

    from argus_core.experiments.replays import market_of

    if sum(source is not None for source in (day, pack, simulate)) > 1:
        fail("give one of --date, --pack and --simulate", EXIT_USAGE)
    workspace = open_workspace(config)
    chosen = None if strategy == CHEATERS else chosen_strategy(strategy, param, root=workspace.project.root)
    with TemporaryDirectory() as folder:
        sealed = _pack(workspace, symbol or workspace.symbols[0], config, day, pack, simulate, folder)
        market = market_of(sealed, workspace.project, workspace.calendar)
        if chosen is None:
            rows = _cheaters(sealed, market, cuts, seed)
        else:
            rows = [_verdict(*chosen, sealed, market, cuts, seed)]
    if as_json:
        print_document(rows if chosen is None else rows[0])
    elif chosen is None:
        _print_all(rows, sealed)
    else:
        _print(rows[0])
    convicted = sum(not row["ok"] for row in rows)
    expected = len(rows) if chosen is None else 0
    raise typer.Exit(0 if convicted == expected else EXIT_FAILED)


def _verdict(
    strategy: type[Strategy], params: Any, sealed: Pack, market: Market, cuts: int, seed: int
) -> dict[str, Any]:
    from argus_core.experiments.proof import prove

    try:
        proof = prove(strategy, params, market, cuts, seed)
    except Exception as error:  # a strategy that breaks on other data has not been proved
        fail(f"{strategy.strategy_id}: not proved: {type(error).__name__} on other data: {error}", EXIT_FAILED)
    return {
        "strategy": strategy.strategy_id,
        "params": params.model_dump(mode="json"),
        "symbol": sealed.symbol,
        "pack": f"{sealed.manifest.start} to {sealed.manifest.end}, {market.frame.height} rows",
        "pack_hash": sealed.pack_hash,
        "ok": proof.ok,
        "test": proof.test,
        "row": proof.row,
        "moment": proof.moment,
        "columns": list(proof.columns),
        "runs": proof.runs,
        "detail": proof.detail,
    }


def _cheaters(sealed: Pack, market: Market, cuts: int, seed: int) -> list[dict[str, Any]]:
    from argus_core.strategies import cheaters

    rows = []
    for name in cheaters.__all__:
        cheater = getattr(cheaters, name)
        values = {"folder": str(sealed.folder)} if "folder" in cheater.Params.model_fields else {}
        rows.append(_verdict(cheater, cheater.Params(**values), sealed, market, cuts, seed))
    return rows


def _pack(
    workspace: Workspace,
    symbol: str,
    config: str | None,
    day: str | None,
    pack: Path | None,
    simulate: int | None,
    folder: str,
) -> Pack:
    from argus_core.market.sources import SimulatedSource
    from argus_core.packs import open_pack
    from argus_core.packs.rehearsal import rehearsal_pack
    from argus_dagster.assets.replay_pack import seal

    if pack is not None:
        return open_pack(pack)
    if simulate is None:
        return seal(workspace, symbol, open_at(config, day)[1])
    project, calendar = workspace.project, workspace.calendar
    sessions = calendar.last_sessions(SIMULATED_END, simulate)
    return rehearsal_pack(project, calendar, SimulatedSource(project, calendar), symbol, sessions, folder)


def _print(document: dict[str, Any]) -> None:
    import polars as pl

    shown = {key: value for key, value in document.items() if key not in ("ok", "detail") and value not in (None, [])}
    shown |= {key: ", ".join(value) for key, value in shown.items() if isinstance(value, list)}
    rows = [(key, str(value)) for key, value in shown.items()]
    print_table(pl.DataFrame(rows, schema=["proof", "value"], orient="row"), None)
    print(f"{'no lookahead found' if document['ok'] else 'LOOKAHEAD'}: {document['detail']}")


def _print_all(rows: list[dict[str, Any]], sealed: Pack) -> None:
    import polars as pl

    shown = [
        {
            "strategy": row["strategy"],
            "verdict": "NOT CAUGHT" if row["ok"] else "caught",
            "test": row["test"],
            "row": row["row"],
            "moment": None if row["moment"] is None else f"{row['moment']:%Y-%m-%d %H:%M}",
            "columns": ", ".join(row["columns"]),
            "detail": row["detail"],
        }
        for row in rows
    ]
    caught = sum(not row["ok"] for row in rows)
    print_table(pl.DataFrame(shown), f"{caught} of {len(rows)} cheaters caught on {rows[0]['pack']} of {sealed.symbol}")
