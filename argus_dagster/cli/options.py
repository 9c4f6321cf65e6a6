"""`argus options`: forwards, surface, anomalies, Heston parameters, greeks and probabilities of profit of a chain.

Each command brings the tables that it shows up to date, by the same stages as the assets, and prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from argus_dagster.cli.output import (
    EXIT_FAILED,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    SymbolOption,
    console,
    fail,
    open_at,
    print_frame,
)

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from argus_dagster.stage import Stage
    from argus_dagster.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Option chains: forwards, surface, anomalies, Heston, greeks, PoP.")

DateOption = Annotated[str | None, typer.Option("--date", help="trade date of the chain [the cycle's date]")]
AllOption = Annotated[bool, typer.Option("--all", help="every snapshot of the date [the last one]")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="rows printed")]


@app.command()
def forwards(
    symbol: SymbolOption = None,
    day: DateOption = None,
    every: AllOption = False,
    limit: LimitOption = 60,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forward, discount and implied yield of every expiry, from put-call parity."""
    from argus_dagster.assets.option_tables import FORWARDS

    shown = ("expiry", "settlement", "t_cal", "forward", "forward_se", "rate", "implied_yield", "n_pairs", "reason")
    _show(FORWARDS, symbol, day, config, shown, every=every, as_json=as_json, limit=limit)


