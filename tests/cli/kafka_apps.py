"""An app on a real Kafka for tests of the command line, gone behind the test."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sayiir_es.client.backends import KafkaBackend
from tests.kafka_app import delete_app

if TYPE_CHECKING:
    from collections.abc import Generator

    import pytest

    from tests.cli.conftest import Terminal


@contextmanager
def made_app(
    terminal: Terminal,
    bootstrap: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    partitions: int,
) -> Generator[KafkaBackend]:
    """An app of its own, made by `topic create` and named by SAYIIR_BACKEND."""
    name = f"t-{secrets.token_hex(4)}"
    monkeypatch.setenv("SAYIIR_BACKEND", f"kafka://{bootstrap}/{name}")
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    assert terminal(f"topic create --partitions {partitions}").code == 0
    yield KafkaBackend(bootstrap, app=name)

    asyncio.run(delete_app(bootstrap, name))
