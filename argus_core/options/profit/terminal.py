"""The law of a position's profit at expiry: probabilities, mean, quantiles and CVaR by interval sums, no simulation.

Profit at expiry is piecewise linear in the underlying (`argus_core.options.positions`), so an event like "profit above
zero" is a union of intervals: its probability is a sum of differences of the distribution function, and a mean over it
one of P(S <= K) and E[S; S <= K].

All numbers are about the amounts at expiry, in dollars: the price of the position is not accrued to expiry, and early
exercise, pin risk and interest on a credit are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from argus_core.options.positions import ExpiryProfit
from argus_core.options.profit.estimates import Estimate, Provenance
from argus_core.options.profit.laws import TerminalLaws

Floats = NDArray[np.float64]

_STEPS = 90
#: Names of the numbers, in the order of the columns.
NAMES = ("pop_terminal", "p_max_profit", "p_max_loss", "expected_pnl", "cvar_alpha")


@dataclass(frozen=True)
class TerminalProfit:
    """Numbers of P positions at expiry, arrays (P,); NaN where there is a reason.

    Attributes:
        pop_terminal: P(profit > 0).
        p_max_profit, p_max_loss: probability that the profit is the largest, the smallest there is; 0 where it is
            reached at one price only or unlimited.
        expected_pnl: mean profit in dollars.
        cvar_alpha: mean loss, positive, of the worst share 1 - ``alpha``; NaN where tails were not asked for.
        quantiles: level -> smallest profit that is not exceeded with that probability.
        max_profit, max_loss: limits in dollars, inf where there is none.
        error_bound: absolute error of the probabilities; NaN where the law does not know it.
        reasons: why a position has no numbers.
    """

    pop_terminal: Floats
    p_max_profit: Floats
    p_max_loss: Floats
    expected_pnl: Floats
    cvar_alpha: Floats
    alpha: float
    quantiles: dict[float, Floats]
    max_profit: Floats
    max_loss: Floats
    error_bound: Floats
    reasons: tuple[str | None, ...]
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.pop_terminal)

    def estimates(self, row: int) -> tuple[Estimate, ...]:
        """The numbers of one position, each with its provenance."""
        bound = float(self.error_bound[row])
        named = [(name, getattr(self, name)) for name in NAMES]
        named += [(f"quantile_{level:g}", values) for level, values in self.quantiles.items()]
        return tuple(
            Estimate(
                name,
                float(values[row]),
                True,
                None,
                bound if name.startswith("p") and np.isfinite(bound) else None,
                self.provenance,
                self.reasons[row],
            )
            for name, values in named
        )

    def frame(self) -> pl.DataFrame:
        """One row per position in their order; NaN becomes null, unlimited amounts stay inf."""
        made = self.provenance
        columns: dict[str, Floats] = {name: getattr(self, name) for name in NAMES}
        columns |= {f"quantile_{level:g}": values for level, values in self.quantiles.items()}
        columns |= {"max_profit": self.max_profit, "max_loss": self.max_loss, "error_bound": self.error_bound}
        return (
            pl.DataFrame(columns)
            .with_columns(pl.all().fill_nan(None))
            .with_columns(
                pl.lit(self.alpha).alias("alpha"),
                pl.lit(True).alias("analytic"),
                pl.lit(made.measure).alias("measure"),
                pl.lit(made.monitoring).alias("monitoring"),
                pl.lit(made.scheme).alias("scheme"),
                pl.lit(made.parameter_hash, dtype=pl.String).alias("parameter_hash"),
                pl.lit(made.chain_hash, dtype=pl.String).alias("chain_hash"),
                pl.Series("reason", self.reasons, dtype=pl.String),
            )
        )


def terminal_profit(
    lines: ExpiryProfit,
    laws: TerminalLaws,
    provenance: Provenance,
    *,
    expiry: ArrayLike = 0,
    alpha: float = 0.95,
    quantiles: tuple[float, ...] = (),
    tails: bool = True,
) -> TerminalProfit:
    """The law of the profit of P positions.

    Args:
        lines: profit at expiry of the positions.
        laws: laws of the underlying, one per expiry; `heston_laws`, or `LawList` of any others.
        provenance: `HestonLaws.provenance`, or that of another law.
        expiry: number of each position's expiry in ``laws``, (P,) or one for all.
        alpha: level of CVaR: .95 takes the worst 5 %.
        quantiles: levels between 0 and 1.
        tails: False leaves out CVaR, whose quantile is most of the work.

    Raises:
        ValueError: on a level outside (0, 1) or an expiry that ``laws`` does not have.
    """
    for name, level in (("alpha", alpha), *(("quantiles", level) for level in quantiles)):
        if not 0 < level < 1:
            raise ValueError(f"{name} = {level}: it must lie between 0 and 1, like 0.95.")
    which = np.broadcast_to(np.asarray(expiry, dtype=np.int64), (len(lines),))
    if len(which) and (which.min() < 0 or which.max() >= len(laws.forwards)):
        raise ValueError(f"expiry: numbers 0 to {len(laws.forwards) - 1} exist, found {which.min()} to {which.max()}.")
    pieces = _Pieces(lines, laws, which)
    best, worst = lines.max_profit, -lines.max_loss
    size = 1.0 + np.abs(lines.values).max(axis=1)
    levels = {level: pieces.quantile(level) for level in quantiles}
    cvar = np.full(len(lines), np.nan)
    if tails:
        cut = pieces.quantile(1 - alpha)
        # Rockafellar & Uryasev 2002: true with atoms too.
        cvar = pieces.shortfall(cut) / (1 - alpha) - cut
    known = np.array([*laws.reasons, "the position has no price"], dtype=object)
    reasons = tuple(known[np.where(np.isfinite(lines.values).all(axis=1), which, len(known) - 1)].tolist())
    return TerminalProfit(
        pop_terminal=np.clip(1.0 - pieces.below(np.zeros(len(lines))), 0.0, 1.0),
        p_max_profit=pieces.mass_at(best, 1e-12 * size),
        p_max_loss=pieces.mass_at(worst, 1e-12 * size),
        expected_pnl=pieces.mean(),
        cvar_alpha=cvar,
        alpha=alpha,
        quantiles=levels,
        max_profit=best,
        max_loss=-worst,
        error_bound=2.0 * lines.knots.shape[1] * laws.error_bounds[which],
        reasons=reasons,
        provenance=provenance,
    )


class _Pieces:
    """Mass and partial mean of the underlying at every knot of every position."""

    def __init__(self, lines: ExpiryProfit, laws: TerminalLaws, expiry: NDArray[np.int64]) -> None:
        self.lines, self.laws, self.expiry = lines, laws, expiry
        self.slopes = lines.slopes
        below, part = self._at(lines.knots)
        forward = laws.forwards[expiry]
        #: 0, or NaN where a position has no law or no price.
        self.sound = 0.0 * (below[:, -1] + forward + lines.values.sum(axis=1))
        self.masses = np.concatenate([below, (1.0 + self.sound)[:, None]], axis=1)
        self.parts = np.concatenate([part, (forward + self.sound)[:, None]], axis=1)

    def _offset(self) -> Floats:
        """Profit of every piece extended to an underlying of 0, (P, M)."""
        return self.lines.values - self.slopes * self.lines.knots

    def _at(self, strikes: Floats, *, parts: bool = True) -> tuple[Floats, ...]:
        """Distribution and, if asked for, partial mean at strikes (P, M): 0 at 0, NaN at NaN."""
        numbers = np.broadcast_to(self.expiry[:, None], strikes.shape)
        positive = strikes > 0
        points = numbers[positive], strikes[positive]
        found = []
        for values in self.laws.distribution(*points) if parts else (self.laws.probability(*points),):
            full = np.where(np.isnan(strikes), np.nan, 0.0)
            full[positive] = values
            found.append(full)
        return tuple(found)

    def _parts_below(self, level: Floats, *, parts: bool) -> list[Floats]:
        """Of every piece the part with profit <= level: its mass (P, M) and, if asked for, its partial mean (P, M)."""
        values, slopes, level = self.lines.values, self.slopes, level[:, None]
        here = values <= level
        last = np.where(slopes[:, -1:] == 0, here[:, -1:], slopes[:, -1:] < 0)
        ahead = np.concatenate([here[:, 1:], last], axis=1)
        at = self._at(self.lines.crossings(level[:, 0]), parts=parts)
        found = []
        for edges, cut in zip((self.masses, self.parts), at, strict=False):
            start, end = edges[:, :-1], edges[:, 1:]
            # No crossing strictly inside: the level is met at the end where the profit is not above it.
            cut = np.where(np.isnan(cut), np.where(here, start, end), cut)
            inside = np.where(here, np.where(ahead, end, cut) - start, np.where(ahead, end - cut, 0.0))
            found.append(inside + self.sound[:, None])
        return found

    def below(self, level: Floats) -> Floats:
        """P(profit <= level), (P,)."""
        return np.clip(self._parts_below(level, parts=False)[0].sum(axis=1), 0.0, 1.0)

    def mean(self) -> Floats:
        """E[profit], (P,)."""
        mass, part = np.diff(self.masses, axis=1), np.diff(self.parts, axis=1)
        return (self._offset() * mass + self.slopes * part).sum(axis=1)

    def shortfall(self, level: Floats) -> Floats:
        """E[(level - profit)+], (P,)."""
        mass, part = self._parts_below(level, parts=True)
        return np.maximum(((level[:, None] - self._offset()) * mass - self.slopes * part).sum(axis=1), 0.0)

    def mass_at(self, level: Floats, slack: Floats) -> Floats:
        """P(profit = level): of the level pieces there, (P,)."""
        with np.errstate(invalid="ignore"):
            at = np.abs(self.lines.values - level[:, None]) <= slack[:, None]
        flat = np.concatenate([at[:, 1:], self.slopes[:, -1:] == 0], axis=1) & at
        mass = np.diff(self.masses, axis=1)
        return np.clip(np.where(flat, mass, 0.0 * mass).sum(axis=1), 0.0, 1.0)

    def quantile(self, level: float) -> Floats:
        """Smallest profit q with P(profit <= q) >= level, (P,)."""
        values = np.sort(self.lines.values, axis=1)
        at = np.stack([self.below(values[:, j]) for j in range(values.shape[1])], axis=1) - level
        # Between which of the profits at the knots; outside them only where the profit is unlimited.
        first = (at < 0).sum(axis=1)
        row, top = np.arange(len(values)), values.shape[1] - 1
        low, high = values[row, np.maximum(first - 1, 0)], values[row, np.minimum(first, top)]
        down, up = (first == 0) & (self.lines.last_slope < 0), (first > top) & (self.lines.last_slope > 0)
        step = 1.0 + np.abs(values).max(axis=1)
        for _ in range(400):
            down, up = down & (self.below(low) >= level), up & (self.below(high) < level)
            if not (down | up).any():
                break
            low, high = np.where(down, low - step, low), np.where(up, high + step, high)
            step = 2.0 * step
        # Mass sits on profits at knots alone: the quantile is there where the mass just below them is too small.
        slack = 1e-12 * (1.0 + np.abs(high))
        inside = np.flatnonzero((high - low > slack) & (self.below(high - slack) >= level))
        found = high
        if len(inside):
            found[inside] = self.rows(inside)._root(level, low[inside], high[inside] - slack[inside])
        return found + self.sound

    def _root(self, level: float, low: Floats, high: Floats) -> Floats:
        """Root of `below` = level inside a bracket where it is continuous: Illinois, every third step a bisection."""
        at_low, at_high = self.below(low) - level, self.below(high) - level
        for i in range(_STEPS):
            width = high - low
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(at_high > at_low, -at_low / (at_high - at_low), 0.5)
            share = np.full_like(share, 0.5) if i % 3 == 2 else np.clip(share, 1e-9, 1 - 1e-9)
            middle = low + share * width
            at = self.below(middle) - level
            enough = at >= 0
            # The end that stays loses half its weight, so that both ends move.
            at_low, at_high = np.where(enough, 0.5 * at_low, at), np.where(enough, at, 0.5 * at_high)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
            if not (high - low > 1e-12 * (1.0 + np.abs(high))).any():
                break
        return high

    def rows(self, which: NDArray[np.int64]) -> _Pieces:
        """Those of some positions."""
        part = object.__new__(_Pieces)
        part.lines, part.laws, part.expiry = self.lines.rows(which), self.laws, self.expiry[which]
        part.slopes, part.sound = self.slopes[which], self.sound[which]
        part.masses, part.parts = self.masses[which], self.parts[which]
        return part
