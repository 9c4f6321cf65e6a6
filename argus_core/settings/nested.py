"""Parameters inside parameters: dotted names such as ``inner.params.fast`` or ``routes.0.params.fast``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves of nested mappings and lists of mappings by dotted name; anything else stays as it is.

    >>> flattened({"a": 1, "inner": {"params": {"fast": 2}}, "routes": [{"x": 3}], "list": [4, 5]})
    {'a': 1, 'inner.params.fast': 2, 'routes.0.x': 3, 'list': [4, 5]}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            parts = flattened(value)
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            parts = flattened({str(number): item for number, item in enumerate(value)})
        else:
            found[name] = value
            continue
        found |= {f"{name}.{inner}": one for inner, one in parts.items()}
    return found


def with_value(values: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of nested mappings and lists with ``value`` at ``path``; mappings that are missing are made.

    >>> with_value({"inner": {"params": {"slow": 9}}}, ["inner", "params", "fast"], 2)
    {'inner': {'params': {'slow': 9, 'fast': 2}}}
    """
    if not path:
        return value
    name, *rest = path
    if isinstance(values, list | tuple) and name.isdigit() and int(name) < len(values):
        place = int(name)
        return [with_value(item, rest, value) if k == place else item for k, item in enumerate(values)]
    base = dict(values) if isinstance(values, Mapping) else {}
    return {**base, name: with_value(base.get(name), rest, value)}


def merged(base: Any, over: Any) -> Any:
    """``over`` laid over ``base``, mapping by mapping; keys that are digits reach into a list.

    Raises:
        ValueError: if such a key has no place in the list.

    >>> merged([{"a": 1, "b": {"c": 2}}], {"0": {"b": {"d": 3}}})
    [{'a': 1, 'b': {'c': 2, 'd': 3}}]
    """
    if isinstance(base, list) and isinstance(over, Mapping):
        if unknown := [key for key in over if not (str(key).isdigit() and int(key) < len(base))]:
            raise ValueError(f"no entry {', '.join(map(str, unknown))}; there are {len(base)}, numbered from 0")
        places = {int(key): value for key, value in over.items()}
        return [merged(item, places[k]) if k in places else item for k, item in enumerate(base)]
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return over
