"""The report of one research cycle: what was tried, what survived, why the rest was killed. One HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from argus_core.evaluation.joint import align_returns
from argus_core.market.lake import write_atomically
from argus_core.reports import evidence, sections
from argus_core.reports.figures import drawdown_figure, equity_figure, fan_figure, plotly_script, sharpe_figure
from argus_core.reports.page import page, section
from argus_core.reports.words import parameters

if TYPE_CHECKING:
    from argus_core.allocation import Allocation
    from argus_core.evaluation import Evaluation
    from argus_core.reports.option_day import OptionDay

#: Lines in the equity figure: the best run of each strategy and symbol, at most this many.
_SHOWN_RUNS = 5


def cycle_report(
    path: Path,
    *,
    date: Any,
    project_summary: Mapping[str, Any],
    runs: pl.DataFrame,
    returns: pl.DataFrame,
    trades: pl.DataFrame,
    evaluation: Evaluation,
    allocation: Allocation,
    options: Sequence[OptionDay] = (),
    option_pages: Sequence[str | None] = (),
) -> Path:
    """Write the report of ``date`` to ``path``: one self-contained HTML file that makes no request.

    Args:
        project_summary: what to print as provenance (config, hashes, symbols, window, convention, ...), JSON-like.
        runs, returns, trades: the experiment tables of the date, all symbols.
        evaluation, allocation: the verdicts on them.
        options: the option tables of the date, one entry per underlying that has options; none: no section on them.
        option_pages: addresses of their pages relative to ``path``; None where a page was not written.

    Raises:
        MissingPlotlyError: if plotly (extra ``report``) is not installed.
    """
    script = plotly_script()
    shown = chosen_runs(evaluation.rankings)
    metrics = {str(row["run_id"]): row for row in runs.iter_rows(named=True)}
    body = "".join(
        [
            sections.header(date, evaluation, allocation),
            sections.allocations(allocation) if allocation.rows.height else "",
            _growth(evaluation.rankings, shown, returns),
            sections.ranking(evaluation.rankings),
            _evidence(evaluation),
            evidence.error_budget(evaluation),
            evidence.ledger_growth(evaluation),
            sections.kills(evaluation),
            _joint_fan(evaluation, shown, returns),
            _fans(shown, trades, metrics),
            sections.costs(shown, metrics),
            sections.regimes(shown, metrics),
            _options(options, option_pages),
            sections.provenance(project_summary, runs, evaluation),
        ]
    )
    write_atomically(path, page(f"Argus · research cycle {date}", body, script).encode())
    return path


def chosen_runs(rankings: pl.DataFrame, count: int = _SHOWN_RUNS) -> list[dict[str, Any]]:
    """Runs worth drawing: per strategy and symbol the best survivor, else the best that traded; survivors first."""
    traded = rankings.filter((pl.col("role") == "trial") & (pl.col("status") == "ok") & (pl.col("n_trades") > 0))
    best = traded.sort("killed", "rank").unique(["strategy", "symbol"], keep="first", maintain_order=True)
    return best.head(count).to_dicts()


def _growth(rankings: pl.DataFrame, shown: Sequence[Mapping[str, Any]], returns: pl.DataFrame) -> str:
    if not shown:
        return section("Equity", "No run traded, so there is no curve to draw.")
    symbols = sorted({str(run["symbol"]) for run in shown})
    held = rankings.filter((pl.col("role") == "benchmark") & pl.col("symbol").is_in(symbols)).sort("symbol", "run_id")
    benchmarks = {f"{row['symbol']} held": str(row["run_id"]) for row in held.iter_rows(named=True)}
    names = {_label(run): str(run["run_id"]) for run in shown}
    ids = [*names.values(), *benchmarks.values()]
    aligned = align_returns(returns.filter(pl.col("run_id").is_in(ids)), ids)
    if not aligned.dates:
        return section("Equity", "No daily returns are stored for these runs.")
    column = {run_id: aligned.values[:, i] for i, run_id in enumerate(ids)}
    lines = {label: column[run_id] for label, run_id in names.items()}
    greys = {label: column[run_id] for label, run_id in benchmarks.items()}
    alive = [_label(run) for run in shown if not run["killed"]]
    say = "The best run of each strategy and symbol, net of all costs, beside buying and holding (grey, dotted). "
    if not alive:
        say += "None of them survived: they are shown so that you can see why."
    elif len(alive) < len(shown):
        say += f"Only {', '.join(alive)} survived; the others are shown beside it."
    return section(
        "Equity and drawdown",
        say,
        equity_figure("equity", aligned.dates, lines, greys),
        drawdown_figure("drawdown", aligned.dates, lines, greys),
    )


def _joint_fan(evaluation: Evaluation, shown: Sequence[Mapping[str, Any]], returns: pl.DataFrame) -> str:
    test = evaluation.joint_test
    if not shown or test["block_length"] is None:
        return ""
    drawn = [run for run in shown if not run["killed"]] or shown
    ids = [str(run["run_id"]) for run in drawn]
    aligned = align_returns(returns.filter(pl.col("run_id").is_in(ids)), ids)
    return evidence.joint_fan(
        [_label(run) for run in drawn],
        aligned.values,
        block_length=test["block_length"],
        seed=test["seed"],
        capital=not shown[0]["killed"],
    )


def _evidence(evaluation: Evaluation) -> str:
    trials = evaluation.rankings.filter(pl.col("role") == "trial")
    sharpes = trials["sharpe"].drop_nulls().to_list()
    figure = ""
    if len(sharpes) > 1:
        held = evaluation.rankings.filter(pl.col("role") == "benchmark")["sharpe"].drop_nulls()
        year = max(trials["days_per_year"].drop_nulls().to_list(), default=252)
        luck = float(evaluation.joint_test["expected_max_sharpe"]) * year**0.5
        mean = float(np.mean(held.to_numpy())) if len(held) else None
        figure = sharpe_figure("sharpes", sharpes, luck=luck, benchmark=mean)
    return evidence.joint(evaluation, figure)


def _fans(shown: Sequence[Mapping[str, Any]], trades: pl.DataFrame, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for position, run in enumerate(shown[:2]):
        own = trades.filter(pl.col("run_id") == run["run_id"]).sort("exit_ts", "trade_id")
        values = own["trade_return"].cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy()
        if len(values) < 2:
            continue
        row = metrics.get(str(run["run_id"]), {})
        block = float(row.get("mc_block_length") or 1.0)
        figure = fan_figure(f"fan{position}", np.maximum(values, -1.0), block=block)
        parts.append(sections.fan(_label(run), parameters(run["params"]), len(values), row, figure))
    if not parts:
        return ""
    say = (
        "The same trades in other orders and mixes (stationary bootstrap). The fan is what could as well have happened "
        "if the trades were typical; it starts from the selected, hence flattering, mean."
    )
    return section("Monte Carlo over trades", say, f'<div class="two">{"".join(parts)}</div>')


def _options(days: Sequence[OptionDay], pages: Sequence[str | None]) -> str:
    if not days:
        return ""
    from argus_core.reports.options import option_summary

    return option_summary(days, pages)


def _label(run: Mapping[str, Any]) -> str:
    return f"{run['strategy']} {run['symbol']}"
