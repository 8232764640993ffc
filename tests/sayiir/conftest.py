"""Each test has a backend in memory, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import InMemoryBackend, WorkflowClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.client.backends import Backend


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    with InMemoryBackend() as backend:
        yield backend


@pytest.fixture
def client(backend: Backend) -> WorkflowClient:
    return WorkflowClient(backend)
