"""What every response says to browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import MutableHeaders

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data:; "  # small pictures in style sheets
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, and no script or style inside a page."""

_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers that do not know `frame-ancestors`
    # Not `no-referrer`: forms would come with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

_STATIC = "no-cache"  # kept, and asked after: a newer version comes with its pages
_LIVE = "no-store"


def add_headers(headers: MutableHeaders, path: str) -> None:
    """Add what every response has."""
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault(
        "cache-control", _STATIC if path.startswith("/static/") else _LIVE
    )
