"""Accept the trade lists as they are now: ``python -m tests.golden.accept [STRATEGY ...]`` (or ``make golden``).

Prints what changed, then writes tests/golden/trades.json. Where the real data are absent, their records stay.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.golden.runs import STORE, case_of, difference, run_real, run_simulated, shipped, stored

ROOT = Path(__file__).resolve().parents[2]


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(shipped()))
    if unknown:
        raise SystemExit(f"not shipped: {', '.join(unknown)}. Shipped: {', '.join(shipped())}")
    data = Path(os.environ.get("ARGUS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        print(f"no real data at {data} (ARGUS_SHARED_DATA): real records stay as they are")
    old = stored()
    records: dict[str, dict[str, Any]] = {name: one for name, one in old.items() if name in shipped()}
    for name in sorted(set(old) - set(shipped())):
        print(f"{name}: no longer shipped, removed")
    changed = 0
    for name in names or shipped():
        before = old.get(name, {})
        now = {"simulated": run_simulated(name), "real": before.get("real")}
        if data.is_dir():
            now["real"] = run_real(name, data) or {"absent": case_of(name).no_real}
        for part, record in now.items():
            if record and "absent" not in record:
                known = before.get(part)
                told = difference(name, part, None if known is None or "absent" in known else known, record)
                changed += bool(told)
                print(told or f"{name} on {part} data: unchanged, {record['trades']} trades")
        records[name] = now
    STORE.write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n")
    print(f"{changed} trade list(s) changed; {STORE.relative_to(ROOT)} holds {len(records)} strategies")


if __name__ == "__main__":
    main(sys.argv[1:])
