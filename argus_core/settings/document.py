"""Read configuration files into validated models, with errors that name the file, the key, the value and the fix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class SettingsError(ValueError):
    """A configuration file cannot be used. The message names file, key, value and what is allowed."""


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")

    @property
    def config_hash(self) -> str:
        """First 16 hex digits of the SHA-256 over the canonical JSON of this model."""
        return canonical_hash(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, source: str) -> Self:
        """Validate ``document``; ``source`` names the file in error messages.

        Raises:
            SettingsError: naming every wrong key, its value and what is allowed.
        """
        try:
            return cls.model_validate(dict(document))
        except ValidationError as error:
            raise SettingsError(_explain(error, cls, source)) from None


def canonical_hash(document: Any) -> str:
    """First 16 hex digits of the SHA-256 over ``document`` as sorted, compact JSON."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        SettingsError: if the file is missing, is not YAML, or does not hold a mapping.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: no such file. Give the path of an existing YAML file.")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected a mapping of keys at the top, found {type(document).__name__}.")
    return document


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on top: mappings merge key by key, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def _explain(error: ValidationError, model: type[BaseModel], source: str) -> str:
    lines = [f"{source}: {error.error_count()} wrong setting(s):"]
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(top)"
        if item["type"] == "extra_forbidden":
            known = ", ".join(_known_keys(model, item["loc"][:-1])) or "none"
            lines.append(f"  {key}: unknown key (value {item['input']!r}). Known keys here: {known}.")
        else:
            lines.append(f"  {key}: {item['msg']} (value {item['input']!r}).")
    return "\n".join(lines)


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Field names of the model that sits at ``location`` inside ``model``."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None or part not in current.model_fields:
            continue
        current = _model_in(current.model_fields[str(part)].annotation)
    return sorted(current.model_fields) if current else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found:
            return found
    return None
