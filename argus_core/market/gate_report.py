"""What a gate answers: good rows, refused rows with a counted reason, and session-level checks with their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from argus_core.market.schemas import Quarantine, conform, empty

#: Reason code -> meaning. The remedies are in docs/gates.md.
REASONS: dict[str, str] = {
    "CROSSED": "bid above ask",
    "CROSSED_QUOTE": "a bar's closing bid above its ask",
    "DUPLICATE_QUOTE": "the same contract, time and receipt twice",
    "DUPLICATE_TS": "a second bar with the same start",
    "EXPIRED": "quoted on a UTC date after the expiry",
    "FUTURE": "received before it was quoted",
    "JUMP": "a bar that leaves the level of its neighbours and comes back, or a wick as long",
    "MISDATED": "timestamp outside the partition's trade date",
    "MISSING_KEY": "no timestamp, contract, expiry, strike or right",
    "MISSING_PRICE": "open, high, low or close absent or not finite",
    "MISSING_VOLUME": "no volume although the feed has volumes",
    "NEGATIVE": "a negative bid, ask or size, or a strike that is not positive",
    "NEGATIVE_VOLUME": "volume below zero or not finite",
    "NON_POSITIVE_PRICE": "a price of zero or below",
    "NOT_A_SESSION": "the calendar has no session on this trade date",
    "NO_QUOTE": "neither bid nor ask",
    "OFF_GRID": "bar start that the calendar does not offer",
    "OHLC_ORDER": "open or close outside low..high",
    "OUTSIDE_HOURS": "bar outside the instrument's hours; not an error of the session",
    "PARTIAL_DAY": "warning: a daily bar with far too little volume; the row is published",
    "STALE_COPY": "an earlier quote received again on a later day",
    "WRONG_CLOSE": "warning: the previous session's close recovered at the next open; nothing is rewritten",
    "WRONG_SERIES": "row of another symbol or bar length",
    "ZERO_ASK": "an ask of zero beside a bid",
}

#: Reasons that mark a row which stays published.
WARNINGS = frozenset({"PARTIAL_DAY", "WRONG_CLOSE"})


@dataclass(frozen=True)
class GateCheck:
    """One session-level check.

    ``value`` and ``threshold`` are numbers of the check's own unit (named in ``detail``); None where it had nothing
    to measure, in which case it passed.
    """

    name: str
    passed: bool
    blocking: bool
    value: float | None
    threshold: float | None
    detail: str


@dataclass(frozen=True)
class GateReport:
    """Outcome of gating one partition. Rows in = ``published`` rows + ``quarantined`` rows."""

    published: pl.DataFrame
    quarantined: pl.DataFrame
    checks: list[GateCheck]

    @property
    def passed(self) -> bool:
        """Whether no blocking check failed. Publish only then."""
        return all(check.passed or not check.blocking for check in self.checks)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Refused rows per reason, sorted by reason."""
        rows = self.quarantined.group_by("reason").len().sort("reason").rows()
        return {str(reason): int(count) for reason, count in rows}

    @property
    def failures(self) -> list[GateCheck]:
        return [check for check in self.checks if not check.passed]

    def check(self, name: str) -> GateCheck:
        """The check called ``name``.

        Raises:
            KeyError: if the gate has no such check.
        """
        for one in self.checks:
            if one.name == name:
                return one
        raise KeyError(f"no check {name!r}; known: {', '.join(c.name for c in self.checks)}")

    def checks_frame(self) -> pl.DataFrame:
        """The checks as a frame: name, passed, blocking, value, threshold, detail."""
        schema = {
            "name": pl.String,
            "passed": pl.Boolean,
            "blocking": pl.Boolean,
            "value": pl.Float64,
            "threshold": pl.Float64,
            "detail": pl.String,
        }
        return pl.DataFrame([vars(check) for check in self.checks], schema=schema)


def refusals(
    frame: pl.DataFrame, *, table: str, symbol: str, source: str, detail: pl.Expr, provider: str = ""
) -> pl.DataFrame:
    """Quarantine rows of ``frame`` (which has a ``reason`` column), sorted by ts, reason, detail.

    ``provider`` is used where the frame has no such column.
    """
    if frame.is_empty():
        return empty(Quarantine)
    named = frame.with_columns(
        pl.lit(table).alias("table"),
        (pl.col("provider") if "provider" in frame.columns else pl.lit(provider)).fill_null("").alias("provider"),
        (pl.col(symbol) if symbol in frame.columns else pl.lit(symbol)).fill_null("").alias("symbol"),
        detail.fill_null("").alias("detail"),
        pl.lit(source).alias("source"),
    )
    if "ts" not in named.columns:
        named = named.with_columns(pl.lit(None).alias("ts"))
    return conform(named, Quarantine).sort("symbol", "ts", "reason", "detail")
