"""Bodies of requests have a limit, counted as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import Message, Receive

BODY_BYTES_MAX = 1024 * 1024
"""More than the largest payload that a command takes (768 KiB), with what is around."""

LARGER_BODIES = {"/import": 65 * 1024 * 1024}
"""Paths of pages that take files, with their limits in bytes."""

TOO_LARGE = 413


def body_limit(path: str) -> int:
    """How many bytes the body of a request to a path may have."""
    return LARGER_BODIES.get(path, BODY_BYTES_MAX)


def too_large(limit: int) -> str:
    """What is said of a body beyond its limit."""
    return f"expected a body of at most {limit} bytes, but it is larger"


class BoundedBody:
    """Receives a body, and raises at its limit: `Content-Length` may lie or lack."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            HTTPException: 413 beyond the limit. (FastAPI turns any other error of a
                body into its own.)
        """
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise HTTPException(TOO_LARGE, too_large(self._limit))
        return message
