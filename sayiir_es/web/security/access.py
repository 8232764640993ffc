"""Who sent a request, and whether it may do what it asks for."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    ForbiddenError,
    UnauthorizedError,
    UsageError,
)
from sayiir_es.web.security.addresses import KnownHosts, host_of, is_loopback
from sayiir_es.web.security.csrf import SAFE_METHODS
from sayiir_es.web.security.login_cookie import COOKIE, caller_of_cookie, login_cookie
from sayiir_es.web.security.tokens import Caller, TokenFile, caller_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from sayiir_es.web.security.tokens import Token
    from sayiir_es.web.settings import WebSettings

ANYBODY = Caller(may_act=True)
"""Who asks where no token is asked for: whoever is on this machine."""

NOBODY = Caller(may_act=False)
"""Who has not said who it is."""

OPEN_PATHS = ("/login", "/logout")
OPEN_PREFIXES = ("/static/", "/health/", "/errors/")
"""What needs no token: what the login page needs, and what orchestrators ask."""

_OWN_SITES = ("same-origin", "none")
"""What browsers say of requests that no page elsewhere made."""


class Access:
    """Holds requests to the settings.

    Raises:
        SettingsError: if a file of tokens cannot be used.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._is_open = settings.is_open
        self._hosts = KnownHosts.of(settings.hosts)
        self._proxy_header = settings.proxy_header
        self._proxies = settings.proxy_networks
        self._files = [
            TokenFile(path, variable, may_act=may_act)
            for path, variable, may_act in (
                (settings.token_file, "SAYIIR_API_TOKEN_FILE", True),
                (settings.read_token_file, "SAYIIR_API_READ_TOKEN_FILE", False),
            )
            if path is not None
        ]

    @property
    def takes_tokens(self) -> bool:
        """Whether a person can log in with a token."""
        return bool(self._files)

    def check_source(self, request: Request) -> None:
        """Refuse what came by another name, and what a page elsewhere sends.

        Raises:
            ForbiddenError: if it did.
        """
        header = request.headers.get("host", "")
        host = host_of(header)
        if host is None or not self._hosts.knows(host):
            raise ForbiddenError(
                "expected a request by a name of this server, but the host is "
                f"{header!r:.200}: name it in SAYIIR_API_HOSTS"
            )
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "none")
        if request.method in SAFE_METHODS:
            # A link from elsewhere leads here; a page elsewhere loads nothing.
            mode = request.headers.get("sec-fetch-mode", "navigate")
            if mode != "navigate" and site not in _OWN_SITES:
                raise ForbiddenError(
                    "expected a request of a page of this server, but it is one of "
                    f"{origin or site!r:.200}"
                )
            return
        is_own = (
            site in _OWN_SITES
            if origin is None
            else self._hosts.is_same_site(origin, header)
        )
        if not is_own:
            raise ForbiddenError(
                "expected a request of a page of this server, but it is one of "
                f"{origin or site!r:.200}; behind a proxy, name its host in "
                "SAYIIR_API_HOSTS"
            )

    def check_caller(self, request: Request) -> Caller:
        """Who asks.

        Raises:
            UnauthorizedError: if it must say who it is, and does not.
            ForbiddenError: if it may look only, and wants to act.
        """
        caller = self._find_caller(request)
        path: str = request.scope["path"]  # that of a URL depends on `Host`
        is_free = path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)
        if caller is None:
            if not is_free:
                raise UnauthorizedError(self._expectation(request))
            return NOBODY
        if not (caller.may_act or is_free or request.method in SAFE_METHODS):
            raise ForbiddenError(
                "expected a token that may act, but this one may only look"
            )
        return caller

    def log_in(self, secret: str) -> str | None:
        """The value of the cookie for who brings a token; None if it is not known."""
        data = secret.strip().encode("utf-8", "surrogatepass")
        if caller_of(data, self._tokens()) is None:
            return None
        return login_cookie(data, now_s=_now_s())

    def _find_caller(self, request: Request) -> Caller | None:
        if self._is_open:
            return ANYBODY
        return self._proxied_caller(request) or self._caller_with_token(request)

    def _proxied_caller(self, request: Request) -> Caller | None:
        if self._proxy_header is None or request.client is None:
            return None
        name = request.headers.get(self._proxy_header, "").strip()
        try:
            address = ip_address(request.client.host)
        except ValueError:  # of a socket without addresses
            return None
        is_proxy = any(address in network for network in self._proxies)
        return Caller(name=name[:256], may_act=True) if name and is_proxy else None

    def _caller_with_token(self, request: Request) -> Caller | None:
        tokens = self._tokens()
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return caller_of(secret.strip().encode("latin-1"), tokens)
        cookie = request.cookies.get(COOKIE)
        if cookie is None:
            return None
        return caller_of_cookie(cookie, tokens, now_s=_now_s())

    def _tokens(self) -> tuple[Token, ...]:
        return tuple(token for file in self._files for token in file.tokens())

    def _expectation(self, request: Request) -> str:
        if not self._files:
            address = request.client.host if request.client else "nowhere"
            return (
                f"expected the header {self._proxy_header!r} of a proxy at one of "
                f"SAYIIR_API_PROXY_ADDRESSES, but the request is of {address}"
            )
        if "authorization" in request.headers:
            return "expected a token that is known, but this one is not"
        return "expected `Authorization: Bearer TOKEN`, but there is none"


def _now_s() -> float:
    return time.time()  # noqa: TID251 (until when a login counts)


def check_binding(settings: WebSettings, address: str) -> None:
    """Refuse to be reached from elsewhere without asking who asks.

    Raises:
        UsageError: if others reach the address, and nothing is asked for.
    """
    if settings.is_open and not is_loopback(address):
        raise UsageError(
            "expected a token or a proxy in front of what others than this machine "
            f"reach, but {address} is open to all: put tokens into a file that "
            "--token-file or SAYIIR_API_TOKEN_FILE names, or name the header of the "
            "proxy by SAYIIR_API_PROXY_HEADER"
        )
