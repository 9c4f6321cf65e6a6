"""Tables of the option product, date x underlying: what each rests on and how it is computed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from argus_core.market.lake import hash_of
from argus_core.settings.options import OptionSettings
from argus_dagster.assets.option_snapshots import OPTION_SNAPSHOTS, snapshot_keys
from argus_dagster.assets.session_history import bars_hashes, session_rows
from argus_dagster.stage import Stage
from argus_dagster.workspace import Workspace

#: Rows of a day from the tables of that day, by name.
ComputeDay = Callable[[Workspace, str, date], pl.DataFrame]

#: Earlier days of a table that a day looks at.
History = Callable[[Workspace, date], Sequence[date]]


def option_settings(workspace: Workspace) -> OptionSettings:
    return workspace.project.platform.options


def read_options(workspace: Workspace, table: str, symbol: str, days: Sequence[date]) -> pl.DataFrame:
    """Rows of an option table of ``symbol`` on ``days``; days without a partition are left out."""
    return workspace.lake.read_many(table, [snapshot_keys(workspace, symbol, day) for day in days])


def option_stage(
    table: str,
    upstream: Sequence[str],
    settings_hash: Callable[[Workspace], str],
    compute_day: ComputeDay,
    *,
    history: Mapping[str, History] | None = None,
    also: Callable[[Workspace, str, date], Sequence[str]] = lambda workspace, symbol, day: (),
) -> Stage:
    """A stage whose partition rests on the day's ``upstream`` tables.

    Args:
        upstream: tables that must exist; the first one's rows are what it is about.
        history: table -> the earlier days of it that are looked at too, where they exist.
        also: hashes of whatever else it rests on.
    """

    def inputs(workspace: Workspace, symbol: str, day: date) -> str | None:
        if not workspace.instrument(symbol).options:
            return None
        found = []
        for name in upstream:
            stamp = workspace.lake.stamp(name, **snapshot_keys(workspace, symbol, day))
            if stamp is None:
                return None
            found.append(stamp.data_hash)
        for name, days in (history or {}).items():
            for earlier in days(workspace, day):
                stamp = workspace.lake.stamp(name, **snapshot_keys(workspace, symbol, earlier))
                found.append(stamp.data_hash if stamp else "-")
        found += also(workspace, symbol, day)
        return hash_of([*found, settings_hash(workspace), workspace.series_hash(symbol)])

    def compute(workspace: Workspace, symbol: str, days: Sequence[date]) -> Iterator[tuple[date, pl.DataFrame]]:
        for day in days:
            yield day, compute_day(workspace, symbol, day)

    return Stage(table=table, keys=snapshot_keys, config_hash=settings_hash, inputs_hash=inputs, compute=compute)


def _chains_hash(workspace: Workspace) -> str:
    options = option_settings(workspace)
    carry = workspace.project.platform.execution.option_quote_carry_seconds
    return hash_of([options.snapshots.config_hash, options.chains.config_hash, str(carry)])


def quotes_of(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    """The snapshots of a day that the option tables hold."""
    from argus_core.options.snapshots import chosen_snapshots

    return chosen_snapshots(
        read_options(workspace, "option_snapshots", symbol, [day]),
        per_day=option_settings(workspace).snapshots.per_day,
        carry_seconds=workspace.project.platform.execution.option_quote_carry_seconds,
    )


def _forwards(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    from argus_core.options.forwards import forwards_of

    quotes = quotes_of(workspace, symbol, day)
    return forwards_of(quotes, workspace.instrument(symbol), workspace.calendar, option_settings(workspace).chains)


def _implied_vols(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    from argus_core.options.implied_vols import implied_vols_of

    quotes, forwards = quotes_of(workspace, symbol, day), read_options(workspace, "forwards", symbol, [day])
    settings = option_settings(workspace).chains
    return implied_vols_of(quotes, forwards, workspace.instrument(symbol), workspace.calendar, settings)


def by_snapshot(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows of each receipt, in order; none where no chain was ever received (a frame without columns)."""
    if frame.is_empty():
        return
    yield from frame.sort("recv_ts", maintain_order=True).partition_by("recv_ts", maintain_order=True)


