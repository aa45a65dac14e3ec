"""One setting of a server: what people read of it, and what its place in the model says of it.

The model (``spec``) declares each once. REST and its document, both forms of the page, the scripts, the command line,
the TOML reader and README take the rest from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticUndefined

Kind = Literal["whole", "decimal", "flag", "choice", "text"]


@dataclass(frozen=True)
class Setting:
    """Stands in the annotation of a model's field, and describes it in the OpenAPI document.

    ``label`` is its name on the page, with the ``unit`` behind it; ``help`` says in a sentence what it does, with its
    unit; ``empty`` what it means to have no value, for a field that needs none; ``choices`` words for its values.
    """

    label: str
    help: str
    unit: str = ""
    empty: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        return f"{self.help} Null: {self.empty}." if self.empty else self.help

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"description": self.description}


@dataclass(frozen=True)
class Declared:
    """A field as the model declares it. ``most`` is its upper bound, if it has one; ``nullable``: it needs no value."""

    name: str
    kind: Kind
    nullable: bool
    required: bool
    default: Any
    most: float | None
    setting: Setting

    def as_text(self, value: Any) -> str:
        """A value as a form has it."""
        return "" if value is None else str(getattr(value, "value", value))


def declared(model: type[BaseModel]) -> dict[str, Declared]:
    """The settings of a model by name, in its order."""
    return {name: _declared(name, info) for name, info in model.model_fields.items()}


def _declared(name: str, info: FieldInfo) -> Declared:
    value_type, nullable, metadata = _unwrapped(info.annotation, info.metadata)
    (setting,) = (one for one in metadata if isinstance(one, Setting))
    bounds = [bound for one in metadata if (bound := getattr(one, "le", None)) is not None]
    default = None if info.default is PydanticUndefined else info.default
    return Declared(
        name, _kind(value_type), nullable, info.is_required(), default, bounds[0] if bounds else None, setting
    )


def _unwrapped(annotation: Any, metadata: Iterable[Any]) -> tuple[type, bool, list[Any]]:
    """The type of the values, whether None is one too, and all that annotations say of them."""
    found, nullable = list(metadata), False
    while not isinstance(annotation, type):
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for one in more:
                found += one.metadata if isinstance(one, FieldInfo) else [one]
        elif get_origin(annotation) in (Union, UnionType):
            (annotation,) = (one for one in get_args(annotation) if one is not type(None))
            nullable = True
        else:
            raise TypeError(f"no setting can be {annotation!r}")
    return annotation, nullable, found


def _kind(value_type: type) -> Kind:
    if issubclass(value_type, bool):
        return "flag"
    if issubclass(value_type, StrEnum):
        return "choice"
    kinds: dict[type, Kind] = {int: "whole", float: "decimal", str: "text"}
    return kinds[value_type]
