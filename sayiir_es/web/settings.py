"""The settings of the web application: of the environment, and of options."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.environment import settings_where_set
from sayiir_es.operations.named_functions import load_function
from sayiir_es.web.masking import DEFAULT_NAMES, Masking

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

    Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the web application is reached, and what it hides.

    Attributes:
        token_file: Tokens that may look and act; none are asked for without any.
        read_token_file: Tokens that may look.
        proxy_header: Where a proxy in front says who asks.
        proxy_networks: From where this header is believed.
        hosts: Names by which it is reached, beside its own.
        masking: What is hidden of payloads and errors.
        trace_url: Where a trace is looked at, with `{trace_id}` in it; empty: nowhere.
    """

    token_file: Path | None = None
    read_token_file: Path | None = None
    proxy_header: str | None = None
    proxy_networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()
    masking: Masking = field(default_factory=lambda: Masking(names=DEFAULT_NAMES))
    trace_url: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who it is: only this machine may reach it then."""
        files = (self.token_file, self.read_token_file)
        return files == (None, None) and self.proxy_header is None


def read_web_settings(
    *, token_file: Path | None = None, read_token_file: Path | None = None
) -> WebSettings:
    """The settings of the environment; an option wins over them.

    Raises:
        SettingsError: if some cannot be used.
        UsageError: if there is no function of the name in `SAYIIR_MASK`.
    """
    settings = settings_where_set(
        "SAYIIR_API_", "SAYIIR_MASK", "SAYIIR_MASK_NAMES", "SAYIIR_TRACE_URL"
    )
    if settings is None:
        return WebSettings(token_file=token_file, read_token_file=read_token_file)
    return WebSettings(
        token_file=token_file or settings.api_token_file,
        read_token_file=read_token_file or settings.api_read_token_file,
        proxy_header=settings.api_proxy_header,
        proxy_networks=networks_of(settings.api_proxy_addresses),
        hosts=words_of(settings.api_hosts),
        masking=Masking(
            names=words_of(settings.mask_names),
            hook=load_function("SAYIIR_MASK", settings.mask),
        ),
        trace_url=checked_trace_url(settings.trace_url),
    )


def checked_trace_url(url: str | None) -> str:
    """The address of a trace, as a template; empty where there is none.

    Raises:
        SettingsError: if it is no address of the web, or has no place for the id.
    """
    if not url:
        return ""
    if not url.startswith(("https://", "http://")) or "{trace_id}" not in url:
        raise SettingsError(
            "expected SAYIIR_TRACE_URL to be as https://traces.example/{trace_id}, but "
            f"{url!r:.200}"
        )
    return url


def networks_of(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas between; an address is a network of one.

    Raises:
        SettingsError: if one of them is none.
    """
    try:
        return tuple(ip_network(one) for one in words_of(text))
    except ValueError as error:
        raise SettingsError(
            "expected SAYIIR_API_PROXY_ADDRESSES to hold addresses and networks such "
            f"as 10.0.0.0/8, but {error}"
        ) from error


def words_of(text: str) -> tuple[str, ...]:
    """What stands between the commas of a text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
