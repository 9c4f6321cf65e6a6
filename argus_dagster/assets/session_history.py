"""Realised volatility of sessions for `iv_features`: a date rests on a year of them, each serves many dates."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from argus_dagster.assets.model_regimes import data_hash
from argus_dagster.workspace import Workspace

#: (data hash of a partition of bars, settings, instrument) -> its row of `session_variances`.
_KNOWN: dict[tuple[str, str, str], pl.DataFrame] = {}


def history_of(workspace: Workspace, day: date) -> list[date]:
    """Sessions whose bars the features of ``day`` rest on: as many for a date alone as for one in a range."""
    platform = workspace.project.platform
    sessions = workspace.calendar.last_sessions(day, platform.options.features.history_sessions)
    return [d for d in sessions if d >= platform.calendar.start_date]


def bars_hashes(workspace: Workspace, symbol: str, day: date) -> Sequence[str]:
    """Data hashes of the bars that the features of ``day`` rest on, "-" where there are none."""
    return [data_hash(workspace, "bars", symbol, earlier) for earlier in history_of(workspace, day)]


def session_rows(workspace: Workspace, symbol: str, day: date) -> pl.DataFrame:
    """`session_variances` of the sessions that the features of ``day`` rest on."""
    from argus_core.options.iv_features import sessions_of

    settings, instrument = workspace.project.platform.options.features, workspace.instrument(symbol)
    terms = (settings.realised.config_hash, workspace.series_hash(symbol))
    found = [sessions_of(pl.DataFrame(), instrument, workspace.calendar, settings)]
    for earlier in history_of(workspace, day):
        key = (data_hash(workspace, "bars", symbol, earlier), *terms)
        if key[0] == "-":
            continue
        if key not in _KNOWN:
            bars = workspace.read_series("bars", symbol, [earlier])
            _KNOWN[key] = sessions_of(bars, instrument, workspace.calendar, settings)
        found.append(_KNOWN[key])
    return pl.concat(found)
