"""Other futures for a decision frame: changed, thinned out or continued from a row on, with a valid market in it."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

import numpy as np
import polars as pl

#: Columns that the calendar or the contract knows in advance: never perturbed.
_KNOWN_AHEAD = frozenset(
    {
        "ts", "end", "available_at", "trade_date", "session", "warmup", "minute_of_session", "seconds_to_close",
        "recv_ts", "expiry", "strike", "right", "contract", "underlying", "provider", "symbol", "bar_seconds",
        "volume_scope",
    }
)  # fmt: skip
_PRICES = ("open", "high", "low", "close", "bid", "ask", "underlying_price")
_POSITIVE = (
    "volume", "half_spread", "bid_size", "ask_size", "open_interest", "iv", "iv_30", "iv_60", "iv_strip_variance_30",
    "expected_vol_30",
)  # fmt: skip
_WEEK = timedelta(days=7)
#: What an order that fills at the open of a bar depends on.
_AT_OPEN = ("open", "high", "low", "volume", "half_spread", "missing_before")

#: Another close of the same range; clipped, because rounding may leave it.
_MIRRORED = (pl.col("low") + pl.col("high") - pl.col("close")).clip(pl.col("low"), pl.col("high")).alias("close")


def perturb_future(
    frame: pl.DataFrame, cut: int, *, seed: int, direction: int = 1, scale: float = 1.0, rows: int | None = None
) -> pl.DataFrame:
    """Copy of ``frame`` whose rows from ``cut`` on hold other prices, volumes, numbers and labels.

    Clock and calendar columns stay. The prices of one instrument move together by 5 to 50 % times ``scale`` in
    ``direction``, so that low <= open, close <= high still holds; other numbers are shifted by their spread times
    ``scale`` (and negated at full scale); labels are rotated, flags turned.

    Args:
        rows: only so many rows from ``cut`` on; None: all.
    """
    future = frame.slice(cut, rows)
    if future.is_empty():
        return frame
    rng = np.random.default_rng(seed)
    moves = {"": _moves(rng, future.height, direction, scale)}
    columns: list[pl.Series] = []
    for name, dtype in future.schema.items():
        if name in _KNOWN_AHEAD:
            continue
        column = future[name]
        owner, field = _owner(name)
        if field in _PRICES:
            if owner not in moves:
                moves[owner] = _moves(rng, future.height, direction, scale)
            columns.append((column * pl.Series(moves[owner])).alias(name))
        elif dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
            columns.append(_rotated(column, frame[name]))
        elif dtype == pl.Boolean:
            columns.append((~column).alias(name))
        elif dtype.is_float():
            columns.append(_shifted(column, field, moves[""], direction, scale))
        elif dtype.is_integer():
            columns.append((column + pl.Series(rng.integers(1, 5, future.height))).cast(dtype).alias(name))
    after = [] if rows is None else [frame.slice(cut + rows)]
    return pl.concat([frame.head(cut), future.with_columns(columns), *after], rechunk=True)


def drop_future_rows(frame: pl.DataFrame, cut: int, *, every: int = 7) -> pl.DataFrame:
    """``frame`` without row ``cut`` and every ``every``-th row after it: bars that did not come."""
    row = np.arange(frame.height)
    kept = frame.filter(pl.Series((row < cut) | ((row - cut) % every != 0)))
    if "missing_before" not in frame.columns:
        return kept
    # Bars lost up to each row, the dropped ones among them.
    lost = np.cumsum(frame["missing_before"].fill_null(0).to_numpy()) + row
    lost = lost[(row < cut) | ((row - cut) % every != 0)]
    missing = np.concatenate([lost[:1], np.diff(lost) - 1])
    return kept.with_columns(pl.Series("missing_before", missing).cast(frame.schema["missing_before"]))


def continue_frame(frame: pl.DataFrame, *, seed: int, rows: int = 1000) -> pl.DataFrame:
    """``frame`` followed by its last rows again, whole weeks later and with other values."""
    tail = frame.tail(rows)
    span = frame["end"][-1] - tail["ts"][0]
    delay = _WEEK * max(ceil(span / _WEEK), 1)
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime | pl.Date)]
    later = perturb_future(tail, 0, seed=seed).with_columns(pl.col(name) + delay for name in times)
    return pl.concat([frame, later.select(pl.col(n).cast(t) for n, t in frame.schema.items())], rechunk=True)


def hide_unfinished(bars: pl.DataFrame, now_us: int, *, seed: int, direction: int | None) -> pl.DataFrame:
    """Reference bars of another symbol as they might be when nothing after ``now_us`` is known.

    Bars that are available by then stay. A bar that has begun keeps what an order at its open meets (open, range,
    volume); its close, not known yet, is another one of its range. Bars that begin later are perturbed.

    Args:
        direction: of the change; None: cut the later bars off instead.
    """
    known = bars.filter(pl.col("available_at").dt.timestamp("us") <= now_us)
    rest = bars.filter(pl.col("available_at").dt.timestamp("us") > now_us)
    begun = rest.filter(pl.col("ts").dt.timestamp("us") < now_us)
    if direction is None:
        return pl.concat([known, begun.with_columns(close=pl.col("open"))], rechunk=True)
    begun = begun.with_columns(_MIRRORED)
    later = rest.filter(pl.col("ts").dt.timestamp("us") >= now_us)
    return pl.concat([known, begun, perturb_future(later, 0, seed=seed, direction=direction)], rechunk=True)


def keep_begun_bars(changed: pl.DataFrame, frame: pl.DataFrame, cut: int, now_us: int) -> pl.DataFrame:
    """``changed``, whose rows from ``cut`` on were perturbed, with what bars that began before ``now_us`` show orders.

    Bars published with a delay have successors that begin before the decision: an order may have filled at their open.
    Open, range, volume and spread of these rows are those of ``frame``; the close is another one of the range.
    """
    begun = int((frame["ts"].slice(cut).dt.timestamp("us") < now_us).sum())
    if not begun:
        return changed
    kept = [name for name in _AT_OPEN if name in frame.columns]
    rows = frame.slice(cut, begun)
    mirrored = rows.select(_MIRRORED)["close"]
    shown = changed.slice(cut, begun).with_columns(*(rows[name] for name in kept), mirrored)
    return pl.concat([changed.head(cut), shown, changed.slice(cut + begun)], rechunk=True)


def _moves(rng: np.random.Generator, height: int, direction: int, scale: float) -> np.ndarray:
    return np.exp(direction * scale * rng.uniform(0.05, 0.4, height))


def _owner(name: str) -> tuple[str, str]:
    """Instrument and field of a frame column: ``ref_BTC_close`` -> (BTC, close); own columns belong to ""."""
    if name.startswith("ref_"):
        owner, _, field = name.removeprefix("ref_").rpartition("_")
        return owner, field
    return "", name


def _rotated(column: pl.Series, whole: pl.Series) -> pl.Series:
    """Every label replaced by the next one that the whole frame knows; the only one by null."""
    labels: list[str | None] = sorted(whole.drop_nulls().cast(pl.String).unique().to_list())
    others = [*labels[1:], labels[0]] if len(labels) > 1 else [None]
    turned = dict(zip(labels, others, strict=False))
    return column.cast(pl.String).replace(turned).cast(column.dtype).alias(column.name)


def _shifted(column: pl.Series, field: str, moves: np.ndarray, direction: int, scale: float) -> pl.Series:
    if field in _POSITIVE or field.startswith("realized_vol"):
        return (column * pl.Series(moves)).alias(column.name)
    known = column.drop_nulls().to_numpy()
    spread = float(np.std(known)) if len(known) else 0.0
    spread = spread if np.isfinite(spread) and spread > 0 else 1.0
    factor = pl.Series(-direction * moves) if scale >= 1.0 else pl.Series(moves)
    return (column * factor + direction * scale * spread).alias(column.name)
