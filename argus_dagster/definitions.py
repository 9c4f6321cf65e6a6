"""The code location: all assets, checks, jobs, schedules and sensors over one workspace.

Loaded by `workspace.yaml`. The configuration file is named by the environment variable ARGUS_CONFIG
(default config/research_loop.yaml).
"""

from __future__ import annotations

import dagster as dg

from argus_dagster.graph import build_definitions
from argus_dagster.workspace import Workspace


@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(Workspace.open())
