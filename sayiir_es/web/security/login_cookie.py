"""The cookie of a person who has logged in with a token.

It holds until when it counts, and a code that only who knows the token can make: not
the token itself. So every process that has the token reads it, and it ends with it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.web.security.tokens import Caller, Token

COOKIE = "sayiir_login"

VALID_S = 12 * 3600
"""How long a login counts: a working day."""


def login_cookie(secret: bytes, *, now_s: float) -> str:
    """The value of the cookie for who brought a token."""
    until = f"{now_s + VALID_S:.0f}"
    return f"{until}.{_code(secret, until)}"


def caller_of_cookie(
    value: str, tokens: tuple[Token, ...], *, now_s: float
) -> Caller | None:
    """Who logged in; None if the cookie is none, is over, or its token is gone."""
    until, _, code = value.partition(".")
    if not (until.isascii() and until.isdecimal() and code.isascii()):
        return None
    caller = None
    for token in tokens:
        if hmac.compare_digest(code, _code(token.secret, until)):
            caller = token.caller
    return caller if caller is not None and now_s < int(until[:12]) else None


def _code(secret: bytes, until: str) -> str:
    return hmac.digest(secret, f"sayiir login {until}".encode(), sha256).hex()
