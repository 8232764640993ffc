"""Tokens in files: what callers that are not on this machine must bring.

A file has a token a line, or a name and a token with a space between; the name is
recorded as who asked. Empty lines and those that begin with `#` are left out. A file
that changes is read again, so a token can be exchanged while it runs.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN_CHARACTERS_MIN = 16
"""A shorter token could be guessed."""

FILE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: Recorded as who asked, where it is known.
        may_act: Whether it may do more than look.
    """

    name: str = ""
    may_act: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, and who brings it."""

    secret: bytes
    caller: Caller


class TokenFile:
    """The tokens of one file.

    Raises:
        SettingsError: if it cannot be read, holds no token, or one that is too short.
    """

    def __init__(self, path: Path, variable: str, *, may_act: bool) -> None:
        self._path = path
        self._variable = variable
        self._may_act = may_act
        self._stamp: tuple[int, int, int] | None = None
        self._tokens = self._read()

    def tokens(self) -> tuple[Token, ...]:
        """The tokens that count now; none while the file cannot be used."""
        try:
            if self._stamp != self._look():
                self._tokens = self._read()
        except (OSError, SettingsError):
            self._stamp, self._tokens = None, ()
        return self._tokens

    def _look(self) -> tuple[int, int, int]:
        status = os.stat(self._path)  # noqa: PTH116 (a hot path: each request)
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[Token, ...]:
        try:
            self._stamp = self._look()
            with self._path.open("rb") as file:
                lines = file.read(FILE_BYTES_MAX).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"expected {self._variable} to name a readable file of tokens, but "
                f"{error}"
            ) from error
        rows = [line.split() for line in lines if not line.lstrip().startswith("#")]
        tokens = tuple(self._token_of(row) for row in rows if row)
        if not tokens:
            raise SettingsError(
                f"expected {self._variable} to name a file with a token, but "
                f"{str(self._path)!r} has none"
            )
        return tokens

    def _token_of(self, row: list[str]) -> Token:
        *names, secret = row
        if len(names) > 1 or len(secret) < TOKEN_CHARACTERS_MIN:
            raise SettingsError(
                f"expected each line of {str(self._path)!r} to be [NAME ]TOKEN with a "
                f"token of {TOKEN_CHARACTERS_MIN} or more characters, but one has "
                + (f"{len(row)} words" if len(names) > 1 else f"{len(secret)}")
            )
        caller = Caller(name="".join(names), may_act=self._may_act)
        return Token(secret=secret.encode(), caller=caller)


def caller_of(secret: bytes, tokens: tuple[Token, ...]) -> Caller | None:
    """Who brings a token; takes as long for a wrong one, whatever is in it."""
    digest = sha256(secret).digest()
    caller = None
    for token in tokens:
        if hmac.compare_digest(digest, sha256(token.secret).digest()):
            caller = token.caller
    return caller
