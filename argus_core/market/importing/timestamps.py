"""Bring a timestamp column of any spelling to UTC microseconds, and notice files in the wrong time zone."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

UTC_US = pl.Datetime("us", "UTC")
_OFFSET = r"(?:Z|[+-]\d{2}:?\d{2})$"


class TimestampError(ValueError):
    """A timestamp column has a type that says nothing certain about time."""


def to_utc(column: pl.Series, zone: str) -> tuple[pl.Series, pl.Series, str | None]:
    """``column`` as `Datetime("us", "UTC")`.

    Args:
        column: datetimes with or without a zone, or ISO 8601 text with or without an offset.
        zone: zone of values that name none.

    Returns:
        the timestamps (null where unreadable or ambiguous), a Boolean mask of local times that exist twice or never,
        and a note about what was assumed, or None.

    Raises:
        TimestampError: for numbers, whose unit nobody states, and other types.
    """
    name = column.name
    nothing = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(column))
    if isinstance(column.dtype, pl.Datetime):
        if column.dtype.time_zone is None:
            aware, unsure = _localised(column.cast(pl.Datetime("us")), zone)
            return aware.alias(name), unsure, f"{name} names no time zone, taken as {zone}"
        converted = column.dt.convert_time_zone("UTC").cast(UTC_US)
        note = None if column.dtype.time_zone == "UTC" else f"{name} converted from {column.dtype.time_zone}"
        return converted, nothing, note
    if column.dtype == pl.String:
        return _parsed(column, zone)
    raise TimestampError(
        f"{name} has type {column.dtype}; expected a datetime or ISO 8601 text. "
        "A number states no unit and a date no time: convert the column."
    )


def _localised(naive: pl.Series, zone: str) -> tuple[pl.Series, pl.Series]:
    ZoneInfo(zone)  # an unknown name fails here, with its name in the message
    aware = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return aware.dt.convert_time_zone("UTC").cast(UTC_US), aware.is_null() & naive.is_not_null()


def _parsed(column: pl.Series, zone: str) -> tuple[pl.Series, pl.Series, str | None]:
    frame = pl.DataFrame({"text": column.str.strip_chars().str.replace(" ", "T", literal=True)}).with_columns(
        pl.col("text").str.contains(_OFFSET).alias("has_offset"),
        pl.col("text").str.replace(r"Z$", "+00:00").str.replace(r"T(\d{2}:\d{2})($|[+-])", "T${1}:00${2}"),
    )
    naive = frame["text"].set(frame["has_offset"].fill_null(False), None)
    local = naive.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    placed, unsure = _localised(local, zone)
    with_offset = frame["text"].set(~frame["has_offset"].fill_null(False), None)
    exact = with_offset.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us", time_zone="UTC")
    note = f"{column.name} names no time zone, taken as {zone}" if local.is_not_null().any() else None
    both = pl.DataFrame({"exact": exact.cast(UTC_US), "placed": placed})
    return both.select(pl.coalesce("exact", "placed").alias(column.name)).to_series(), unsure, note


def better_shift(ts: pl.Series, *, bar_seconds: int) -> int | None:
    """Hours by which a file's clock looks wrong, or None.

    Counts the bars inside 09:30-16:00 New York as the file stands and for every whole-hour shift of the clock.
    A file whose bars fit more than 1.3 times better after a shift was written in another zone than it says. Files
    with bars all day long have equal counts and cannot be judged.
    """
    local = ts.drop_nulls().dt.convert_time_zone("America/New_York")
    if len(local) < 200:
        return None
    minute = (local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute().cast(pl.Int32)).to_numpy()
    of_day = np.bincount(minute, minlength=1440)
    # Bars on the full hour count from 09:00: the bar of that hour holds the open.
    begin = 570 if bar_seconds < 3600 else 540
    fits = {shift: int(np.roll(of_day, shift * 60)[begin:960].sum()) for shift in range(-14, 15)}
    best = max(fits, key=lambda shift: (fits[shift], -abs(shift)))
    return best if fits[best] > 1.3 * fits[0] else None
