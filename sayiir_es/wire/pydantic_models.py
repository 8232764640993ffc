"""Pydantic models in the input and the result of a task.

When the annotation of a task's first parameter is a model, or holds one (`list[Order]`,
`Order | None`), its input is validated. Models in a result become JSON data. Where
pydantic is not imported, this costs one look at the loaded modules.
"""

from __future__ import annotations

import inspect
import sys
import typing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeGuard

from sayiir_es.core.authoring.loop_result import LoopResult, is_loop_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import BaseModel, TypeAdapter

FUNCTIONS_MAX = 4_096
"""How many functions' annotations are cached."""


def validate_input(function: Callable[..., object], value: object) -> object:
    """Return the value as the type of the function's first parameter.

    Raises:
        pydantic.ValidationError: if it does not fit the annotation.
    """
    if "pydantic" not in sys.modules:
        return value
    adapter = _adapter(function)
    return value if adapter is None else adapter.validate_python(value)


def dump_models(value: object) -> object:
    """Return the value with every model in it as JSON data; nothing else changes."""
    if "pydantic" not in sys.modules:
        return value
    model = _model()
    if is_loop_result(value):
        return LoopResult(value.tag, _dumped(value.value, model))
    return _dumped(value, model)


def _dumped(value: object, model: type[BaseModel]) -> object:
    if isinstance(value, model):
        return value.model_dump(mode="json")
    if _is_list(value):
        return [_dumped(item, model) for item in value]
    if _is_dict(value):
        return {key: _dumped(item, model) for key, item in value.items()}
    return value


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _is_dict(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, dict)


@lru_cache(maxsize=1)
def _model() -> type[BaseModel]:
    from pydantic import BaseModel  # noqa: PLC0415 (loaded already)

    return BaseModel


@lru_cache(maxsize=FUNCTIONS_MAX)
def _adapter(function: Callable[..., object]) -> TypeAdapter[object] | None:
    from pydantic import TypeAdapter  # noqa: PLC0415 (loaded already)

    hint = _first_hint(function)
    return TypeAdapter(hint) if _holds_model(hint) else None


def _first_hint(function: Callable[..., object]) -> Any:
    try:
        names = list(inspect.signature(function).parameters)
        return typing.get_type_hints(function).get(names[0]) if names else None
    except (NameError, TypeError, ValueError, AttributeError):
        return None  # an annotation that cannot be read is none


def _holds_model(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, _model()):
        return True
    return any(_holds_model(part) for part in typing.get_args(hint))
