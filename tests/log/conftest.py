"""The subjects of the log's conformance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.log.conformance import EmbeddedSubject, KafkaSubject, MemorySubject, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture(
    params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)]
)
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[Subject]:
    """A fresh app on each kind of log."""
    made: MemorySubject | EmbeddedSubject | KafkaSubject
    if request.param == "memory":
        made = MemorySubject()
    elif request.param == "embedded":
        made = EmbeddedSubject(tmp_path / "new" / "log.db")
    else:
        made = KafkaSubject(request.getfixturevalue("kafka_bootstrap"))
    yield made
    await made.close()
