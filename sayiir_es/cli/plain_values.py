"""Turn what was typed into what a function takes, without a library where it is plain.

Theory of operation. Typer turns every value by pydantic, whose import takes longer than
most commands run. A plain value has one meaning: a text, a number in digits, a word of
a choice, a path that can be read or made. It is turned here. Anything else, and
everything that is wrong, goes typer's own way and gets typer's own error.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Final,
    Literal,
    Self,
    TypeAlias,
    cast,
    get_args,
    get_origin,
)

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typer._click import Context

    Parameter: TypeAlias = TyperArgument | TyperOption

NOT_PLAIN: Final = object()
"""The result for a value that typer has to turn."""

_NUMBER = re.compile(r"[0-9]{1,18}")


def take_plain_values(parameters: Iterable[object]) -> None:
    """Let the parameters of a command turn plain values by themselves."""
    for parameter in parameters:
        if "get_runtime_param" in vars(parameter):
            continue  # done before
        if isinstance(parameter, TyperArgument | TyperOption):
            # Typer has no setting for this: it calls here what it would build.
            setattr(parameter, "get_runtime_param", _Coercion(parameter))  # noqa: B010


class _Coercion:
    """Turns the values of one parameter; typer calls it, and then its `coerce`."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._get_typers = parameter.get_runtime_param

    def __call__(self) -> Self:
        return self

    def coerce(self, value: object, param: Parameter, ctx: Context) -> object:
        """The value that the function takes.

        Raises:
            TyperException: if it is none.
        """
        descriptor = self._parameter.type_descriptor
        limits = descriptor.parameter_info
        plain = plain_value(
            descriptor.annotation, value, least=limits.min, most=limits.max
        )
        if plain is not NOT_PLAIN:
            return plain
        return self._get_typers().coerce(value, param, ctx)


def plain_value(
    annotation: object, value: object, *, least: float | None, most: float | None
) -> object:
    """The value that a function takes for what was typed, or `NOT_PLAIN`.

    Args:
        annotation: of the function's parameter.
        value: a text, texts, or the default.
        least: the least number that the parameter takes; None for any.
        most: the greatest one.
    """
    if annotation == list[str]:
        return _plain_texts(value)
    if value is None or _is_as_typed(annotation, value):
        return value
    if annotation is int:
        return _plain_number(value, least, most)
    if annotation is Path:
        return _plain_path(value)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        words = {str(member.value): member for member in annotation}
        return words.get(value, NOT_PLAIN) if isinstance(value, str) else NOT_PLAIN
    return NOT_PLAIN


def _is_as_typed(annotation: object, value: object) -> bool:
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is str:
        return type(value) is str
    return get_origin(annotation) is Literal and value in get_args(annotation)


def _plain_texts(value: object) -> object:
    """The texts of an option that may be repeated, or of arguments that follow."""
    if value is None:
        return ()
    if not isinstance(value, tuple | list):
        return NOT_PLAIN
    texts = cast("Sequence[object]", value)
    are_plain = all(isinstance(text, str) for text in texts)
    return list(texts) if are_plain else NOT_PLAIN


def _plain_path(value: object) -> object:
    """The path; where something lies there that cannot be read, typer says so."""
    if not isinstance(value, str) or not value:
        return NOT_PLAIN
    path = Path(value)
    is_plain = os.access(path, os.R_OK) or not os.path.lexists(path)
    return path if is_plain else NOT_PLAIN


def _plain_number(value: object, least: float | None, most: float | None) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return NOT_PLAIN
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        return NOT_PLAIN
    number = int(value)
    is_below = least is not None and number < least
    is_above = most is not None and number > most
    return NOT_PLAIN if is_below or is_above else number
