"""The Dagster instance of a project: a folder inside it, unless DAGSTER_HOME says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "DAGSTER_HOME"

_SETTINGS = """telemetry:
  enabled: false
nux:
  enabled: false
"""


def use_instance(root: Path) -> Path:
    """Point Dagster at ``<root>/dagster_home`` where no DAGSTER_HOME is set; make it with telemetry off."""
    home = Path(os.environ.setdefault(HOME_VARIABLE, str(root / "dagster_home")))
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_SETTINGS)
    return home
