"""Record in Dagster what the command line did outside a run."""

from __future__ import annotations

import dagster as dg

from argus_core.market.importing import ImportReport
from argus_dagster.assets.landed_files import report_metadata


def report_import(report: ImportReport) -> None:
    """Record an import as a materialisation of `landed_files`."""
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("landed_files", metadata=report_metadata(report)))
