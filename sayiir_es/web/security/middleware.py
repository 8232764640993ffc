"""What every request passes, before and behind the application.

In this order: the name by which it came, the site that it came from, who sent it and
whether it may act, the size of its body. An error that nobody foresaw ends here too, in
a response that does not tell how we are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request

from sayiir_es.core.model.errors import (
    InternalError,
    RequestTooLargeError,
    WorkflowError,
)
from sayiir_es.telemetry import get_logger
from sayiir_es.web.security import csrf
from sayiir_es.web.security.access import NOBODY
from sayiir_es.web.security.bodies import BoundedBody, body_limit, too_large
from sayiir_es.web.security.response_headers import add_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sayiir_es.web.security.access import Access

logger = get_logger(__name__)

WITHOUT_FORMS = ("/api/", "/static/", "/health/", "/metrics", "/openapi.json", "/live")
"""Where no page is asked for, and so no cookie of forms is sent."""


class SecurityMiddleware:
    """Stands before an application (ASGI).

    Args:
        app: What answers.
        access: Who may ask.
        respond: Makes the response to a request that an error ended.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        respond: Callable[[Request, WorkflowError], Response],
    ) -> None:
        self._app = app
        self._access = access
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        sending = _Sending(send, request)
        request.state.csrf = sending.csrf
        if not request.url.path.startswith(WITHOUT_FORMS):
            request.state.csrf_token = sending.csrf.value()
        request.state.caller = NOBODY
        keep_segments(scope)
        try:
            limit = body_limit(scope["path"])
            self._admit(request, limit)
            await self._app(scope, BoundedBody(receive, limit), sending)
        except ClientDisconnect:
            return
        except WorkflowError as error:
            await self._end(request, error, receive, sending)
        except Exception:
            what = f"{request.method} {_route_of(scope)}"
            logger.exception("request.failed", reason=what)
            unforeseen = InternalError(
                "expected an answer, but something went wrong that nobody foresaw"
            )
            await self._end(request, unforeseen, receive, sending)

    def _admit(self, request: Request, limit: int) -> None:
        self._access.check_source(request)
        request.state.caller = self._access.check_caller(request)
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > limit:
            raise RequestTooLargeError(too_large(limit))

    async def _end(
        self, request: Request, error: WorkflowError, receive: Receive, send: _Sending
    ) -> None:
        if not send.has_begun:
            response = self._respond(request, error)
            await response(request.scope, receive, send)


class _Sending:
    """Sends a response, with the headers that each has."""

    def __init__(self, send: Send, request: Request) -> None:
        self.csrf = csrf.CsrfToken(request.cookies.get(csrf.COOKIE))
        self.has_begun = False
        self._send = send
        self._path = request.url.path
        self._is_encrypted = is_encrypted(request)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            add_headers(headers, self._path)
            token = self.csrf.new_value()
            if token is not None:
                headers.append(
                    "set-cookie",
                    f"{csrf.COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict",
                )
            if self._is_encrypted:
                _secure_cookies(headers)
        await self._send(message)


def _secure_cookies(headers: MutableHeaders) -> None:
    """Let browsers send no cookie of ours unencrypted."""
    cookies = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for cookie in cookies:
        is_marked = "; secure" in cookie.lower()
        headers.append("set-cookie", cookie if is_marked else f"{cookie}; Secure")


def keep_segments(scope: Scope) -> None:
    """Let an encoded slash of an address of the API be no slash between its parts.

    The router sees the decoded path alone; a route that takes an id reads it as it was
    sent (`api.values`).
    """
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" in raw.lower() and scope["path"].startswith("/api/"):
        text = raw.decode("latin-1").partition("?")[0]
        scope["path"] = "/".join(
            unquote(part).replace("/", "%2F") for part in text.split("/")
        )


def is_encrypted(request: Request) -> bool:
    """Whether the browser speaks HTTPS, with this server or with a proxy before it.

    Of several proxies the first one, that of the browser, comes first.
    """
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0]
    return request.url.scheme == "https" or said.strip().lower() == "https"


def _route_of(scope: Scope) -> str:
    """The path of the route, without what stands in it."""
    return str(getattr(scope.get("route"), "path", ""))
