"""Write the session tables that ship with the package: ``python -m argus_core.calendar.stored_sessions``.

Run it after exchange-calendars learns of a new holiday; a test compares the stored table with the library.
"""

from __future__ import annotations

from argus_core.calendar.trading import _STORED, build_sessions

SHIPPED = ("XNYS",)


def main() -> None:
    _STORED.mkdir(exist_ok=True)
    for name in SHIPPED:
        build_sessions(name).write_parquet(_STORED / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
