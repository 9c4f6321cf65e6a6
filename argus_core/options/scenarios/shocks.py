"""Shocks of spot, volatility and time: a grid, replays of past days, gaps on top."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from argus_core.settings.option_scenarios import OptionScenarioSettings

#: Time to expiry, in years, at which a shock of volatility has its stated size.
REFERENCE_YEARS = 30.0 / 365.0


@dataclass(frozen=True)
class Shock:
    """What changes between now and the horizon. The smile moves with the forward (sticky moneyness).

    Attributes:
        spot: return of the spot over the horizon.
        vol: added to every volatility.
        vol_ratio: multiplies every volatility, before ``vol`` is added.
        skew: added to d iv / d ln(K/F) at 30 days; at time T it is divided by sqrt(T / 30 days).
        term_exponent: ``vol`` and ``vol_ratio`` - 1 are scaled by (30 days / T)^exponent.
        days: calendar days that pass.
        gap: further return of the spot, a jump at the horizon.
    """

    name: str
    spot: float = 0.0
    vol: float = 0.0
    vol_ratio: float = 1.0
    skew: float = 0.0
    term_exponent: float = 0.0
    days: float = 0.0
    gap: float = 0.0

    def __post_init__(self) -> None:
        if not (self.spot > -1 and self.gap > -1):
            raise ValueError(f"shock {self.name!r}: spot = {self.spot}, gap = {self.gap}: returns must be above -1.")
        if self.days < 0 or self.vol_ratio < 0:
            raise ValueError(f"shock {self.name!r}: days = {self.days}, vol_ratio = {self.vol_ratio}: not below 0.")

    @property
    def move(self) -> float:
        """Return of the spot with its gap."""
        return (1.0 + self.spot) * (1.0 + self.gap) - 1.0


#: Closes of the S&P 500 and the VIX before and after. Index options at 30 days; nearer expiries moved more.
REPLAYS: tuple[Shock, ...] = (
    Shock("2018-02-05 (VIX 17.3 to 37.3)", 2648.94 / 2762.13 - 1, vol_ratio=37.3 / 17.3, term_exponent=0.5, days=3),
    Shock("2020-03-16 (VIX 57.8 to 82.7)", 2386.13 / 2711.02 - 1, vol_ratio=82.7 / 57.8, term_exponent=0.5, days=3),
    Shock("2024-08-05 (VIX 23.4 to 38.6)", 5186.33 / 5346.56 - 1, vol_ratio=38.6 / 23.4, term_exponent=0.5, days=3),
    Shock("2024-08-05 low (VIX 23.4 to 65.7)", 5119.26 / 5346.56 - 1, vol_ratio=65.7 / 23.4, term_exponent=0.5, days=3),
    Shock("2025-04-04 (VIX 21.5 to 45.3)", 5074.08 / 5670.97 - 1, vol_ratio=45.3 / 21.5, term_exponent=0.5, days=2),
)


def shock_grid(settings: OptionScenarioSettings) -> tuple[Shock, ...]:
    """Every combination of the settings' moves, then the replays, then all of them with each gap."""
    grid = [
        Shock(_name(spot, vol, skew, term, days), spot, vol, 1.0, skew, term, days)
        for days, term, skew, vol, spot in product(
            settings.days, settings.term_exponents, settings.skew_steepenings, settings.vol_shifts, settings.spot_moves
        )
        # A term exponent says nothing where no volatility moves.
        if vol or term == settings.term_exponents[0]
    ]
    plain = (*grid, *(REPLAYS if settings.replays else ()))
    return (*plain, *with_gaps(plain, settings.gaps))


def with_gaps(shocks: Iterable[Shock], gaps: Sequence[float]) -> tuple[Shock, ...]:
    """Every shock followed by every gap: over a day a diffusion has almost none, so gaps are laid on top."""
    listed = tuple(shocks)
    return tuple(replace(one, name=f"{one.name}, gap {gap:+.0%}", gap=gap) for gap in gaps for one in listed)


def _name(spot: float, vol: float, skew: float, term: float, days: float) -> str:
    parts = [f"spot {spot:+.0%}", f"vol {100 * vol:+.0f}"]
    if skew:
        parts.append(f"skew {skew:+.2f}")
    if term and vol:
        parts.append(f"term {term:g}")
    return ", ".join([*parts, f"{days:g} d"])
