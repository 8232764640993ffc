"""Backends: a log and a place for state, as an object or as a URL."""

from sayiir_es.client.backend_port import DEFAULT_URL
from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.backends.embedded import EmbeddedBackend
from sayiir_es.client.backends.in_memory import InMemoryBackend
from sayiir_es.client.backends.kafka import KafkaBackend
from sayiir_es.client.backends.url import (
    as_backend,
    backend_from_url,
    backend_of,
    use_backend,
)

__all__ = [
    "DEFAULT_URL",
    "Backend",
    "EmbeddedBackend",
    "InMemoryBackend",
    "KafkaBackend",
    "as_backend",
    "backend_from_url",
    "backend_of",
    "use_backend",
]
