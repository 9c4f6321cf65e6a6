"""`argus replay`: one strategy with one parameter set on one pack, with its convention, metrics and trades."""

from __future__ import annotations

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
    print_counts,
    print_document,
    print_frame,
    print_table,
)
from argus_dagster.cli.parameters import ParamOption, chosen_strategy

if TYPE_CHECKING:
    import polars as pl

    from argus_core.replay.results import ReplayResult

#: Columns of a trade that fit a terminal.
SHOWN = (
    "symbol", "side", "quantity", "entry_ts", "entry_price", "exit_ts", "exit_price", "exit_reason", "pnl", "costs",
    "flags",
)  # fmt: skip


def replay(
    strategy: Annotated[str, typer.Argument(help="shipped name, `module:Class`, or `path/to/file.py:Class`")],
    symbol: SymbolOption = None,
    param: ParamOption = None,
    day: Annotated[str | None, typer.Option("--date", help="last session of the pack [the cycle's date]")] = None,
    price_basis: Annotated[
        str | None, typer.Option("--price-basis", help="next_open, next_worst, next_close, signal_close")
    ] = None,
    cost_multiplier: Annotated[
        float, typer.Option("--cost-multiplier", min=0, help="scales spread, slippage and commission")
    ] = 1.0,
    trades: Annotated[bool, typer.Option("--trades", help="print every trade")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for trades.parquet and daily.parquet")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay one strategy on the pack of a date; nothing is stored and no trial is counted."""

    from argus_core.experiments.replays import market_of, replay_once
    from argus_core.experiments.runner import ruined
    from argus_core.replay.metrics import compute_metrics
    from argus_core.settings import ExecutionSettings
    from argus_dagster.assets.replay_pack import seal

    workspace, when = open_at(config, day)
    project = workspace.project
    name = symbol or workspace.symbols[0]
    chosen, params = chosen_strategy(strategy, param, root=project.root)
    if misfit := chosen.family.misfit(project.instrument(name), project.loop.pack.references.get(name, ())):
        fail(f"{strategy} on {name}: {misfit}", EXIT_USAGE)
    execution = project.platform.execution
    if price_basis is not None:
        changed = execution.model_dump() | {"price_basis": price_basis}
        execution = ExecutionSettings.parse(changed, source="--price-basis")
    market = market_of(seal(workspace, name, when), project, workspace.calendar, execution=execution)
    result = replay_once(chosen, params, market, cost_multiplier)
    metrics = compute_metrics(result, days_per_year=market.days_per_year)
    if output is not None:
        _write(output, result)
    document = {
        "strategy": chosen.strategy_id,
        "symbol": name,
        "date": when,
        "params": params.model_dump(mode="json"),
        "convention": market.at_cost(cost_multiplier).convention,
        "final_equity": result.final_equity,
        **metrics,
    }
    if as_json:
        print_document(document | ({"trades": result.trades.to_dicts()} if trades else {}))
    else:
        _print(document, result, trades)
    if fault := ruined(result):
        fail(fault, EXIT_FAILED)


def _write(folder: Path, result: ReplayResult) -> None:
    import io

    from argus_core.market.lake import write_atomically

    for name, frame in (("trades", result.trades), ("daily", result.daily)):
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        write_atomically(folder / f"{name}.parquet", buffer.getvalue())


def _print(document: dict[str, Any], result: ReplayResult, with_trades: bool) -> None:
    import polars as pl

    print(f"{document['strategy']} on {document['symbol']}, pack of {document['date']}")
    print(f"convention: {document['convention']}")
    shown = {k: v for k, v in document.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    print_table(pl.DataFrame({"metric": list(shown), "value": [float(v) for v in shown.values()]}, strict=False), None)
    print_counts(dict(result.rejects), "rejected orders")
    flags = result.trades["flags"].str.split(",").explode(empty_as_null=True, keep_nulls=False)
    print_counts(dict(flags.filter(flags != "").value_counts().rows()), "trades with a flag")
    if with_trades:
        print_frame(_readable(result.trades), False, f"{result.trades.height} trades", limit=1000)


def _readable(trades: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    stamps = pl.col("entry_ts", "exit_ts").dt.strftime("%Y-%m-%d %H:%M:%S")
    return trades.with_columns(stamps).select(SHOWN)
