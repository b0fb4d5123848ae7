"""What is allowed where a request has a field that its form does not know."""

import types
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

_MOST_NAMED: Final = 40


def allowed_fields(form: Any, where: Sequence[str | int]) -> list[str]:
    """Return the fields of the part of ``form`` that stands at ``where``: names of fields, places in lists, and tags
    of alternatives, as pydantic tells where an error is. Empty: that part is none with fields."""
    parts = _alternatives(form)
    for step in where:
        parts = [inner for part in parts for inner in _inside(part, step)]
    fields = [name for part in parts if _is_model(part) for name in _names(part)]
    return list(dict.fromkeys(fields))[:_MOST_NAMED]


def _inside(part: Any, step: str | int) -> list[Any]:
    if not _is_model(part):
        return [inner for item in get_args(part) for inner in _alternatives(item)]  # of a list, or values by name
    field = part.model_fields.get(step) or next(
        (field for field in part.model_fields.values() if step == field.alias), None
    )
    if field is not None:
        return _alternatives(field.annotation)
    tags = [
        get_args(field.annotation) for field in part.model_fields.values() if get_origin(field.annotation) is Literal
    ]
    return [part] if any(step in tag for tag in tags) else []


def _alternatives(form: Any) -> list[Any]:
    if get_origin(form) is Annotated:
        return _alternatives(get_args(form)[0])
    if get_origin(form) in (Union, types.UnionType):
        return [inner for item in get_args(form) for inner in _alternatives(item)]
    return [form]


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _names(part: Any) -> list[str]:
    return [field.alias or name for name, field in part.model_fields.items()]
