"""`SimulatedMarket`: bars, daily bars and option chains of any day, alone and in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cached_property

import numpy as np
import polars as pl

from argus_core.calendar import TradingCalendar
from argus_core.calendar.trading import ALWAYS_OPEN, NEW_YORK, to_us
from argus_core.market.schemas import OptionQuotes, RawBars, conform, empty
from argus_core.market.simulation import bitcoin, chains, faults, intraday, surface
from argus_core.market.simulation.parameters import (
    BITCOIN,
    MINUTES,
    QQQ_ENDS,
    QQQ_VARIANCE,
    QQQ_VOLUME,
    SPY_ENDS,
    SPY_VARIANCE,
    SPY_VOLUME,
    SYMBOLS,
    VARIANCE,
    SymbolModel,
    minute_profile,
)
from argus_core.market.simulation.random import normals, stream_key, uniforms
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
    def _rows(self) -> dict[int, int]:
        return {int(o): i for i, o in enumerate(self.sessions.ordinals)}

    def daily_state(self) -> pl.DataFrame:
        """State behind SPY, one row per session: date, session_variance, gap_variance, iv30 (after the session)."""
        epoch = date(1970, 1, 1).toordinal()
        iv = [self._iv30_null(i) for i in range(len(self.sessions.ordinals))] if self._null else None
        return pl.DataFrame(
            {
                "date": pl.Series((self.sessions.ordinals - epoch).astype(np.int32)).cast(pl.Date),
                "session_variance": self.market.variance,
                "gap_variance": self.market.gap_variance,
                "iv30": np.exp(self.market.iv_after) if iv is None else np.array(iv),
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
        frames = [self._daily_bar(self._instrument(symbol), day) for symbol in sorted(symbols)]
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
        row = self._row(day)
        path = self._session_minutes(instrument, row)
        log_price = np.concatenate([[path.log_open], path.log_open + np.cumsum(path.returns)])
        factor = faults.split_factor(self.settings.faults, underlying, day)
        expiries = chains.listed_expiries(self.calendar, day)
        closes = chains.expiry_closes(self.calendar, expiries)
        frames = []
        for text in sorted(self.settings.option_snapshot_times):
            hour, minute_of_hour = (int(part) for part in text.split(":"))
            moment = datetime(day.year, day.month, day.day, hour, minute_of_hour, tzinfo=NEW_YORK)
            ts = to_us(moment)
            minute = int((ts - self.sessions.opens[row]) // _MINUTE_US)
            if not 0 <= minute < self.sessions.minutes[row]:
                continue
            forward = float(intraday.to_grid(np.exp(log_price[minute : minute + 1]) / factor, instrument.tick)[0])
            frames.append(
                self._snapshot(instrument, day, row, ts, minute, forward, log_price[minute], expiries, closes)
            )
        if not frames:
            return empty(OptionQuotes)
        quotes = pl.concat(frames)
        return faults.damage_quotes(quotes, self.settings.faults, underlying, day, self.settings.seed)

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def _null(self) -> bool:
        return self.settings.mode == "null"

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

    def _profiles(self, symbol: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        variance, volume, ends = (
            (QQQ_VARIANCE, QQQ_VOLUME, QQQ_ENDS) if symbol == "QQQ" else (SPY_VARIANCE, SPY_VOLUME, SPY_ENDS)
        )
        return minute_profile(variance, *ends[0], count), minute_profile(volume, *ends[1], count)

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
            self._profiles(symbol, count)[0] * shared.multipliers,
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
        return _longer(minutes, instrument.bar_seconds)

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
            variance_share, volume_share = self._profiles(symbol, count)
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
        frame = pl.DataFrame({"ts": starts, **columns}).with_columns(
            ts=pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            provider=pl.lit("sim"),
            symbol=pl.lit(instrument.symbol),
            bar_seconds=pl.lit(seconds, pl.Int32),
            volume_scope=pl.lit("exchange" if instrument.is_crypto else "none" if seconds < 0 else "sip"),
        )
        return conform(frame, RawBars)

    # -- days ----------------------------------------------------------------------------------------------------------

    def _daily_bar(self, instrument: Instrument, day: date) -> pl.DataFrame:
        symbol, row = instrument.symbol, self._row(day)
        model = self._model(instrument)
        start = self.sessions.opens[row : row + 1]
        if instrument.hours == "always" or model.family == "equity":
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

    # -- options -------------------------------------------------------------------------------------------------------

    @cached_property
    def _fair(self) -> surface.FairVariance:
        return surface.FairVariance(self.sessions, self.market)

    def _iv30_null(self, row: int) -> float:
        """Square root of the expected annual variance of the next 21 sessions."""
        count = min(22, len(self.sessions.ordinals) - row)
        return math.sqrt(float(self._fair.until(row, 1.0, count)[0][-1]) * 252.0 / max(count - 1, 1))

    def _log_iv(self, symbol: str, row: int, minute: int, log_price: float) -> float:
        """Log IV30 of SPY in the calibrated market at ``minute``: moves with SPY's return so far and on its own."""
        market, day = self.market, int(self.sessions.ordinals[row])
        count = int(self.sessions.minutes[row])
        elapsed = float(self._profiles("SPY", count)[0][:minute].sum())
        if symbol != "SPY":
            shared = self._session_minutes(self.instruments.get("SPY") or _spy(), row)
            log_price = shared.log_open + float(shared.returns[:minute].sum())
        mean, before = VARIANCE.iv_mean, float(market.iv_before[row])
        last_close = float(market.log_close[row - 1]) if row else float(market.log_open[row])
        total = math.sqrt(float(market.gap_variance[row] / market.gap_mix[row] + market.variance[row]))
        steps = normals(stream_key(self.settings.seed, "SPY", "iv-path"), day, count)
        walk = np.concatenate([[0.0], np.cumsum(steps)]) / math.sqrt(count)
        scale = float(market.iv_scale[row])
        own_sd = scale * math.sqrt(1.0 - VARIANCE.leverage**2)
        passed = minute / count
        own = passed * float(market.iv_own_shock[row]) + own_sd * (walk[minute] - passed * walk[-1])
        revert = (VARIANCE.iv_persistence - 1.0) * elapsed * (before - mean)
        return before + revert - scale * VARIANCE.leverage * (log_price - last_close) / total + own

    def _snapshot(
        self,
        instrument: Instrument,
        day: date,
        row: int,
        ts: int,
        minute: int,
        forward: float,
        log_price: float,
        expiries: list[date],
        closes: np.ndarray,
    ) -> pl.DataFrame:
        symbol = instrument.symbol
        years = np.maximum(closes - ts, _MINUTE_US) / (365.0 * 86_400_000_000)
        scale = 1.0 if symbol == "SPY" else self._model(instrument).volatility
        premium = self.settings.planted.volatility_premium
        if self._null:
            count = int(self.sessions.minutes[row])
            elapsed = float(self._profiles("SPY", count)[0][:minute].sum())
            ahead = np.array([self._rows[e.toordinal()] - row for e in expiries])
            mean, spread = self._fair.until(row, elapsed, int(ahead.max()) + 1)
            variance, spread = mean[ahead] * scale**2, spread[ahead]
            atm = np.sqrt(variance / years) + premium
        else:
            iv30 = math.exp(self._log_iv(symbol, row, minute, log_price)) * scale + premium
            atm = surface.atm_volatility(iv30, years * 365.0)
        moment = chains.Moment(ts, forward, expiries, closes, atm)
        strikes, owner = chains.listed_strikes(moment)
        if self._null:
            total = np.sqrt(variance)[owner]
            call = surface.mixture_call(forward, strikes, variance[owner], spread[owner])
            deviation = surface.implied_deviation(forward, strikes, call, total)
            volatility = deviation / np.sqrt(years[owner]) + premium
        else:
            volatility = surface.smile_volatility(atm[owner], np.log(strikes / forward), years[owner])
        return chains.quote_chain(
            symbol,
            day,
            moment,
            strikes,
            owner,
            volatility,
            seed=self.settings.seed,
            minute=minute,
            session_minutes=int(self.sessions.minutes[row]),
            lag_seconds=self.settings.option_lag_seconds,
        )


def _spy() -> Instrument:
    return Instrument(symbol="SPY", asset_class="etf")


def _longer(minutes: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Bars of ``seconds`` from minutes, counted from the first minute; a bar never spans sessions."""
    per_bar = seconds // 60
    grouped = (
        minutes.with_columns(group=pl.int_range(pl.len()) // per_bar)
        .group_by("group", maintain_order=True)
        .agg(
            pl.col("provider", "symbol", "ts", "open", "volume_scope").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close", "bid", "ask").last(),
            pl.col("volume").sum(),
            pl.len().alias("count"),
        )
    )
    # The calendar offers only whole bars.
    grouped = grouped.filter(pl.col("count") == per_bar).with_columns(bar_seconds=pl.lit(seconds, pl.Int32))
    return conform(grouped, RawBars)
