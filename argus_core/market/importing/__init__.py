"""Import a folder of Parquet or CSV files into the landing tables of the lake."""

from argus_core.market.importing.folder import import_folder
from argus_core.market.importing.report import FileReport, ImportReport

__all__ = ["FileReport", "ImportReport", "import_folder"]
