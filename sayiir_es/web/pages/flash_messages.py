"""What the next page tells once: "3 instances are cancelled".

An act is a form that posts; its answer sends the browser to a page (303) and leaves a
text for it in a cookie, which that page shows and removes.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Literal, TypeAlias

from fastapi.responses import RedirectResponse

if TYPE_CHECKING:
    from fastapi import Request, Response

FlashKind: TypeAlias = Literal["done", "warning", "error"]

COOKIE = "sayiir_flash"

TEXT_MAX = 600
"""How many characters are kept: a cookie holds 4 KiB."""

KEPT_S = 60


def redirect(address: str, text: str, kind: FlashKind = "done") -> Response:
    """Send the browser to a page of ours, which tells the text."""
    response = RedirectResponse(address, status_code=303)
    flash(response, text, kind)
    return response


def flash(response: Response, text: str, kind: FlashKind = "done") -> None:
    """Leave a text for the next page."""
    value = base64.urlsafe_b64encode(json.dumps([kind, text[:TEXT_MAX]]).encode())
    response.set_cookie(
        COOKIE, value.decode(), max_age=KEPT_S, httponly=True, samesite="strict"
    )


def read_flashes(request: Request) -> tuple[tuple[str, str], ...]:
    """What is to be told now, as pairs of a kind and a text; none if unreadable."""
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return ()
    try:
        kind, text = json.loads(base64.urlsafe_b64decode(cookie))
    except (ValueError, TypeError):
        return ()
    if kind not in ("done", "warning", "error") or not isinstance(text, str):
        return ()
    return ((kind, text),)


def forget_flashes(response: Response) -> None:
    """Remove what has been told."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
