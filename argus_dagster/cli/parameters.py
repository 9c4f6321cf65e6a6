"""Strategy parameters on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argus_dagster.cli.output import EXIT_USAGE, fail

if TYPE_CHECKING:
    from argus_core.strategies.interface import Params, Strategy

ParamOption = Annotated[list[str] | None, typer.Option("--param", "-p", help="parameter, name=value (YAML); repeat it")]


def chosen_strategy(name: str, given: list[str] | None, *, root: Path) -> tuple[type[Strategy], Params]:
    """The class that ``name`` stands for, and its validated parameters from ``name=value`` texts.

    Dotted names reach into nested parameters: those of a wrapper's inner strategy, for instance.
    """
    import yaml
    from pydantic import ValidationError

    from argus_core.strategies.registry import load_strategy

    values: dict[str, Any] = {}
    for text in given or []:
        path, separator, value = text.partition("=")
        if not separator:
            fail(f"--param {text!r}: write name=value", EXIT_USAGE)
        place = values
        *parents, last = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    strategy = load_strategy(name, root=root, params=values)
    try:
        return strategy, strategy.Params.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (value {e['input']!r})" for e in error.errors()
        )
        allowed = ", ".join(strategy.Params.model_fields)
        fail(f"{strategy.strategy_id}: {problems}. Parameters: {allowed}.", EXIT_USAGE)
