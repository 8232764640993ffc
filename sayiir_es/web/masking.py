"""What pages and API hide of what users wrote: passwords, tokens and the like.

A value is hidden whose name has one of the words of the settings in it, in any case:
`password`, `api_token`, `cardNumber`. This holds at any depth of a payload, and for
attributes and headers alike. In a text, such as an error, a traceback or a reason, what
stands behind such a name and `=` or `:` is hidden, and the password of a URL. Beyond
this a hook of the program (`SAYIIR_MASK`) is asked about every value that is left; it
can hide more, never less.

The log holds what was written: what may stand in no log must not be a payload.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from sayiir_es.operations.text import payload_value
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Path: TypeAlias = tuple[str | int, ...]
    MaskHook: TypeAlias = Callable[[Path, object], object]

logger = get_logger(__name__)

HIDDEN = "***"
DEFAULT_NAMES = ("password", "token", "secret", "authorization", "card")

_URL_PASSWORD = re.compile(r"(://[^\s/:@]{0,256}:)[^\s/]{1,1024}(?=@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """The rules of what is hidden.

    Attributes:
        names: What is in the names of values that are hidden.
        hook: Called with the path of a value, names and places in lists, and the value;
            what it returns is shown.
    """

    names: tuple[str, ...]
    hook: MaskHook | None = None
    _lower: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _in_text: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lower = tuple(name.lower() for name in self.names if name)
        object.__setattr__(self, "_lower", lower)
        object.__setattr__(self, "_in_text", _pattern_of(lower) if lower else None)

    def payload(self, data: bytes | None) -> object:
        """The value of a payload's bytes as it is shown; None where there is none."""
        return None if data is None else self.value(payload_value(data))

    def value(self, value: object, path: Path = ()) -> object:
        """A JSON value as it is shown.

        `path` says where it stands: `("token",)` hides it.
        """
        if path and self.hides(path[-1]) and value is not None:
            return HIDDEN
        shown = self._inside(value, path)
        return shown if self.hook is None else self._ask(self.hook, path, shown)

    def text(self, text: str) -> str:
        """A text as it is shown: an error, a traceback, a reason; the hook is asked."""
        shown = self._by_rules(text)
        return shown if self.hook is None else str(self._ask(self.hook, (), shown))

    def _by_rules(self, text: str) -> str:
        if self._in_text is not None:
            text = self._in_text.sub(rf"\1{HIDDEN}", text)
        return _URL_PASSWORD.sub(rf"\1{HIDDEN}", text) if "://" in text else text

    def hides(self, name: str | int) -> bool:
        """Whether a value of that name is hidden."""
        if not isinstance(name, str):
            return False
        lower = name.lower()
        return any(word in lower for word in self._lower)

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The fields of an event, an instance or a snapshot as they are shown.

        Their names are ours, as are those of nodes and signals, and hide nothing: a
        task `charge_card` is shown. What a user wrote stands in their values.
        """
        return {name: self._field(name, value) for name, value in fields.items()}

    def _field(self, name: str, value: object) -> object:
        if name in _NAMES:
            return value
        if name in _BY_NODE and isinstance(value, dict):
            entries = cast("dict[str, object]", value).items()
            return {node: self.value(entry) for node, entry in entries}
        return self.value(value)

    def _inside(self, value: object, path: Path) -> object:
        if isinstance(value, str):
            return self._by_rules(value)
        if isinstance(value, dict):
            items = cast("dict[str, object]", value).items()
            return {name: self.value(item, (*path, name)) for name, item in items}
        if isinstance(value, list | tuple):
            entries = cast("list[object]", value)
            return [self.value(one, (*path, at)) for at, one in enumerate(entries)]
        return value

    def _ask(self, hook: MaskHook, path: Path, value: object) -> object:
        try:
            return hook(path, value)
        except Exception:
            logger.exception("mask.failed")
            return HIDDEN


_NAMES = frozenset(
    (
        *("instance_id", "workflow", "status", "kind", "path", "cause", "signal"),
        *("definition_hash", "graph_digest", "version", "error_type", "command_id"),
    )
)
"""Fields that name things, and say nothing of what is in them."""

_BY_NODE = frozenset(
    ("attempts", "cursors", "values", "signals", "routes", "mapping", "error_details")
)
"""Fields that hold others by the name of a node, or by a name of ours."""


_NO_ERROR = r"(?<!error)(?<!exception)(?<!warning)(?![\w-])"
"""Behind a whole name that is not that of a class of errors."""


def _pattern_of(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds `name=value` and `"name": "value"`, a `Bearer` before the value too.

    What a class of errors says, `CardDeclinedError: …`, is its message and no value;
    so is what we say of a field, `page_token: expected …`.
    Begins at the name, not at what stands before it, and all is bounded: so it takes
    time by the length of the text, whatever is in it.
    """
    words = "|".join(re.escape(name) for name in names)
    value = r'"(?:[^"\\\n]|\\.){0,4096}"|' + r"'(?:[^'\\\n]|\\.){0,4096}'"
    # A list or an object is hidden whole, with one level of others in it.
    value += r"|\{(?:[^{}]{1,1024}+|\{[^{}]{0,1024}+\}){0,64}+\}"
    value += r"|\[(?:[^\[\]]{1,1024}+|\[[^\[\]]{0,1024}+\]){0,64}+\]"
    return re.compile(
        rf"((?:{words})[\w-]{{0,64}}{_NO_ERROR}\\?[\"']?\s{{0,8}}[=:]\s{{0,8}}"
        r"(?!expected\s)"
        rf"(?:(?:bearer|basic)\s{{1,8}})?)(?:{value}|[^\s,;&)}}\]]{{1,4096}})",
        re.IGNORECASE,
    )
