"""A backend from its URL, or for the time of one call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.backends.embedded import EmbeddedBackend
from sayiir_es.client.backends.in_memory import InMemoryBackend
from sayiir_es.client.backends.kafka import KafkaBackend

if TYPE_CHECKING:
    from collections.abc import Generator


def backend_from_url(url: str) -> Backend:
    """The backend that a URL names.

    `memory:` · `file:PATH` · `kafka://HOST:PORT[,HOST:PORT…]/APP`

    Raises:
        ValueError: if it names none.
    """
    if url == "memory:":
        return InMemoryBackend()
    if url.startswith("file:") and len(url) > len("file:"):
        return EmbeddedBackend(url[len("file:") :])
    if url.startswith("kafka://"):
        parts = urlsplit(url)
        if parts.netloc and not parts.query and parts.path.strip("/").count("/") == 0:
            return KafkaBackend(parts.netloc, app=parts.path.strip("/") or "sayiir")
    raise ValueError(
        "expected memory:, file:PATH or kafka://HOST:PORT[,HOST:PORT…]/APP, but "
        f"{url!r}"
    )


def as_backend(backend: object) -> Backend:
    """A backend, from one or from its URL.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(backend, Backend):
        return backend
    if isinstance(backend, str):
        return backend_from_url(backend)
    raise TypeError(
        "backend must be InMemoryBackend, EmbeddedBackend, KafkaBackend or a URL, but "
        f"{type(backend).__name__}"
    )


@contextmanager
def use_backend(backend: Backend | str) -> Generator[Backend]:
    """A backend for one call; one that was opened from a URL is closed after it.

    Raises:
        ValueError: if a URL names none.
    """
    if isinstance(backend, Backend):
        yield backend
        return
    with as_backend(backend) as url_backend:
        yield url_backend
