"""Sweep files: which parameter sets of a strategy are tried."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from argus_core.settings import SettingsError, read_yaml
from argus_core.settings.nested import flattened, with_value

_FORMS = "a list, a single value, {values: [...]}, {min, max, step} or {min, max, num_steps}, optionally with round"
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_NAME = r"[A-Za-z_][\w.]*"
_CONSTRAINT = re.compile(rf"\s*({_NAME})\s*(<=|>=|==|!=|<|>)\s*({_NAME}|[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")
_LARGEST = 100_000


def load_sweep(path: Path, base_params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Read and expand a sweep file; see `expand_sweep`.

    Raises:
        SettingsError: naming file, key and what is allowed.
    """
    return expand_sweep(read_yaml(path), base_params or {}, source=str(path))


def expand_sweep(spec: Mapping[str, Any], base_params: Mapping[str, Any], *, source: str) -> list[dict[str, Any]]:
    """All parameter sets of a sweep: the product over the keys in their order, laid over ``base_params``.

    Args:
        spec: ``{params: {name: form}, constraints: ["fast < slow"]}``, or the mapping of names to forms alone.
            A dotted name reaches into parameters of parameters: ``inner.params.fast``, ``routes.0.params.fast``.
            A form is a list, a single value, ``{values: [...]}``, ``{min, max, step}`` (the maximum is included
            only when a step hits it) or ``{min, max, num_steps: N}`` (N + 1 points, both ends), the latter two
            optionally with ``round`` (decimals; 0 gives integers). Ranges use decimal arithmetic.
            A constraint is ``name operator name`` or ``name operator number``; a set is kept when all hold.
            A comparison with null holds: a limit that is off excludes nothing.
        source: file named in errors.

    Returns:
        Distinct sets, in order.

    Raises:
        SettingsError: naming source and key.
    """
    nested = isinstance(spec.get("params"), Mapping)
    if nested and (unknown := sorted(set(spec) - {"params", "constraints"})):
        raise SettingsError(f"{source}: unknown key(s) {unknown} beside `params`. Allowed: params, constraints.")
    forms = spec["params"] if nested else {k: v for k, v in spec.items() if k != "constraints"}
    axes = {name: _values(form, f"{source}: {name}") for name, form in forms.items()}
    size = 1
    for values in axes.values():
        size *= len(values)
    if size > _LARGEST:
        raise SettingsError(f"{source}: {size:,} combinations; at most {_LARGEST:,}. Widen steps or drop a key.")
    names = {*axes, *flattened(base_params)}
    rules = _constraints(spec.get("constraints"), names, source)
    result: list[dict[str, Any]] = []
    seen: set[str] = set()
    for combination in itertools.product(*axes.values()):
        params = dict(base_params)
        for name, value in zip(axes, combination, strict=True):
            params = with_value(params, name.split("."), value)
        flat = flattened(params)
        if (key := repr(sorted(flat.items()))) in seen or not all(rule(flat) for rule in rules):
            continue
        seen.add(key)
        result.append(params)
    if not result:
        raise SettingsError(f"{source}: constraints: no combination is left of {size}. Loosen a constraint.")
    return result


def _values(form: Any, where: str) -> list[Any]:
    """Values of one key."""
    if isinstance(form, Sequence) and not isinstance(form, str):
        return _some(list(form), where)
    if not isinstance(form, Mapping):
        return [form]
    keys = set(form)
    if keys == {"values"}:
        if not isinstance(form["values"], Sequence) or isinstance(form["values"], str):
            raise SettingsError(f"{where}: values must be a list, found {form['values']!r}.")
        return _some(list(form["values"]), where)
    if keys - {"round"} not in ({"min", "max", "step"}, {"min", "max", "num_steps"}):
        raise SettingsError(f"{where}: cannot read {dict(form)!r}. Give {_FORMS}.")
    low, high = _decimal(form, "min", where), _decimal(form, "max", where)
    if low > high:
        raise SettingsError(f"{where}: min {form['min']!r} is above max {form['max']!r}.")
    integral = all(isinstance(form[name], int) for name in ("min", "max", "step") if name in form)
    if "step" in form:
        step = _decimal(form, "step", where)
        if step <= 0:
            raise SettingsError(f"{where}: step must be above 0, found {form['step']!r}.")
        points = [low + step * i for i in range(int((high - low) / step) + 1)]
    else:
        count = form["num_steps"]
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise SettingsError(f"{where}: num_steps must be a whole number of at least 1, found {count!r}.")
        points = [low + (high - low) * i / count for i in range(count + 1)]
        integral = integral and all(point == int(point) for point in points)
    if "round" in form:
        places = form["round"]
        if not isinstance(places, int) or isinstance(places, bool) or places < 0:
            raise SettingsError(f"{where}: round must be a whole number of at least 0, found {places!r}.")
        points = [point.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN) for point in points]
        integral = places == 0
    return list(dict.fromkeys(int(point) if integral else float(point) for point in points))


def _some(values: list[Any], where: str) -> list[Any]:
    if not values:
        raise SettingsError(f"{where}: the list is empty. Give at least one value, or leave the key out.")
    if nested := [value for value in values if isinstance(value, Mapping | list)]:
        raise SettingsError(f"{where}: values must be plain, found {nested[0]!r}.")
    return values


def _decimal(form: Mapping[str, Any], name: str, where: str) -> Decimal:
    value = form[name]
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise SettingsError(f"{where}: {name} must be a number, found {value!r}.")
    return number


def _constraints(given: Any, names: set[str], source: str) -> list[Callable[[Mapping[str, Any]], bool]]:
    """Predicates over one parameter set. Parsed by a pattern; nothing is ever evaluated as code."""
    if given is None:
        return []
    where = f"{source}: constraints"
    if not isinstance(given, list):
        raise SettingsError(f"{where}: expected a list such as ['fast < slow'], found {given!r}.")
    rules = []
    for text in given:
        match = _CONSTRAINT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise SettingsError(f"{where}: cannot read {text!r}. Write `name < name` or `name >= number`.")
        left, sign, right = match.groups()
        for name in (left, right):
            if name[0].isalpha() or name[0] == "_":
                if name not in names:
                    raise SettingsError(f"{where}: {text!r} names {name!r}; known: {', '.join(sorted(names))}.")
            elif not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", name):
                raise SettingsError(f"{where}: {name!r} in {text!r} is not a number.")
        rules.append(_rule(left, _OPERATORS[sign], right))
    return rules


def _rule(left: str, compare: Callable[[Any, Any], bool], right: str) -> Callable[[Mapping[str, Any]], bool]:
    def holds(params: Mapping[str, Any]) -> bool:
        one = params[left]
        other = params[right] if right in params else float(right)
        return one is None or other is None or compare(one, other)

    return holds
