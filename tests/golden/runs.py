"""Golden runs: the trade list of every shipped strategy on fixed markets, as a hash that changes only on purpose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from argus_core.experiments.replays import replay_once
from argus_core.replay.results import ReplayResult
from argus_core.strategies import SHIPPED, Strategy, load_strategy
from tests.golden.markets import (
    REAL,
    REAL_CHAINS,
    REAL_DAYS,
    REFERENCES,
    SIMULATED,
    Golden,
    Window,
    golden_market,
    project_of,
)

STORE = Path(__file__).with_name("trades.json")
ACCEPT = "python -m tests.golden.accept"


@dataclass(frozen=True)
class Case:
    """How a strategy is put to a golden run; defaults fit most.

    Attributes:
        symbol: simulated symbol; None: the first of SPY, IBIT and BTC that its family fits.
        params: what differs from the defaults, so that short windows hold trades.
        real_params: what differs beside them on real data.
        real: real window and symbol; None: minutes of the same symbol, or chains where the family needs options.
        no_real: why there is no real run.
    """

    symbol: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    real_params: Mapping[str, Any] = field(default_factory=dict)
    real: tuple[Window, str] | None = None
    no_real: str = ""


CASES: Mapping[str, Case] = {
    "CryptoEtfBasis": Case(symbol="IBIT", params={"entry": 0.002}, real=(REAL_DAYS, "IBIT")),
    "EightAmCandle": Case(symbol="BTC"),
    "EventStraddle": Case(params={"risk_per_trade": 0.04}),
    "HighVolCredit": Case(
        params={"min_percentile": 0.0, "min_snapshots": 3, "min_fall": 0.005, "min_credit_ratio": 0.05}
    ),
    "MinuteSnap": Case(params={"reference": "QQQ"}),
    "OvernightSession": Case(params={"fwd_return_threshold": 0.001}),
    "PanicSnapback": Case(params={"sigmas": 2.5, "volume_ratio": 1.0}),
    "VRPCreditSpread": Case(
        params={"min_vrp": 0.0, "avoid_trend": None, "profit_target": 0.3},
        # The minutes begin with the window: a month of realised volatility is known on its last evening only.
        real_params={"premium_source": "vol"},
        real=(REAL_CHAINS, "SPY"),
    ),
}


def case_of(name: str) -> Case:
    return CASES.get(name, Case())


def strategy_of(name: str) -> type[Strategy]:
    return load_strategy(name, root=Path("/"), params=case_of(name).params)


def symbol_of(name: str) -> str:
    """The simulated symbol that a strategy runs on."""
    family, case = strategy_of(name).family, case_of(name)
    for symbol in [case.symbol] if case.symbol else ["SPY", "IBIT", "BTC"]:
        assert symbol is not None
        if not family.misfit(project_of(symbol).instrument(symbol), REFERENCES.get(symbol, ())):
            return symbol
    raise LookupError(f"{name}: its family {family.name} fits no golden symbol; name one in tests/golden/runs.py")


def real_place(name: str) -> tuple[Window, str] | None:
    """Real window and symbol of a strategy; None where the shared data have none (`Case.no_real` says why)."""
    case = case_of(name)
    if case.no_real:
        return None
    if case.real is not None:
        return case.real
    return (REAL_CHAINS if strategy_of(name).family.needs_options else REAL), symbol_of(name)


def record(name: str, window: Window, symbol: str, golden: Golden) -> dict[str, Any]:
    """Run a strategy and sum it up: what the golden file holds."""
    strategy = strategy_of(name)
    case = case_of(name)
    beside = {} if window is SIMULATED else case.real_params
    params = strategy.Params.model_validate({**case.params, **beside})
    result = replay_once(strategy, params, golden.market)
    return {
        "data": f"{symbol} {window.name} {window.first} to {window.last}",
        "pack_hash": golden.pack_hash,
        "params": json.loads(params.model_dump_json()),
        "trades": result.trades.height,
        "fills": result.fills,
        "rejects": dict(sorted(result.rejects.items())),
        "final_equity": round(result.final_equity, 2),
        "first_trade": _line(result.trades.head(1)),
        "last_trade": _line(result.trades.tail(1)),
        "sha256": trade_list_hash(result),
    }


def trade_list_hash(result: ReplayResult) -> str:
    """SHA-256 over the trades in words: symbol, side, quantity, times, prices to 1e-6, reason, PnL to 1e-4, flags.

    Ids are left out: they follow from the rest. Rounding takes the last bits away, in which processors differ.
    """
    return hashlib.sha256("\n".join(_lines(result.trades)).encode()).hexdigest()


def _lines(trades: pl.DataFrame) -> list[str]:
    stamps = pl.col("entry_ts", "exit_ts").dt.strftime("%Y-%m-%dT%H:%M:%S")
    columns = ("symbol", "side", "quantity", "entry_ts", "entry_price", "exit_ts", "exit_price", "exit_reason", "pnl")
    rows = trades.with_columns(stamps).select(*columns, "flags", "legs").iter_rows()
    lines = []
    for symbol, side, quantity, entry, paid, left, got, reason, pnl, flags, legs in rows:
        # + 0.0: minus zero is zero.
        prices = f"{entry}@{paid:.6f} {left}@{got:.6f}"
        lines.append(f"{symbol} {side:+d} {quantity:.6f} {prices} {reason} {pnl + 0.0:.4f} {flags} {legs}".rstrip())
    return lines


def _line(trades: pl.DataFrame) -> str:
    return "".join(_lines(trades.with_columns(pl.lit("").alias("legs"))))


def run_simulated(name: str) -> dict[str, Any]:
    symbol = symbol_of(name)
    return record(name, SIMULATED, symbol, golden_market(SIMULATED, symbol))


def run_real(name: str, shared_data: Path) -> dict[str, Any] | None:
    place = real_place(name)
    if place is None:
        return None
    return record(name, *place, golden_market(*place, shared_data))


def stored() -> dict[str, dict[str, Any]]:
    return json.loads(STORE.read_text()) if STORE.is_file() else {}


def difference(name: str, part: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    """What changed between two records, in words; "" where the trades are the same."""
    if old is not None and (old["sha256"], old["params"]) == (new["sha256"], new["params"]):
        return ""
    if old is None:
        lines = [f"  new: {new['trades']} trades, final equity {new['final_equity']:,.2f}"]
    else:
        keys = ("params", "trades", "fills", "rejects", "final_equity", "first_trade", "last_trade")
        lines = [f"  {key}: {old[key]} -> {new[key]}" for key in keys if old[key] != new[key]]
        lines = lines or ["  legs, or trades between the first and the last, differ"]
        if old["pack_hash"] != new["pack_hash"]:
            lines.append(f"  the data, too: pack {old['pack_hash']} -> {new['pack_hash']}")
    return "\n".join([f"{name} on {part} data: the trade list is not the accepted one", *lines])


def shipped() -> list[str]:
    return sorted(SHIPPED)
