"""Keys of limits as people write them: a text with names in braces.

`{workflow}` is the name of the workflow, `{workflow_input}` the input of the run and
`{input}` that of the task; behind a dot stands a field of it, or the place in a list:
`tenant:{workflow_input.customer.id}`. What is named must be a text or a whole number.

A rule of the engine is that it never decodes a value. As the key of a route, a key of a
limit is an exception: it is read strictly, and bounded in size.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn, cast

from sayiir_es.core.json_fields import is_list

if TYPE_CHECKING:
    from collections.abc import Callable

UNREADABLE_KEY = "unreadable_key"
"""The error type of an attempt whose key cannot be made."""

SOURCES = ("workflow", "workflow_input", "input")
"""What a name in braces may begin with."""

KEY_BYTES_MAX = 200
"""The longest key: with its prefix it is the id of a limit."""

LIMIT_MAX = 100_000
"""The largest limit of attempts that run at a time under one key."""

READ_BYTES_MAX = 768 * 1024
"""The largest value that is looked into: a payload as large as any may be."""

_NAMED = re.compile(r"\{([^{}]*)\}")


class UnreadableKeyError(ValueError):
    """What a key names is not there, or is nothing that can be part of a key."""


def check_template(template: str, what: str) -> str:
    """The template, if it is one; `what` names the option.

    Raises:
        ValueError: if it is empty, too long, or names what there is not.
    """
    if not 0 < len(template.encode()) <= KEY_BYTES_MAX:
        raise ValueError(
            f"expected {what} of 1 to {KEY_BYTES_MAX} bytes, but {template[:64]!r} has "
            f"{len(template.encode())}"
        )
    for name in _NAMED.findall(template):
        source, *fields = name.split(".")
        if (
            source not in SOURCES
            or not all(fields)
            or (source == "workflow" and fields)
        ):
            raise ValueError(
                f"expected {what} with {{workflow}}, {{workflow_input.FIELD}} or "
                f"{{input.FIELD}}, but {template!r} has {{{name}}}"
            )
    if "{" in _NAMED.sub("", template) or "}" in _NAMED.sub("", template):
        raise ValueError(f"expected {what} whose braces are closed, but {template!r}")
    return template


def render(template: str, workflow: str, read: Callable[[str], bytes]) -> str:
    """The key that a template makes; `read` gives the bytes of a source.

    Raises:
        UnreadableKeyError: if a value is not what a key can be made of.
    """
    if "{" not in template:
        return template

    def text_of(named: re.Match[str]) -> str:
        source, *fields = named[1].split(".")
        if source == "workflow":
            return workflow
        return _text_at(read(source), fields, named[0])

    key = _NAMED.sub(text_of, template)
    size = len(key.encode())
    if size > KEY_BYTES_MAX or "\0" in key:
        seen = "a NUL" if "\0" in key else f"{size} bytes"
        raise UnreadableKeyError(
            f"expected a key of at most {KEY_BYTES_MAX} bytes, but {template!r} makes "
            f"{seen}"
        )
    return key


def _text_at(data: bytes, fields: list[str], name: str) -> str:
    """The text or number that stands at some fields of a value."""
    value = _value_of(data, name)
    for field in fields:
        inner: object = None
        if isinstance(value, dict):
            inner = cast("dict[object, object]", value).get(field)
        elif is_list(value) and field.isascii() and field.isdecimal():
            inner = value[int(field)] if int(field) < len(value) else None
        value = inner
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UnreadableKeyError(
                f"expected text that UTF-8 can carry at {name}, but {error}"
            ) from error
        return value
    seen = "nothing" if value is None else f"a {type(value).__name__}"
    seen = "an empty text" if value == "" else seen
    raise UnreadableKeyError(f"expected a text or a whole number at {name}, but {seen}")


def _value_of(data: bytes, name: str) -> object:
    if len(data) > READ_BYTES_MAX:
        raise UnreadableKeyError(
            f"expected a value of at most {READ_BYTES_MAX} bytes behind {name}, but "
            f"{len(data)} bytes"
        )
    try:
        value: object = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadableKeyError(
            f"expected JSON behind {name}, but {type(error).__name__}: {error}"
        ) from error
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
