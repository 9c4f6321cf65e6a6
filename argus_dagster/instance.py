"""The Dagster instance of a project: a folder inside it, unless DAGSTER_HOME says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "DAGSTER_HOME"

#: The project's own `dagster_home/dagster.yaml`; a test keeps the two equal.
SETTINGS = """# The default Dagster instance: SQLite inside the project, nothing is sent anywhere.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    # One research run and one market run beside it are what two cores carry.
    max_concurrent_runs: 2
  pools:
    # `provider_io` and `kernels`: one queued run of each at a time.
    default_limit: 1
    granularity: run
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 3
      failure: 30
      success: 30
"""


def use_instance(root: Path) -> Path:
    """Point Dagster at ``<root>/dagster_home`` where no DAGSTER_HOME is set; make it with telemetry off."""
    home = Path(os.environ.setdefault(HOME_VARIABLE, str(root / "dagster_home")))
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(SETTINGS)
    return home
