"""The subjects of the log's conformance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.log.conformance import (
    EmbeddedSubject,
    KafkaSubject,
    MemorySubject,
    SimulatedSubject,
    Subject,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture(
    params=[
        *("memory", "simulated", "embedded"),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[Subject]:
    """A fresh app on each kind of log."""
    log_subject: MemorySubject | EmbeddedSubject | KafkaSubject
    if request.param == "memory":
        log_subject = MemorySubject()
    elif request.param == "simulated":
        log_subject = SimulatedSubject()
    elif request.param == "embedded":
        log_subject = EmbeddedSubject(tmp_path / "new" / "log.db")
    else:
        log_subject = KafkaSubject(request.getfixturevalue("kafka_bootstrap"))
    yield log_subject
    await log_subject.close()
