"""`SimulatedMarket`: bars, daily bars and option chains of any day, alone and in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import ALWAYS_OPEN
from argus_core.market.schemas import RawBars, conform, empty
from argus_core.market.simulation import bitcoin, faults, intraday
from argus_core.market.simulation.parameters import BITCOIN, MINUTES, SYMBOLS, VARIANCE, SymbolModel, session_profiles
from argus_core.market.simulation.random import normals, stream_key, uniforms
from argus_core.market.simulation.snapshots import ChainSnapshots
from argus_core.market.simulation.state import (
    FULL_SESSION,
    DailyPath,
    MarketPath,
    Sessions,
    market_path,
    model_of,
    reference_weights,
    symbol_path,
)
from argus_core.settings import Instrument, SettingsError, SimulationSettings

_MINUTE_US = 60_000_000


class SimulatedMarket:
    """A calibrated market without keys, network or data.

    Every frame is a function of (settings, calendar, symbol, day): the same call gives the same bytes, whichever
    days were asked for before. Paths over all sessions are drawn once per symbol and kept; minutes are drawn on demand.

    Args:
        settings: seed, mode, planted edges, faults, first date.
        calendar: its sessions from ``settings.first_date`` on are simulated.
        instruments: what `bars` may be asked for, by symbol.
    """

    def __init__(
        self, settings: SimulationSettings, calendar: TradingCalendar, instruments: Mapping[str, Instrument]
    ) -> None:
        self.settings = settings
        self.calendar = calendar
        self.instruments = dict(instruments)
        self._paths: dict[str, DailyPath] = {}
        self._coins: dict[str, bitcoin.CryptoPath] = {}
        self._activity: dict[int, intraday.Activity] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that can be asked for, sorted."""
        return tuple(sorted(self.instruments))

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions.of(self.calendar, self.settings)

    @cached_property
    def market(self) -> MarketPath:
        """SPY's daily path with the variance and IV state."""
        return market_path(self.settings, self.sessions)

    @cached_property
    def _chains(self) -> ChainSnapshots:
        return ChainSnapshots(self.settings, self.calendar, self.sessions, self.market, self._session_minutes)

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {int(o): i for i, o in enumerate(self.sessions.ordinals)}

    def daily_state(self) -> pl.DataFrame:
        """State behind SPY, one row per session: date, session_variance, gap_variance, iv30 (after the session)."""
        epoch = date(1970, 1, 1).toordinal()
        iv = np.exp(self.market.iv_after)
        if self.settings.mode == "null":
            iv = np.array([self._chains.fair_iv30(i) for i in range(len(iv))])
        return pl.DataFrame(
            {
                "date": pl.Series((self.sessions.ordinals - epoch).astype(np.int32)).cast(pl.Date),
                "session_variance": self.market.variance,
                "gap_variance": self.market.gap_variance,
                "iv30": iv,
            }
        ).with_columns(iv30=pl.col("iv30") + self.settings.planted.volatility_premium)

    def bars(self, symbol: str, day: date) -> pl.DataFrame:
        """Bars (`RawBars`) of one trade date: minutes, or one daily bar where ``bar_seconds`` is a day.

        Raises:
            SettingsError: for an unknown symbol, extended hours, or a day that is not simulated.
        """
        instrument = self._instrument(symbol)
        source = self._duplicated_from(symbol, day)
        frame = self._clean_bars(instrument, source)
        if source != day:
            shift = self.sessions.opens[self._row(day)] - self.sessions.opens[self._row(source)]
            frame = frame.with_columns(ts=pl.col("ts") + pl.duration(microseconds=int(shift)))
        if instrument.bar_seconds >= 86_400:
            return (
                frame if day not in self.settings.faults.missing_session or not self._struck(symbol) else frame.clear()
            )
        return faults.damage_bars(frame, self.settings.faults, symbol, day, self.settings.seed)

    def daily_bars(self, symbols: Sequence[str], day: date) -> pl.DataFrame:
        """One daily bar (`RawBars`, ``bar_seconds`` 86400) per symbol, stamped at the session's open, sorted by symbol.

        Symbols with minutes are aggregated from them, so both agree.
        """
        lost = day in self.settings.faults.missing_session
        wanted = [s for s in sorted(symbols) if not (lost and self._struck(s))]
        frames = [self._daily_bar(self._instrument(symbol), day) for symbol in wanted]
        return pl.concat(frames) if frames else empty(RawBars)

    def option_quotes(self, underlying: str, day: date) -> pl.DataFrame:
        """Chain snapshots (`OptionQuotes`) of one trade date, sorted by ts, expiry, strike, right.

        Raises:
            SettingsError: for an unknown or crypto underlying, or a day that is not simulated.
        """
        instrument = self._instrument(underlying)
        if instrument.is_crypto or self.calendar.name == ALWAYS_OPEN:
            raise SettingsError(
                f"no option chain for {underlying} in the simulated market. Set `options: false` in "
                "config/universe.yaml or use an ETF on an exchange calendar."
            )
        quotes = self._chains.quotes(instrument, day)
        return faults.damage_quotes(quotes, self.settings.faults, underlying, day, self.settings.seed)

    # -- state ---------------------------------------------------------------------------------------------------------

    def _instrument(self, symbol: str) -> Instrument:
        try:
            instrument = self.instruments[symbol]
        except KeyError:
            known = ", ".join(self.symbols)
            raise SettingsError(f"simulated market: no instrument {symbol!r}. Known: {known}.") from None
        if instrument.hours == "extended":
            raise SettingsError(
                f"{symbol}: the simulated market has regular hours only. Set `hours: rth` in config/universe.yaml."
            )
        return instrument

    def _row(self, day: date) -> int:
        try:
            return self._rows[day.toordinal()]
        except KeyError:
            raise SettingsError(
                f"{day} is no simulated session: not a session of {self.calendar.name}, or before "
                f"providers.simulation.first_date = {self.settings.first_date}."
            ) from None

    def _struck(self, symbol: str) -> bool:
        return symbol == self.settings.faults.symbol

    def _duplicated_from(self, symbol: str, day: date) -> date:
        if not self._struck(symbol) or not self.settings.faults.duplicated_under_next_date:
            return day
        row = self._row(day)
        before = date.fromordinal(int(self.sessions.ordinals[row - 1])) if row else day
        return before if before in self.settings.faults.duplicated_under_next_date else day

    def _model(self, instrument: Instrument) -> SymbolModel:
        return model_of(instrument, self.settings.seed)

    def _coin(self, instrument: Instrument) -> bitcoin.CryptoPath:
        if instrument.symbol not in self._coins:
            self._coins[instrument.symbol] = bitcoin.crypto_path(
                self.settings, self.sessions, self.market, instrument.symbol, self._model(instrument)
            )
        return self._coins[instrument.symbol]

    @cached_property
    def _bitcoin(self) -> bitcoin.CryptoPath:
        if "BTC" not in self._coins:
            self._coins["BTC"] = bitcoin.crypto_path(self.settings, self.sessions, self.market, "BTC", SYMBOLS["BTC"])
        return self._coins["BTC"]

    def path(self, symbol: str) -> DailyPath:
        """The daily path of a session symbol (log opens and closes before rounding, variances, shocks)."""
        if symbol == "SPY":
            return self.market
        if symbol not in self._paths:
            instrument = self._instrument(symbol)
            model = self._model(instrument)
            if symbol == "IBIT":
                self._paths[symbol] = bitcoin.holder_path(self.settings, self.sessions, self._bitcoin, model)
            else:
                self._paths[symbol] = symbol_path(self.settings, self.sessions, self.market, symbol, model)
        return self._paths[symbol]

    # -- minutes -------------------------------------------------------------------------------------------------------

    def _market_activity(self, row: int) -> intraday.Activity:
        day = int(self.sessions.ordinals[row])
        if day not in self._activity:
            self._activity = {day: intraday.activity(self.settings.seed, "SPY", day, int(self.sessions.minutes[row]))}
        return self._activity[day]

    def _session_minutes(self, instrument: Instrument, row: int) -> intraday.MinutePath:
        """Minutes of a session instrument."""
        symbol, day = instrument.symbol, int(self.sessions.ordinals[row])
        path, shared = self.path(symbol), self._market_activity(row)
        count = int(self.sessions.minutes[row])
        log_open = float(path.log_open[row])
        if symbol == "IBIT":
            coin = self._coin_segment(SYMBOLS["BTC"], "BTC", self._bitcoin, row, night=False)
            noise = intraday.bridge(
                log_open,
                normals(stream_key(self.settings.seed, symbol, "minutes"), day, count),
                np.ones(count),
                float(path.variance[row]),
                float(path.shock[row]),
                float(path.drift[row]),
                path.jumps[row],
                np.zeros(1),
            )
            return intraday.MinutePath(log_open, coin.returns + noise.returns, coin.variances + noise.variances)
        rho = 1.0 if symbol == "SPY" else reference_weights(symbol, self._model(instrument))["SPY"]
        shocks = shared.shocks
        if symbol != "SPY":
            own = normals(stream_key(self.settings.seed, symbol, "minutes"), day, count)
            shocks = rho * shocks + math.sqrt(1.0 - rho**2) * own
        return intraday.bridge(
            log_open,
            shocks,
            session_profiles(symbol, count)[0] * shared.multipliers,
            float(path.variance[row]),
            float(path.shock[row]),
            float(path.drift[row]),
            path.jumps[row],
            uniforms(stream_key(self.settings.seed, "SPY", "jump-places"), day, path.jumps.shape[1]),
        )

    def _coin_segment(
        self, model: SymbolModel, symbol: str, coin: bitcoin.CryptoPath, row: int, *, night: bool
    ) -> intraday.MinutePath:
        begin, end = (
            (self.sessions.previous_close[row], self.sessions.opens[row])
            if night
            else (self.sessions.opens[row], self.sessions.closes[row])
        )
        segment = coin.overnight if night else coin.session
        starts = np.arange(begin, end, _MINUTE_US)
        day, seed = int(self.sessions.ordinals[row]), self.settings.seed
        part = "night" if night else "day"
        own = intraday.activity(seed, f"{symbol}-{part}", day, len(starts))
        shocks = own.shocks
        if not night and len(starts) == len(self._market_activity(row).shocks):
            rho = BITCOIN.session_correlation
            shocks = rho * self._market_activity(row).shocks + math.sqrt(1.0 - rho**2) * shocks
        places = uniforms(stream_key(seed, symbol, f"jump-places-{part}"), day, segment.jumps.shape[1])
        return intraday.bridge(
            float(segment.log_open[row]),
            shocks,
            bitcoin.minute_variance(coin, starts) * own.multipliers,
            float(segment.variance[row]),
            float(segment.shock[row]),
            float(segment.drift[row]),
            segment.jumps[row],
            places,
        )

    def _clean_bars(self, instrument: Instrument, day: date) -> pl.DataFrame:
        if instrument.bar_seconds >= 86_400:
            return self._daily_bar(instrument, day)
        minutes = self._minute_frame(instrument, day)
        if instrument.bar_seconds == 60:
            return minutes
        return intraday.longer(minutes, instrument.bar_seconds)

    def _minute_frame(self, instrument: Instrument, day: date) -> pl.DataFrame:
        symbol, seed, row = instrument.symbol, self.settings.seed, self._row(day)
        ordinal = day.toordinal()
        model = self._model(instrument)
        level = 0.0
        if instrument.hours == "always":
            coin = self._coin(instrument)
            night = self._coin_segment(model, symbol, coin, row, night=True)
            session = self._coin_segment(model, symbol, coin, row, night=False)
            path = intraday.MinutePath(
                night.log_open,
                np.concatenate([night.returns, session.returns]),
                np.concatenate([night.variances, session.variances]),
            )
            starts = np.arange(self.sessions.previous_close[row], self.sessions.closes[row], _MINUTE_US)
            usual = bitcoin.minute_variance(coin, starts)
            expected = bitcoin.minute_volume(starts, model.day_volume)
            lot = instrument.lot
        else:
            path = self._session_minutes(instrument, row)
            count = len(path.returns)
            starts = self.sessions.opens[row] + _MINUTE_US * np.arange(count)
            variance_share, volume_share = session_profiles(symbol, count)
            usual = path.variances.sum() * variance_share
            expected = (
                model.day_volume * volume_share * count / FULL_SESSION
                if count < FULL_SESSION
                else (model.day_volume * volume_share)
            )
            level = float(np.log(self.market.variance[row]) - VARIANCE.level)
            lot = 1.0
        z = float(normals(stream_key(seed, symbol, "day-volume"), ordinal, 1)[0])
        day_scale = math.exp(MINUTES.day_volume_spread * z + MINUTES.day_volume_on_variance * level)
        factor = faults.split_factor(self.settings.faults, symbol, day)
        path = intraday.MinutePath(path.log_open - math.log(factor), path.returns, path.variances)
        prices = intraday.ohlc(path, seed, symbol, ordinal, instrument.tick)
        volume = intraday.volumes(path, expected * day_scale * factor, usual, seed, symbol, ordinal, lot)
        bid, ask = intraday.quotes(prices["close"], instrument.spread_bps, instrument.tick, seed, symbol, ordinal)
        return self._frame(instrument, 60, starts, {**prices, "volume": volume, "bid": bid, "ask": ask})

    def _frame(
        self, instrument: Instrument, seconds: int, starts: np.ndarray, columns: dict[str, np.ndarray]
    ) -> pl.DataFrame:
        scope = {"crypto": "exchange", "fx": "none"}.get(instrument.asset_class, "sip")
        frame = pl.DataFrame({"ts": starts, **columns}).with_columns(
            ts=pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            provider=pl.lit("sim"),
            symbol=pl.lit(instrument.symbol),
            bar_seconds=pl.lit(seconds, pl.Int32),
            volume_scope=pl.lit(scope),
        )
        return conform(frame, RawBars)

    # -- days ----------------------------------------------------------------------------------------------------------

    def _daily_bar(self, instrument: Instrument, day: date) -> pl.DataFrame:
        symbol, row = instrument.symbol, self._row(day)
        model = self._model(instrument)
        start = self.sessions.opens[row : row + 1]
        if instrument.hours == "always" or instrument.bar_seconds < 86_400 or model.family == "equity":
            minutes = self._minute_frame(instrument, day)
            columns = {
                "open": minutes["open"][:1].to_numpy(),
                "high": np.array([minutes["high"].max()]),
                "low": np.array([minutes["low"].min()]),
                "close": minutes["close"][-1:].to_numpy(),
                "volume": np.array([minutes["volume"].sum()]),
            }
        else:
            path, ordinal = self.path(symbol), day.toordinal()
            factor = math.log(faults.split_factor(self.settings.faults, symbol, day))
            whole = intraday.MinutePath(
                float(path.log_open[row]) - factor,
                (path.log_close - path.log_open)[row : row + 1],
                path.variance[row : row + 1],
            )
            columns = intraday.ohlc(whole, self.settings.seed, symbol, ordinal, instrument.tick)
            z = normals(stream_key(self.settings.seed, symbol, "day-volume"), ordinal, 1)
            columns["volume"] = np.rint(model.day_volume * np.exp(MINUTES.day_volume_spread * z))
        off = faults.wrong_close(self.settings.faults, symbol, day)
        if off != 1.0:
            columns["close"] = intraday.to_grid(columns["close"] * off, instrument.tick)
            columns["high"] = np.maximum(columns["high"], columns["close"])
        return self._frame(instrument, 86_400, start, columns)
