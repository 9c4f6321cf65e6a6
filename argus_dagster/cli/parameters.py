"""Strategy parameters on the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from argus_dagster.cli.output import EXIT_USAGE, fail

ParamOption = Annotated[list[str] | None, typer.Option("--param", "-p", help="parameter, name=value (YAML); repeat it")]


def strategy_params(strategy: Any, given: list[str]) -> Any:
    """Validated parameters from ``name=value`` texts; dotted names reach into nested parameters."""
    import yaml
    from pydantic import ValidationError

    values: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            fail(f"--param {text!r}: write name=value", EXIT_USAGE)
        place = values
        *parents, last = name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    try:
        return strategy.Params.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (value {e['input']!r})" for e in error.errors()
        )
        allowed = ", ".join(strategy.Params.model_fields)
        fail(f"{strategy.strategy_id}: {problems}. Parameters: {allowed}.", EXIT_USAGE)
