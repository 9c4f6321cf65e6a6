"""Full repricing of a book under shocks: Black on a smile or on each leg's volatility, or Heston."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.options.black import black_price
from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.scenarios.book import Book
from argus_core.options.scenarios.shocks import REFERENCE_YEARS, Shock
from argus_core.settings.option_scenarios import OptionScenarioSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
#: (ln(K/F), years) -> implied volatility, arrays of one shape: `Surface.iv` is one.
Smile = Callable[[Floats, Floats], Floats]

_DAYS = 365.0


@dataclass(frozen=True)
class ScenarioProfit:
    """Profit of P positions under H shocks, from today's model value to that at the horizon; arrays (H, P).

    Attributes:
        pnl: dollars; NaN where a position has a reason or a leg no volatility.
        capped: the model's value lay outside what the legs can be worth and was set to that limit: a short spread
            loses its width at most.
        early_assignment: a short leg is in the money with (almost) no time value left: who holds it will exercise.
            The pnl does not contain what assignment costs.
        pin: a short leg ends near its strike: the position after expiry is a matter of chance.
        settled: an option has expired before the horizon; it counts with its intrinsic value at the horizon's spot.
    """

    shocks: tuple[Shock, ...]
    pnl: Floats
    capped: Flags
    early_assignment: Flags
    pin: Flags
    settled: Flags
    reasons: tuple[str | None, ...]

    @property
    def book_pnl(self) -> Floats:
        """Dollars of all positions that have a number, (H,)."""
        return np.nansum(self.pnl, axis=1)

    @property
    def worst(self) -> Shock:
        """The shock in which the book loses most."""
        return self.shocks[int(np.argmin(self.book_pnl))]

    def frame(self) -> pl.DataFrame:
        """One row per shock and position."""
        count = self.pnl.shape[1]

        def of_shock(name: str) -> Floats:
            return np.repeat([getattr(shock, name) for shock in self.shocks], count)

        return pl.DataFrame(
            {
                "scenario": [shock.name for shock in self.shocks for _ in range(count)],
                "position": np.tile(np.arange(count), len(self.shocks)),
                "spot_move": of_shock("move"),
                "vol": of_shock("vol"),
                "vol_ratio": of_shock("vol_ratio"),
                "days": of_shock("days"),
                "pnl": self.pnl.ravel(),
                "capped": self.capped.ravel(),
                "early_assignment": self.early_assignment.ravel(),
                "pin": self.pin.ravel(),
                "settled": self.settled.ravel(),
                "reason": list(self.reasons) * len(self.shocks),
            },
            schema_overrides={"scenario": pl.String, "reason": pl.String},
        ).with_columns(pl.col("pnl").fill_nan(None))


def reprice(
    book: Book,
    shocks: Sequence[Shock],
    settings: OptionScenarioSettings,
    *,
    smile: Smile | None = None,
    heston: HestonParameters | None = None,
) -> ScenarioProfit:
    """Profit of every position under every shock.

    Args:
        smile: volatilities by log-moneyness and time, used at every shocked state; without it each leg keeps its own
            volatility (sticky strike), then shocked.
        heston: prices instead of Black; ``vol`` and ``vol_ratio`` then move sqrt(v0), and ``skew`` is not used.

    Raises:
        ValueError: if both a smile and Heston parameters are given.
    """
    if smile is not None and heston is not None:
        raise ValueError("smile and heston: give one of them, they price the same legs.")
    listed = tuple(shocks)
    move, days = (np.array([getattr(s, name) for s in listed], dtype=np.float64)[:, None] for name in ("move", "days"))
    spot = np.broadcast_to(book.spot * (1.0 + move), (len(listed), len(book.owner)))
    left = book.years - days / _DAYS
    alive = left > 0
    share = np.where(alive, left, 0.0) / book.years
    # What carry and interest remain: the forward starts from the new spot.
    forward = spot * (book.forward / book.spot) ** share
    discount = book.discount**share
    intrinsic = np.maximum(np.where(book.call, 1.0, -1.0) * (spot - book.strike), 0.0)
    now, then = _prices(book, listed, forward, np.where(alive, left, 1.0), discount, settings, smile, heston)
    price = np.where(alive, then, intrinsic)
    worth = book.summed(book.size * price)
    limited = np.clip(worth, book.floor, book.ceiling)
    capped = np.abs(limited - worth) > 1e-9 * (1.0 + np.abs(worth))
    pnl = limited - book.summed(book.size * now) + book.shares * book.spot * move
    short = book.size < 0
    time_value = price - intrinsic
    assigned = short & alive & (intrinsic > 0) & (time_value <= settings.assignment_time_value * spot)
    pinned = short & (left <= settings.pin_days / _DAYS) & (np.abs(spot / book.strike - 1.0) <= settings.pin_band)
    return ScenarioProfit(
        listed, pnl, capped, book.any_of(assigned), book.any_of(pinned), book.any_of(~alive), book.reasons
    )


def _prices(
    book: Book,
    shocks: tuple[Shock, ...],
    forward: Floats,
    years: Floats,
    discount: Floats,
    settings: OptionScenarioSettings,
    smile: Smile | None,
    heston: HestonParameters | None,
) -> tuple[Floats, Floats]:
    """(today's prices (L,), prices under each shock (H, L)), discounted."""
    k, k_now = np.log(book.strike / forward), np.log(book.strike / book.forward)
    if heston is not None and len(book.owner):
        volatility = math.sqrt(heston.v0)
        today = _heston(book, heston, volatility, k_now[None], book.years)[0] * book.forward * book.discount
        # One table serves all shocks with the same variance and time.
        states = [(max(volatility * s.vol_ratio + s.vol, settings.min_vol), s.days) for s in shocks]
        found = np.empty(k.shape)
        for state in dict.fromkeys(states):
            rows = [i for i, other in enumerate(states) if other == state]
            found[rows] = _heston(book, heston, state[0], k[rows], years[rows[0]])
        return today, found * forward * discount
    if smile is None:
        base_now, base = book.vol, np.broadcast_to(book.vol, k.shape)
    else:
        base_now, base = smile(k_now, book.years), smile(k, years)
    columns = ("vol", "vol_ratio", "skew", "term_exponent")
    vol, ratio, skew, exponent = (np.array([getattr(s, n) for s in shocks])[:, None] for n in columns)
    scale = np.minimum((REFERENCE_YEARS / years) ** exponent, settings.largest_term_scale)
    tilt = skew * np.minimum(np.sqrt(REFERENCE_YEARS / years), settings.largest_term_scale) * k
    shocked = np.maximum(base * (1.0 + (ratio - 1.0) * scale) + vol * scale + tilt, settings.min_vol)
    today = black_price(book.forward, book.strike, book.years, base_now, book.call, book.discount)
    return today, black_price(forward, book.strike, years, shocked, book.call, discount)


def _heston(book: Book, parameters: HestonParameters, volatility: float, k: Floats, years: Floats) -> Floats:
    """Undiscounted price / F of every leg, (R, L), at ln(K/F) of R shocks of the same variance and time."""
    found = np.empty(k.shape)
    times, row = np.unique(years, return_inverse=True)
    table = heston_table(parameters._replace(v0=volatility**2), times)
    most = int(np.bincount(row).max())
    grid, call = np.zeros((len(times), k.shape[0] * most)), np.zeros((len(times), k.shape[0] * most), dtype=bool)
    legs = [np.flatnonzero(row == i) for i in range(len(times))]
    for i, here in enumerate(legs):
        grid[i, : k.shape[0] * len(here)] = k[:, here].ravel()
        call[i, : k.shape[0] * len(here)] = np.tile(book.call[here], k.shape[0])
    prices = table.prices(grid, call)
    for i, here in enumerate(legs):
        found[:, here] = prices[i, : k.shape[0] * len(here)].reshape(k.shape[0], len(here))
    return found
