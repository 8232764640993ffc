"""Forms of ours alone: a token that a page elsewhere cannot know (CSRF).

Theory of operation. The browser has a random token in a cookie, and each form of a page
has the same one in a hidden field. A page elsewhere can make a browser send a form with
the cookie, but reads neither. It holds beside the check of `Origin`.
Nothing is kept on the server, so several may run.

How a page uses it:

* a form that posts has a field `csrf_token` with the value `csrf_token`, which every
  template has (`parts.csrf()`);
* what htmx or a script sends has it as the header `X-CSRF-Token`; a script takes it
  from `<meta name="csrf-token">`.

Every route of the pages that is no GET is checked, with nothing to be done for it. The
REST API takes no forms, and so needs no token of this kind.
"""

from __future__ import annotations

import hmac
import secrets

from fastapi import Request

from sayiir_es.core.model.errors import ForbiddenError

COOKIE = "sayiir_csrf"
FIELD = "csrf_token"
HEADER = "x-csrf-token"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))

_CHARACTERS = 43  # of 32 random bytes, as `secrets` writes them


class CsrfToken:
    """The token of one browser: of its cookie, or a new one."""

    def __init__(self, cookie: str | None) -> None:
        is_whole = cookie is not None and len(cookie) == _CHARACTERS
        self._cookie = cookie if is_whole and cookie and cookie.isascii() else None
        self._new: str | None = None

    def value(self) -> str:
        """The token for a page; a new one goes out as a cookie with its response."""
        if self._cookie is not None:
            return self._cookie
        if self._new is None:
            self._new = secrets.token_urlsafe(32)
        return self._new

    def new_value(self) -> str | None:
        """The token that the response must bring as a cookie, if any."""
        return self._new

    def matches(self, given: object) -> bool:
        """Whether a form or header brings the token of the cookie."""
        return (
            self._cookie is not None
            and isinstance(given, str)
            and hmac.compare_digest(given.encode(), self._cookie.encode())
        )


async def check_csrf(request: Request) -> None:
    """Refuse a form that no page of ours sent; a dependency of all routes of pages.

    Raises:
        ForbiddenError: if it brings no token, or not that of its browser.
    """
    if request.method in SAFE_METHODS:
        return
    token = request.state.csrf
    assert isinstance(token, CsrfToken)
    given: object = request.headers.get(HEADER)
    if given is None:
        given = (await request.form()).get(FIELD)
    if not token.matches(given):
        raise ForbiddenError(
            "expected a form of a page of this server, but it brings no token of one: "
            "open the page again, with cookies allowed"
        )
