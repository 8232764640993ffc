"""Addresses, names and origins: what is this machine, and what is this server."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable


_NOT_IN_HOST = re.compile(r"[^!-~]|[/?#@\\]")


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return is_address(address) and ip_address(address).is_loopback


def is_address(host: str) -> bool:
    """Whether a host is a plain address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def host_of(header: str) -> str | None:
    """The name or address in a `Host` header, without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return None if _NOT_IN_HOST.search(header) else parts.hostname


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHosts:
    """The names by which this server is reached.

    A page elsewhere can have its own name lead to this machine (DNS rebinding); the
    browser then takes what it reads for its own. So requests by other names are
    refused. A plain address is no name, and cannot be led anywhere.
    """

    names: frozenset[str]
    suffixes: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> KnownHosts:
        """Those names, localhost, and the name of this machine; `*.NAME` for all below.

        Names are compared in lower case.
        """
        lower = [name.lower() for name in names]
        own = socket.gethostname().lower()
        return cls(
            names=frozenset(
                ("localhost", own, *(one for one in lower if not one.startswith("*")))
            ),
            suffixes=tuple(one[1:] for one in lower if one.startswith("*.")),
        )

    def knows(self, host: str) -> bool:
        """Whether a request by that name or address is meant for this server."""
        name = host.lower().rstrip(".")
        return (
            name in self.names
            or is_address(name)
            or any(name.endswith(suffix) for suffix in self.suffixes)
        )

    def is_same_site(self, origin: str, host_header: str) -> bool:
        """Whether a page of that origin is one of this server's.

        Its address is that of the request, or, behind a proxy that calls this server by
        another name, one of the names in the settings.
        """
        try:
            parts = urlsplit(origin)
            _ = parts.port
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        if parts.netloc.lower() == host_header.lower():
            return True
        name = parts.hostname.lower()
        is_named = name in self.names or any(map(name.endswith, self.suffixes))
        return is_named and name != "localhost" and not is_address(name)