@app.command()
def surface(
    symbol: SymbolOption = None,
    day: DateOption = None,
    every: AllOption = False,
    limit: LimitOption = 60,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The eSSVI slices, the quality of their fit, and the count of static arbitrage on a grid (none is left)."""
    from argus_core.options.surface import grid_arbitrage
    from argus_dagster.assets.option_tables import IV_SURFACE, by_snapshot, option_settings

    shown = ("expiry", "atm_iv", "skew", "theta", "psi", "rho", "n_quotes", "rmse_iv", "rmse_half_spreads")
    workspace, found = _show(
        IV_SURFACE, symbol, day, config, (*shown, "inside_share"), every=every, as_json=as_json, limit=limit
    )
    if not as_json:
        terms = option_settings(workspace).surface
        counted = [
            grid_arbitrage(one, points=terms.grid_points, deviations=terms.grid_deviations)
            for frame in found
            for one in by_snapshot(frame)
        ]
        points, broken = sum(one.points for one in counted), sum(one.total for one in counted)
        print(f"static arbitrage on {points:,} points of the surface: {broken}")


@app.command()
def anomalies(
    symbol: SymbolOption = None,
    day: DateOption = None,
    every: AllOption = False,
    limit: LimitOption = 40,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What does not fit, in words, with the quotes to look at; most serious first."""
    from argus_dagster.assets.option_tables import IV_ANOMALIES

    shown = ("severity", "kind", "expiry", "statistic", "edge", "persistence", "contracts", "explanation")
    _show(IV_ANOMALIES, symbol, day, config, shown, every=every, as_json=as_json, limit=limit)


@app.command()
def calibrate(
    symbol: SymbolOption = None,
    day: DateOption = None,
    every: AllOption = False,
    limit: LimitOption = 40,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Heston parameters with standard errors, drawn towards the fit of the session before."""
    from argus_dagster.assets.option_tables import HESTON_PARAMS

    shown = ("recv_ts", "v0", "kappa", "theta", "sigma", "rho", "se_v0", "se_kappa", "se_theta", "se_sigma", "se_rho")
    more = ("feller", "rmse_iv", "rmse_half_spreads", "n_contracts", "converged", "reason")
    _show(HESTON_PARAMS, symbol, day, config, (*shown, *more), every=every, as_json=as_json, limit=limit)


@app.command()
def greeks(
    symbol: SymbolOption = None,
    day: DateOption = None,
    expiry: Annotated[str | None, typer.Option("--expiry", help="one expiry, YYYY-MM-DD [all]")] = None,
    used: Annotated[bool, typer.Option("--used", help="only quotes that go into the surface")] = False,
    every: AllOption = False,
    limit: LimitOption = 80,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Volatilities of bid, mid and ask with delta, gamma, vega, theta and rho; why a quote is not used."""
    import polars as pl

    from argus_dagster.assets.option_tables import IMPLIED_VOLS
    from argus_dagster.cli.output import parse_date

    wanted = parse_date(expiry, "--expiry")
    shown = ("contract", "bid", "ask", "iv_bid", "iv_mid", "iv_ask", "iv_se", "delta", "gamma", "vega", "theta", "rho")

    def chosen(frame: pl.DataFrame) -> pl.DataFrame:
        kept = frame.filter(pl.col("used")) if used else frame
        if wanted is None:
            return kept
        if wanted not in set(frame["expiry"]):
            listed = ", ".join(str(one) for one in sorted(set(frame["expiry"])))
            fail(f"--expiry {wanted}: not in the chain. Listed: {listed}.", EXIT_USAGE)
        return kept.filter(pl.col("expiry") == wanted)

    _show(
        IMPLIED_VOLS, symbol, day, config, (*shown, "reason"), every=every, as_json=as_json, limit=limit, chosen=chosen
    )


@app.command()
def pop(
    symbol: SymbolOption = None,
    day: DateOption = None,
    structure: Annotated[str | None, typer.Option("--structure", help="for instance put_vertical [all]")] = None,
    limit: LimitOption = 60,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Probability of profit of candidate positions: by Heston, by the market's own density, and managed."""
    import polars as pl

    from argus_dagster.assets.option_tables import POP

    shown = ("structure", "side", "days", "candidate", "price", "max_loss", "pop_terminal", "pop_surface")
    more = ("expected_pnl", "expected_pnl_surface", "pop_managed", "pop_managed_se", "p50", "pop_calendar")

    def chosen(frame: pl.DataFrame) -> pl.DataFrame:
        if structure is None:
            return frame
        if structure not in set(frame["structure"]):
            known = ", ".join(sorted(set(frame["structure"]))) or "none"
            fail(f"--structure {structure!r}: not on the page. There are: {known}.", EXIT_USAGE)
        return frame.filter(pl.col("structure") == structure)

    _show(POP, symbol, day, config, (*shown, *more), every=True, as_json=as_json, limit=limit, chosen=chosen)


@app.command()
def consensus(
    symbol: SymbolOption = None,
    day: DateOption = None,
    atm: Annotated[bool, typer.Option("--atm", help="at the money only, one row per expiry")] = False,
    limit: LimitOption = 60,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """One volatility per contract of all providers whose chains of the date lie in the lake, with where it is from."""
    import polars as pl

    from argus_core.options.consensus import atm_consensus, consensus_at
    from argus_core.options.discrepancies import discrepancies_at, rollup
    from argus_core.options.observations import observations_of
    from argus_dagster.assets.option_tables import option_settings, vols_of_providers

    workspace, when = open_at(config, day)
    settings = option_settings(workspace).consensus
    found: list[pl.DataFrame] = []
    for name in _underlyings(workspace, symbol):
        vols = vols_of_providers(workspace, name, when)
        if vols.is_empty():
            fail(
                f"{name} {when}: no provider's chain lies in the lake. Run `argus options forwards` first.", EXIT_FAILED
            )
        observations = observations_of(vols)
        now = vols["recv_ts"].max()
        rows = consensus_at(observations, now, settings)  # ty: ignore[invalid-argument-type]
        found.append(atm_consensus(rows, settings) if atm else rows)
        if not as_json:
            shown = [
                "expiry",
                "strike",
                "iv",
                "iv_se",
                *([] if atm else ["right", "chosen", "sources", "weights", "score"]),
            ]
            print_frame(found[-1].select(shown), False, f"{name} {when}: {settings.policy}, as of {now}", limit=limit)
            disputes = rollup(discrepancies_at(observations, now, settings), settings)  # ty: ignore[invalid-argument-type]
            if disputes.height:
                print_frame(disputes, False, "discrepancies between providers")
    if as_json:
        print_frame(pl.concat(found), True, None)


@app.command()
def scenarios(
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="position of `argus options pop` [the best]")
    ] = None,
    symbol: SymbolOption = None,
    day: DateOption = None,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Worst cases of a candidate position: spot x volatility x time and past crashes, every leg repriced."""
    import polars as pl

    from argus_dagster.assets.option_tables import POP, read_options, stressed

    workspace, when = open_at(config, day)
    for name in _underlyings(workspace, symbol):
        bring_up_to_date(workspace, name, when, POP)
        page = read_options(workspace, "pop", name, [when]).sort("score", descending=True)
        known = page["candidate"].to_list()
        if candidate is not None and candidate not in known:
            fail(f"--candidate {candidate!r}: not on the page of {name} {when}. The best: {known[:3]}.", EXIT_USAGE)
        single = page.filter(pl.col("pop_terminal").is_not_null())
        if single.is_empty():
            fail(f"{name} {when}: the page has no position of one expiry to reprice.", EXIT_FAILED)
        chosen = single.row(0, named=True) if candidate is None else page.filter(candidate=candidate).row(0, named=True)
        told = stressed(workspace, name, when, chosen).sort("pnl")
        title = f"{name} {when}: {chosen['candidate']} at {chosen['price']:g}, dollars per position, worst first"
        shown = ["scenario", "pnl", "capped", "early_assignment", "pin"]
        print_frame(told if as_json else told.select(shown), as_json, title, limit=limit)


def _show(
    stage: Stage,
    symbol: str | None,
    day: str | None,
    config: str | None,
    columns: Sequence[str],
    *,
    every: bool,
    as_json: bool,
    limit: int,
    chosen: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> tuple[Workspace, list[pl.DataFrame]]:
    """Bring ``stage`` up to date for the underlyings and print it; return what was printed, per underlying."""
    import polars as pl

    from argus_dagster.assets.option_tables import read_options

    workspace, when = open_at(config, day)
    found = []
    for name in _underlyings(workspace, symbol):
        bring_up_to_date(workspace, name, when, stage)
        frame = read_options(workspace, stage.table, name, [when])
        if not every and frame.height:
            frame = frame.filter(pl.col("recv_ts") == frame["recv_ts"].max())
        if chosen is not None and frame.height:
            frame = chosen(frame)
        found.append(frame)
        title = f"{name} {when}: {stage.table}, {frame.height} rows"
        if not as_json:
            print_frame(frame.select(columns), False, title, limit=limit)
    if as_json:
        print_frame(pl.concat(found), True, None)
    return workspace, found


def _underlyings(workspace: Workspace, symbol: str | None) -> list[str]:
    listed = list(workspace.project.option_underlyings)
    if symbol is None and listed:
        return listed
    if symbol is not None and symbol in workspace.symbols and workspace.instrument(symbol).options:
        return [symbol]
    fail(
        f"--symbol {symbol}: no underlying with options in {workspace.project.source}. "
        f"There are: {', '.join(listed) or 'none'} (`options: true` in the universe file).",
        EXIT_USAGE,
    )


def bring_up_to_date(workspace: Workspace, symbol: str, when: date, stage: Stage) -> None:
    """Materialise what ``stage`` rests on, for the date and the session before, then ``stage`` on the date."""
    from argus_dagster.assets.bars import BARS, BARS_RAW
    from argus_dagster.assets.option_tables import CHAIN_STAGES, IV_FEATURES, OPTION_STAGES, session_before

    days = [*session_before(workspace, when), when]
    if stage is IV_FEATURES:
        for one in (BARS_RAW, BARS):
            one.materialise(workspace, symbol, days)
    for one in (*CHAIN_STAGES, *OPTION_STAGES):
        needed = one is not IV_FEATURES or stage is IV_FEATURES
        if needed and one.due(workspace, symbol, days):
            console().print(f"[dim]{one.table} {symbol}[/]")
            one.materialise(workspace, symbol, days if one in CHAIN_STAGES else [when])
        if one is stage:
            break
    if not workspace.lake.exists(stage.table, **stage.keys(workspace, symbol, when)):
        fail(
            f"{symbol} {when}: no option chain that passed its gates. Import chains (argus import) or choose a date "
            'that has one; `argus sql "select * from option_gate_reports"` tells what the gates refused.',
            EXIT_FAILED,
        )
