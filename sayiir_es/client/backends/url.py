"""A backend from its URL, or for the time of one call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import finalize

from sayiir_es.backend_url import expected_backend, is_backend_url
from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.backends.embedded import EmbeddedBackend
from sayiir_es.client.backends.in_memory import InMemoryBackend
from sayiir_es.client.backends.kafka import KafkaBackend
from sayiir_es.client.backends.kept import KEPT_BACKENDS

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from sayiir_es.wire.payload_codec import Codecs


def backend_from_url(
    url: str,
    *,
    kafka_config: str | os.PathLike[str] | None = None,
    codec: Codecs | None = None,
) -> Backend:
    """The backend that a URL names.

    `memory:` · `file:PATH` · `kafka://HOST:PORT[,HOST:PORT…]/APP`; `kafka_config` is a
    `client.properties` that says how brokers are reached, in place of the one that
    `SAYIIR_KAFKA_CONFIG` names, and `codec` makes bytes of values.

    Raises:
        ValueError: if it names none.
    """
    if not is_backend_url(url):
        raise ValueError(expected_backend(url))
    if url == "memory:":
        return InMemoryBackend(codec=codec)
    if url.startswith("file:"):
        return EmbeddedBackend(url[len("file:") :], codec=codec)
    servers, _, app = url.removeprefix("kafka://").partition("/")
    return KafkaBackend(
        servers, app=app.strip("/") or "sayiir", config=kafka_config, codec=codec
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


def backend_of(user: object, backend: object) -> Backend:
    """As `as_backend`; one that is made from a URL is closed when its user has gone."""
    made = as_backend(backend)
    if made is not backend:
        # At the end of the process everything ends anyway.
        finalize(user, made.close_soon).atexit = False
    return made


@contextmanager
def use_backend(backend: Backend | str) -> Generator[Backend]:
    """A backend for one call; that of a URL stays open for the calls behind it.

    Raises:
        ValueError: if a URL names none.
    """
    if isinstance(backend, Backend):
        yield backend
        return
    made = as_backend(backend)
    if isinstance(made, InMemoryBackend):  # each URL in memory is a log of its own
        with made:
            yield made
        return
    with KEPT_BACKENDS.use(made.key, lambda: made) as kept:
        yield kept
