"""Strategies around other strategies, which their parameters name: how the class that runs is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, Field, ValidationError, create_model

from argus_core.settings import SettingsError
from argus_core.strategies.interface import Params, Strategy

_Spec = TypeVar("_Spec", bound="Inner")


class Inner(Params):
    """A strategy inside a wrapper. Sweeps reach its parameters by dotted names: ``inner.params.fast``."""

    strategy_class: str = Field(description="a shipped name, `module:Class`, or `path/to/file.py:Class`")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of that strategy")


class Wrapper(Strategy):
    """A strategy made of others. `load_strategy` gives the class that is bound to those that the parameters name:
    it has their interface and family, checks their parameters, and its code hash covers their code.

    Attributes:
        made_with: parameters and project root that a bound class was made with.
    """

    made_with: ClassVar[tuple[Mapping[str, Any], Path] | None] = None
    _known: ClassVar[dict[tuple[type[Strategy], ...], tuple[type[Strategy], list[set[str]]]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._known = {}

    @classmethod
    def specs(cls, params: Mapping[str, Any]) -> Sequence[Inner]:
        """The inner strategies that raw parameters ask for.

        Raises:
            ValueError: if they cannot be read.
        """
        raise NotImplementedError

    @classmethod
    def form(cls, parts: Sequence[type[Strategy]]) -> type[Strategy]:
        """The subclass that runs these parts."""
        raise NotImplementedError

    @classmethod
    def attributes(cls, parts: Sequence[type[Strategy]], names: Sequence[set[str]]) -> dict[str, Any]:
        """Class attributes of the bound class: ``Params``, ``family``, and a callback's ``clock``.

        Args:
            names: for each part the names that its ``strategy_class`` may have, see `bound_spec`.
        """
        raise NotImplementedError

    @classmethod
    def bound(cls, params: Mapping[str, Any], *, root: Path) -> type[Strategy]:
        """The class that runs with ``params``; the same one for the same parts.

        Args:
            root: project root, from which paths of inner strategies start.

        Raises:
            SettingsError: if an inner strategy cannot be read or loaded.
        """
        from argus_core.strategies.registry import load_strategy

        try:
            specs = cls.specs(params)
        except ValidationError as error:
            details = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise SettingsError(f"{cls.__name__}: cannot read its inner strategies: {details}.") from None
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{cls.__name__}: cannot read its inner strategies: {error}.") from None
        parts = tuple(load_strategy(one.strategy_class, root=root, params=one.params) for one in specs)
        if parts not in cls._known:
            names: list[set[str]] = [set() for _ in parts]
            form = cls.form(parts)
            attributes = {
                "__module__": cls.__module__,
                "__qualname__": cls.__qualname__,
                "__doc__": cls.__doc__,
                "strategy_id": f"{cls.__name__}({', '.join(part.strategy_id for part in parts)})",
                "parts": parts,
                "made_with": (dict(params), root),
                **cls.attributes(parts, names),
            }
            bound: Any = type(form)(cls.__name__, (form,), attributes)
            cls._known[parts] = bound, names
        made, accepted = cls._known[parts]
        for known, one in zip(accepted, specs, strict=True):
            known.add(one.strategy_class)
        return made


def bound_spec(spec: type[_Spec], part: type[Strategy], names: set[str]) -> type[_Spec]:
    """``spec`` with the parameters of ``part`` in place of a mapping, and its name (one of ``names``) as default."""

    def known(value: str) -> str:
        if value not in names:
            raise ValueError(f"this entry is bound to {', '.join(sorted(names))}; give {value} an entry of its own")
        return value

    fields = spec.model_fields
    named: Any = (
        Annotated[str, AfterValidator(known)],
        Field(default_factory=lambda: min(names), description=fields["strategy_class"].description),
    )
    params: Any = (part.Params, Field(default_factory=part.Params, description=fields["params"].description))
    return create_model(spec.__name__, __base__=spec, __module__=spec.__module__, strategy_class=named, params=params)


def bound_params(base: type[Params], **fields: tuple[Any, Any]) -> type[Params]:
    """``base`` with other types and defaults (functions without arguments) for some fields; descriptions stay."""
    given: dict[str, Any] = {
        name: (kind, Field(default_factory=default, description=base.model_fields[name].description))
        for name, (kind, default) in fields.items()
    }
    return create_model(base.__name__, __base__=base, __module__=base.__module__, **given)
