"""Replay the trials of one strategy at every cost level: as lanes where it is columnar, one by one where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl

from argus_core.calendar import ALWAYS_OPEN, TradingCalendar
from argus_core.experiments.journal import ReplayJournal
from argus_core.experiments.plan import Trial, TrialGroup
from argus_core.experiments.replayed import CostPoint, Replayed
from argus_core.packs import Pack, decision_frame, reference_frames
from argus_core.replay.lanes import replay_lanes
from argus_core.replay.market_rows import MarketRows, market_rows
from argus_core.replay.reference import Reference
from argus_core.replay.results import ReplayResult
from argus_core.settings import ExecutionSettings, Instrument, Project
from argus_core.strategies.interface import CallbackStrategy, ColumnarStrategy, Strategy

#: Trials that are replayed together: lanes of a columnar sweep, and runs of a callback strategy.
CHUNK, CALLBACK_CHUNK = 256, 16


@dataclass(frozen=True)
class Market:
    """What every strategy of a pack is replayed on."""

    symbol: str
    frame: pl.DataFrame
    options: pl.DataFrame | None
    instrument: Instrument
    execution: ExecutionSettings
    starting_cash: float
    #: Trade dates, hence daily returns, in a year. A 24/7 symbol on a session calendar has one per session, not 365.
    days_per_year: int
    #: Other symbols that callback strategies may read and trade; columnar ones read them as ``ref_`` columns.
    references: Mapping[str, Reference] = field(default_factory=dict)

    @cached_property
    def tape(self) -> Any:
        """The option snapshots in order of receipt, built once for all runs; None without options."""
        if self.options is None:
            return None
        from argus_core.options import OptionTape

        return OptionTape(self.options, self.execution.option_quote_carry_seconds)

    def seeing(
        self,
        frame: pl.DataFrame,
        options: pl.DataFrame | None,
        references: Mapping[str, pl.DataFrame] | None = None,
    ) -> Market:
        """The same market with other data; ``references``: frames of its reference symbols, None: as they are."""
        others = self.references
        if references is not None:
            others = {name: replace(others[name], frame=bars) for name, bars in references.items()}
        return replace(self, frame=frame, options=options, references=others)

    @cached_property
    def _rows(self) -> dict[float, MarketRows]:
        return {}

    def rows_at(self, multiplier: float) -> MarketRows:
        """The frame as the lanes take it, prepared once per cost level."""
        if multiplier not in self._rows:
            self._rows[multiplier] = market_rows(self.frame, self.instrument, self.at_cost(multiplier))
        return self._rows[multiplier]

    def at_cost(self, multiplier: float) -> ExecutionSettings:
        """The execution settings with costs scaled by ``multiplier`` on top of their own."""
        return self.execution.model_copy(update={"cost_multiplier": self.execution.cost_multiplier * multiplier})


def market_of(
    pack: Pack, project: Project, calendar: TradingCalendar, *, execution: ExecutionSettings | None = None
) -> Market:
    """What strategies see and trade on ``pack``; ``execution`` replaces the project's fill convention."""
    instrument = project.instrument(pack.symbol)
    options = pack.table("option_snapshots")
    return Market(
        symbol=pack.symbol,
        frame=decision_frame(pack, instrument, calendar, project.platform.outcomes.horizons),
        options=None if options.is_empty() else options,
        instrument=instrument,
        execution=execution or project.platform.execution,
        starting_cash=project.loop.experiment.starting_cash,
        days_per_year=365 if calendar.name == ALWAYS_OPEN and instrument.hours == "always" else 252,
        references=reference_frames(pack, project, calendar),
    )


def replay_group(
    group: TrialGroup, market: Market, multipliers: Sequence[float], journal: ReplayJournal | None = None
) -> list[Replayed]:
    """Replay every trial; one that fails does not stop the others.

    Trials run a chunk at a time: memory beyond their results does not grow with the sweep, and a finished chunk is kept
    in the journal, so that what was killed goes on where it was.

    Args:
        multipliers: cost levels on top of the market's own, 1.0 among them.
        journal: finished chunks of an earlier, interrupted call; sweeps of a single chunk are not worth one.

    Raises:
        TypeError: if the strategy has neither interface.
    """
    strategy = group.strategy
    if issubclass(strategy, CallbackStrategy):
        size, called = CALLBACK_CHUNK, strategy

        def replay(trials: Sequence[Trial]) -> list[Replayed]:
            return [_callback(called, trial, market, multipliers) for trial in trials]

    elif issubclass(strategy, ColumnarStrategy):
        size = CHUNK
        # One instance for the whole sweep, so that a strategy may keep what its lanes share; the proof sees its leaks.
        instance = strategy()

        def replay(trials: Sequence[Trial]) -> list[Replayed]:
            return _columnar(instance, trials, market, multipliers)

    else:
        raise TypeError(f"{strategy.__name__}: derive it from ColumnarStrategy or CallbackStrategy")
    kept = journal if len(group.trials) > size else None
    found: list[Replayed] = []
    for start in range(0, len(group.trials), size):
        trials = group.trials[start : start + size]
        ids = [trial.run_id for trial in trials]
        part = kept.load(ids) if kept else None
        if part is None:
            part = replay(trials)
            if kept:
                kept.store(ids, part)
        found += part
    return found


