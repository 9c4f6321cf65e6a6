"""Chain snapshots of the simulated market: the state at a moment, the surface it implies, the quotes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from functools import cached_property

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import NEW_YORK, to_us
from argus_core.market.schemas import OptionQuotes, empty
from argus_core.market.simulation import chains, faults, intraday, surface
from argus_core.market.simulation.parameters import VARIANCE, session_profiles
from argus_core.market.simulation.random import normals, stream_key
from argus_core.market.simulation.state import MarketPath, Sessions, model_of
from argus_core.settings import Instrument, SimulationSettings

_MINUTE_US = 60_000_000


class ChainSnapshots:
    """Draws the chains of one simulated market.

    Args:
        settings: mode, planted premium, snapshot times, lag, faults.
        calendar: lists expiries.
        sessions: the simulated sessions.
        market: SPY's path with the IV state.
        minutes: minutes of a symbol on a session (row of ``sessions``); asked for "SPY" and for the underlying.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        calendar: TradingCalendar,
        sessions: Sessions,
        market: MarketPath,
        minutes: Callable[[Instrument, int], intraday.MinutePath],
    ) -> None:
        self._settings, self._calendar = settings, calendar
        self._sessions, self._market, self._minutes = sessions, market, minutes
        self._row_of = {int(o): i for i, o in enumerate(sessions.ordinals)}

    def quotes(self, instrument: Instrument, day: date) -> pl.DataFrame:
        """All snapshots of ``day`` (`OptionQuotes`), without faults other than a split's price level."""
        row = self._row_of[day.toordinal()]
        path = self._minutes(instrument, row)
        log_price = np.concatenate([[path.log_open], path.log_open + np.cumsum(path.returns)])
        factor = faults.split_factor(self._settings.faults, instrument.symbol, day)
        expiries = chains.listed_expiries(self._calendar, day)
        closes = chains.expiry_closes(self._calendar, expiries)
        frames = []
        for text in sorted(set(self._settings.option_snapshot_times)):
            hour, minute_of_hour = (int(part) for part in text.split(":"))
            ts = to_us(datetime(day.year, day.month, day.day, hour, minute_of_hour, tzinfo=NEW_YORK))
            minute = int((ts - self._sessions.opens[row]) // _MINUTE_US)
            if 0 <= minute < self._sessions.minutes[row]:
                price = np.exp(log_price[minute : minute + 1]) / factor
                forward = float(intraday.to_grid(price, instrument.tick)[0])
                frames.append(self._snapshot(instrument, day, minute, chains.Moment(ts, forward, expiries, closes)))
        return pl.concat(frames) if frames else empty(OptionQuotes)

    def _snapshot(self, instrument: Instrument, day: date, minute: int, moment: chains.Moment) -> pl.DataFrame:
        row, symbol = self._row_of[day.toordinal()], instrument.symbol
        years = moment.years
        scale = 1.0 if symbol == "SPY" else model_of(instrument, self._settings.seed).volatility
        premium = self._settings.planted.volatility_premium
        if self._settings.mode == "null":
            ahead = np.array([self._row_of[e.toordinal()] - row for e in moment.expiries])
            mean, spread = self._fair.until(row, self._elapsed(row, minute), int(ahead.max()) + 1)
            variance, spread = mean[ahead] * scale**2, spread[ahead]
            strikes, owner = chains.listed_strikes(moment, np.sqrt(variance / years) + premium)
            call = surface.mixture_call(moment.forward, strikes, variance[owner], spread[owner])
            start = np.sqrt(variance)[owner]
            deviation = surface.implied_deviation(moment.forward, strikes, call, start)
            volatility = deviation / np.sqrt(years[owner]) + premium
        else:
            iv30 = math.exp(self.log_iv(row, minute)) * scale + premium
            atm = surface.atm_volatility(iv30, years * 365.0)
            strikes, owner = chains.listed_strikes(moment, atm)
            volatility = surface.smile_volatility(atm[owner], np.log(strikes / moment.forward), years[owner])
        return chains.quote_chain(
            symbol,
            day,
            moment,
            strikes,
            owner,
            volatility,
            seed=self._settings.seed,
            minute=minute,
            session_minutes=int(self._sessions.minutes[row]),
            lag_seconds=self._settings.option_lag_seconds,
        )

    @cached_property
    def _fair(self) -> surface.FairVariance:
        return surface.FairVariance(self._sessions, self._market)

    def fair_iv30(self, row: int) -> float:
        """After session ``row``, in null mode: square root of the expected annual variance of the next 21 sessions."""
        count = min(22, len(self._sessions.ordinals) - row)
        return math.sqrt(float(self._fair.until(row, 1.0, count)[0][-1]) * 252.0 / max(count - 1, 1))

    def _elapsed(self, row: int, minute: int) -> float:
        return float(session_profiles("SPY", int(self._sessions.minutes[row]))[0][:minute].sum())

    def log_iv(self, row: int, minute: int) -> float:
        """Log IV30 of SPY in the calibrated market after ``minute`` minutes of session ``row``.

        It has moved against SPY's return so far; its own shock is a Brownian bridge onto the session's, so that a
        snapshot knows nothing of the next.
        """
        market, day = self._market, int(self._sessions.ordinals[row])
        count = int(self._sessions.minutes[row])
        spy = self._minutes(Instrument(symbol="SPY", asset_class="etf"), row)
        last_close = float(market.log_close[row - 1]) if row else float(market.log_open[row])
        move = spy.log_open + float(spy.returns[:minute].sum()) - last_close
        total = math.sqrt(float(market.gap_variance[row] / market.gap_mix[row] + market.variance[row]))
        steps = normals(stream_key(self._settings.seed, "SPY", "iv-path"), day, count)
        walk = np.concatenate([[0.0], np.cumsum(steps)]) / math.sqrt(count)
        scale, passed = float(market.iv_scale[row]), minute / count
        bridge = scale * math.sqrt(1.0 - VARIANCE.leverage**2) * (walk[minute] - passed * walk[-1])
        own = passed * float(market.iv_own_shock[row]) + bridge
        before = float(market.iv_before[row])
        revert = (VARIANCE.iv_persistence - 1.0) * self._elapsed(row, minute) * (before - VARIANCE.iv_mean)
        return before + revert - scale * VARIANCE.leverage * move / total + own
