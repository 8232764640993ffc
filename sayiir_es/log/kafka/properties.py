r"""Reads `client.properties`: Java's format of settings, each with its line number.

Keys and values are as Java's `Properties` reads them: comments begin with `#` or `!`,
`=`, `:` or a space ends a key, a line that ends with `\` goes on in the next one, and
`\t`, `\n`, `\u0041` are escapes. So are the files of librdkafka's tools, which have
neither escapes nor continuations.

A value may name where it stands, as Kafka's own providers of settings do, so that no
password has to be in the file: `${file:PATH:KEY}` is a key of another such file,
`${dir:PATH:NAME}` or `${directory:PATH:NAME}` the content of a file in a folder, and
`${env:NAME}` a variable of the environment.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_BYTES_MAX = 1 << 20
"""A file of settings is smaller than this; a larger one is something else."""

_KEY = re.compile(r"(?:\\.|[^\\=:\s])*")
_SEPARATOR = re.compile(r"[ \t\f]*[=:]?[ \t\f]*")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_REFERENCE = re.compile(r"\$\{(file|dir|directory|env):([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting; `source` names where it stands, for an error."""

    key: str
    value: str
    source: str


def read_file(path: Path) -> str:
    """The text of a file that a setting names, without its last newline.

    Raises:
        SettingsError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise SettingsError(
            f"expected a file that can be read at {str(path)!r}, but {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"expected text in UTF-8 in {str(path)!r}, but byte {error.start} is none"
        ) from None  # the error would show what is in the file
    if len(data) > FILE_BYTES_MAX:
        raise SettingsError(
            f"expected at most {FILE_BYTES_MAX} bytes in {str(path)!r}, but it has more"
        )
    return text.removesuffix("\n").removesuffix("\r")


def read_properties(path: Path) -> tuple[Entry, ...]:
    """The settings of a file, in its order; the last of a key counts.

    Raises:
        SettingsError: if it cannot be read, or names something that cannot.
    """
    entries: dict[str, Entry] = {}
    for number, key, raw in parse_properties(read_file(path)):
        source = f"{path}, line {number}: {key}"
        entries.pop(key, None)
        entries[key] = Entry(key=key, value=_resolved(raw, source), source=source)
    return tuple(entries.values())


def parse_properties(text: str) -> Iterator[tuple[int, str, str]]:
    """Each setting of a text, with the number of the line where it begins."""
    for number, line in _logical_lines(text):
        match = _KEY.match(line)
        assert match is not None
        separator = _SEPARATOR.match(line, match.end())
        assert separator is not None
        key, value = match.group(), line[separator.end() :]
        yield number, _unescaped(key), _unescaped(value)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that hold something, joined where one goes on in the next."""
    begun, parts = 0, list[str]()
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = raw.lstrip(" \t\f")
        if not parts:
            if not line or line[0] in "#!":
                continue
            begun = number
        if (len(line) - len(line.rstrip("\\"))) % 2:
            parts.append(line[:-1])
            continue
        yield begun, "".join([*parts, line])
        parts.clear()
    if parts:
        yield begun, "".join(parts)


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _CONTROLS.get(code, code)

    return _ESCAPE.sub(character, text)


def _resolved(value: str, source: str) -> str:
    """The value, with what it names elsewhere in its place."""

    def content(match: re.Match[str]) -> str:
        provider, argument = match.groups()
        try:
            return _provided(provider, argument)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from error

    return _REFERENCE.sub(content, value)


def _provided(provider: str, argument: str) -> str:
    if provider == "env":
        value = os.environ.get(argument)
        if value is None:
            raise SettingsError(
                f"expected {argument!r} in the environment, but it is not set"
            )
        return value
    path, colon, name = argument.rpartition(":")
    if not colon:
        raise SettingsError(
            f"expected ${{{provider}:PATH:NAME}}, but there is no name in {argument!r}"
        )
    if provider != "file":
        return read_file(Path(path) / name)
    values = {key: value for _, key, value in parse_properties(read_file(Path(path)))}
    if name not in values:
        raise SettingsError(f"expected {name!r} in {path!r}, but it is not there")
    return values[name]