def _columnar(
    instance: ColumnarStrategy, trials: Sequence[Trial], market: Market, multipliers: Sequence[float]
) -> list[Replayed]:
    found = [Replayed(error=trial.error) for trial in trials]
    lanes: list[pl.DataFrame] = []
    places: list[int] = []
    for place, trial in enumerate(trials):
        if trial.model is None:
            continue
        try:
            lanes.append(instance.intents(market.frame, trial.model))
            places.append(place)
        except Exception as error:  # whatever a user's strategy raises belongs into its row
            found[place] = Replayed(error=_reason("intents", error))
    if not lanes:
        return found
    try:
        base = _lanes(lanes, market, 1.0)
        costs: list[dict[float, CostPoint]] = [{} for _ in lanes]
        for multiplier in multipliers:
            results = base if multiplier == 1.0 else _lanes(lanes, market, multiplier)
            for lane, result in enumerate(results):
                costs[lane][multiplier] = cost_point(result, market.days_per_year)
    except ValueError as together:
        if len(lanes) == 1:
            found[places[0]] = Replayed(error=_reason("replay", together))
            return found
        # One unusable intent frame must not fail its siblings: replay them one by one.
        for place in places:
            found[place] = _columnar(instance, [trials[place]], market, multipliers)[0]
        return found
    for lane, place in enumerate(places):
        found[place] = Replayed(base[lane], costs[lane])
    return found


def _lanes(lanes: Sequence[pl.DataFrame], market: Market, multiplier: float) -> list[ReplayResult]:
    return replay_lanes(
        market.rows_at(multiplier),
        lanes,
        market.instrument,
        market.at_cost(multiplier),
        starting_cash=market.starting_cash,
        symbol=market.symbol,
    )


def _callback(strategy: type[CallbackStrategy], trial: Trial, market: Market, multipliers: Sequence[float]) -> Replayed:
    if trial.model is None:
        return Replayed(error=trial.error)
    try:
        base = replay_callback_once(strategy, trial.model, market)
        costs = {}
        for multiplier in multipliers:
            again = base if multiplier == 1.0 else replay_callback_once(strategy, trial.model, market, multiplier)
            costs[multiplier] = cost_point(again, market.days_per_year)
        return Replayed(base, costs)
    except Exception as error:  # whatever a user's strategy raises belongs into its row
        return Replayed(error=_reason("on_bar", error))


def cost_point(result: ReplayResult, days_per_year: int) -> CostPoint:
    """Sharpe, PnL and trades of a replay at one cost level."""
    daily = result.daily["daily_return"].to_numpy()
    spread = float(daily.std(ddof=1)) if len(daily) > 1 else 0.0
    sharpe = float(daily.mean()) / spread * days_per_year**0.5 if spread > 1e-12 else None
    return CostPoint(sharpe, result.final_equity - result.starting_cash, result.trades.height)


def replay_once(strategy: type[Strategy], params: Any, market: Market, multiplier: float = 1.0) -> ReplayResult:
    """One strategy with one parameter set, whichever interface it has.

    Raises:
        ValueError: if the strategy's intents cannot be replayed.
    """
    if issubclass(strategy, CallbackStrategy):
        return replay_callback_once(strategy, params, market, multiplier)
    assert issubclass(strategy, ColumnarStrategy)
    return _lanes([strategy().intents(market.frame, params)], market, multiplier)[0]


def replay_callback_once(
    strategy: type[CallbackStrategy], params: Any, market: Market, multiplier: float = 1.0
) -> ReplayResult:
    """One callback run on a fresh instance."""
    return replay_instance(strategy(params), market, multiplier)


def replay_instance(instance: CallbackStrategy, market: Market, multiplier: float = 1.0) -> ReplayResult:
    """One run of a callback strategy that has not run before."""
    from argus_core.replay.callback import replay_callback

    return replay_callback(
        instance,
        market.frame,
        market.instrument,
        market.at_cost(multiplier),
        starting_cash=market.starting_cash,
        symbol=market.symbol,
        options=market.tape,
        references=market.references,
    )


def _reason(where: str, error: Exception) -> str:
    return f"{where}: {type(error).__name__}: {error}"
