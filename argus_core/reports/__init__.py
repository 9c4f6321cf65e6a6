"""Figures and HTML, one look. Importing this package imports neither plotly nor JAX."""

from typing import TYPE_CHECKING, Any

from argus_core.reports.sparkline import fan_sparkline, sparkline

if TYPE_CHECKING:
    from argus_core.reports.cycle import cycle_report
    from argus_core.reports.options import option_report

__all__ = ["cycle_report", "fan_sparkline", "option_report", "sparkline"]


def __getattr__(name: str) -> Any:
    if name == "cycle_report":
        from argus_core.reports.cycle import cycle_report

        return cycle_report
    if name == "option_report":
        from argus_core.reports.options import option_report

        return option_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