def _surface(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    from argus_core.options.surface.snapshots import fit_surfaces

    return fit_surfaces(read_options(workspace, "implied_vols", symbol, [day]), option_settings(workspace).surface)


def _features(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    from argus_core.options.iv_features import iv_features_of

    return iv_features_of(
        read_options(workspace, "implied_vols", symbol, [day]),
        read_options(workspace, "iv_surface", symbol, [day]),
        session_rows(workspace, symbol, day),
        workspace.calendar,
        option_settings(workspace).features,
    )


def session_before(workspace: Workspace, day: date) -> list[date]:
    """The session before ``day``, where the calendar of the workspace has one."""
    return [d for d in workspace.calendar.last_sessions(day, 2) if d < day]


def _heston(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    """Fits of the day, drawn towards the last snapshot of the session before, which is fitted on its own for it.

    So a date has the same row whether it is computed alone or in a range.
    """
    from argus_core.options.heston.calibration import calibrate
    from argus_core.options.heston.fits import fit_snapshots

    settings = option_settings(workspace).heston
    previous = None
    for earlier in session_before(workspace, day):
        vols = read_options(workspace, "implied_vols", symbol, [earlier])
        if vols.height:
            fit = calibrate(vols.filter(pl.col("recv_ts") == vols["recv_ts"].max()), settings)
            previous = fit.parameters if fit.converged else None
    return fit_snapshots(read_options(workspace, "implied_vols", symbol, [day]), settings, previous)


def sessions_of_history(workspace: Workspace, day: date) -> list[date]:
    """The sessions before ``day`` that anomalies are compared with."""
    count = option_settings(workspace).anomalies.history.window
    first = workspace.project.platform.calendar.start_date
    return [d for d in workspace.calendar.last_sessions(day, count + 1) if first <= d < day]


def _anomalies(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    """Flags of the day's snapshots. Those of the session before are found again, for what persists over the night."""
    from argus_core.options.anomalies import find_anomalies
    from argus_core.options.schemas import Anomalies

    settings = option_settings(workspace).anomalies
    before = session_before(workspace, day)
    past = read_options(workspace, "iv_surface", symbol, [*sessions_of_history(workspace, day), day])
    forwards = read_options(workspace, "forwards", symbol, [*before, day])
    yesterday = list(by_snapshot(read_options(workspace, "implied_vols", symbol, before)))
    earlier = yesterday[max(0, len(yesterday) + 1 - settings.snapshots) :]
    today = list(by_snapshot(read_options(workspace, "implied_vols", symbol, [day])))
    found: list[pl.DataFrame] = []
    times: list[datetime] = []
    for number, snapshot in enumerate([*earlier, *today]):
        moment = snapshot["recv_ts"][0]
        flags = find_anomalies(
            snapshot,
            settings,
            forwards=forwards.filter(pl.col("recv_ts") == moment),
            previous=[*earlier, *today][number - 1] if number else None,
            history=past.filter(pl.col("recv_ts") < moment) if past.height else None,
            earlier=pl.concat(found) if found else None,
            earlier_times=tuple(times),
        )
        found.append(flags)
        times.append(moment)
    mine = found[len(earlier) :]
    return pl.concat(mine) if mine else Anomalies.create_empty()


def _pop(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    """The page of candidates of the day's last snapshot."""
    from argus_core.market.schemas import empty
    from argus_core.options.candidates import candidates_of
    from argus_core.options.profit.page import ProfitPage, profit_page

    names = ("implied_vols", "forwards", "iv_surface", "heston_params")
    tables = {name: read_options(workspace, name, symbol, [day]) for name in names}
    if tables["implied_vols"].is_empty():
        return empty(ProfitPage)
    newest = tables["implied_vols"]["recv_ts"].max()
    last = {name: frame.filter(pl.col("recv_ts") == newest) for name, frame in tables.items()}
    fits = last["heston_params"].to_dicts()
    settings = option_settings(workspace)
    return profit_page(
        candidates_of(last["implied_vols"], settings.chains.candidates).kept,
        last["forwards"],
        last["iv_surface"],
        fits[0] if fits else None,
        settings.profit,
        commission=workspace.project.platform.execution.commission_per_contract,
        multiplier=workspace.instrument(symbol).contract_size,
    )


def vols_of_providers(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    """`ImpliedVols` of every provider whose chain of the day lies in the lake, all inverted by one convention."""
    from argus_core.market.schemas import empty
    from argus_core.options.forwards import forwards_of
    from argus_core.options.implied_vols import implied_vols_of
    from argus_core.options.schemas import ImpliedVols
    from argus_core.options.snapshots import chosen_snapshots

    settings = option_settings(workspace)
    carry = workspace.project.platform.execution.option_quote_carry_seconds
    instrument, calendar = workspace.instrument(symbol), workspace.calendar
    parts = []
    for keys in sorted(workspace.lake.partitions("option_snapshots"), key=lambda one: str(one["provider"])):
        if keys["underlying"] == symbol and keys["date"] == day.isoformat():
            raw = workspace.lake.read("option_snapshots", **keys)
            quotes = chosen_snapshots(raw, per_day=settings.snapshots.per_day, carry_seconds=carry)
            forwards = forwards_of(quotes, instrument, calendar, settings.chains)
            parts.append(implied_vols_of(quotes, forwards, instrument, calendar, settings.chains))
    return pl.concat(parts) if parts else empty(ImpliedVols)


def stressed(workspace: Workspace, symbol: str, day: date, row: Mapping[str, Any]) -> pl.DataFrame:
    """Profit of one position of the page under every shock of the settings, repriced on the surface of its snapshot."""
    from argus_core.options.positions import Position
    from argus_core.options.profit.page import page_legs
    from argus_core.options.scenarios import Book, ExpiryMarket, reprice, shock_grid
    from argus_core.options.surface import Surface
    from argus_core.strategies.interface import Leg

    settings = option_settings(workspace).scenarios
    moment = pl.col("recv_ts") == row["recv_ts"]
    forwards = read_options(workspace, "forwards", symbol, [day]).filter(moment, pl.col("forward").is_not_null())
    slices = read_options(workspace, "iv_surface", symbol, [day]).filter(moment)
    terms = {
        one["expiry"]: ExpiryMarket(one["t_cal"], one["forward"], one["discount"])
        for one in forwards.sort("expiry_ts").to_dicts()
    }
    multiplier = workspace.instrument(symbol).contract_size
    position = Position(tuple(Leg(**leg) for leg in page_legs(row["legs"])), row["price"], multiplier)
    book = Book.of([position], float(forwards["spot"].drop_nulls()[0]), terms)
    return reprice(book, shock_grid(settings), settings, smile=Surface.of(slices).iv).frame()


def _pop_hash(workspace: Workspace) -> str:
    settings, commission = option_settings(workspace), workspace.project.platform.execution.commission_per_contract
    return hash_of([settings.profit.config_hash, settings.chains.candidates.config_hash, str(commission)])


FORWARDS = option_stage("forwards", ["option_snapshots"], _chains_hash, _forwards)
IMPLIED_VOLS = option_stage("implied_vols", ["forwards", "option_snapshots"], _chains_hash, _implied_vols)
IV_SURFACE = option_stage(
    "iv_surface", ["implied_vols"], lambda workspace: option_settings(workspace).surface.config_hash, _surface
)
IV_FEATURES = option_stage(
    "iv_features",
    ["implied_vols", "iv_surface"],
    lambda workspace: option_settings(workspace).features.config_hash,
    _features,
    also=bars_hashes,
)
HESTON_PARAMS = option_stage(
    "heston_params",
    ["implied_vols"],
    lambda workspace: option_settings(workspace).heston.config_hash,
    _heston,
    history={"implied_vols": session_before},
)

IV_ANOMALIES = option_stage(
    "iv_anomalies",
    ["implied_vols", "forwards", "iv_surface"],
    lambda workspace: option_settings(workspace).anomalies.config_hash,
    _anomalies,
    history={"implied_vols": session_before, "forwards": session_before, "iv_surface": sessions_of_history},
)
POP = option_stage("pop", ["heston_params", "implied_vols", "forwards", "iv_surface"], _pop_hash, _pop)

#: What is prepared for every session: packs carry its features.
CHAIN_STAGES = (OPTION_SNAPSHOTS, FORWARDS, IMPLIED_VOLS, IV_SURFACE, IV_FEATURES)
#: What is made of the chains of a cycle's own date.
OPTION_STAGES = (IV_ANOMALIES, HESTON_PARAMS, POP)
