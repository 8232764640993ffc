"""A log on a real Kafka, with foreign transactions among its commands, holds."""

from __future__ import annotations

import asyncio
import json
import secrets
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import Flow, KafkaBackend, WorkflowClient, run_durable_workflow, task
from sayiir_es.audit import verify
from sayiir_es.core.partitions import partition_of
from tests.kafka_app import delete_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

_kafka = import_module("confluent_kafka")  # by name: its type hints are partial

LIMIT_S = 30.0
PARTITIONS = 8
INSTANCES = 6


@task
def double(number: int) -> int:
    return number * 2


@pytest.fixture
def backend(
    kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KafkaBackend]:
    """An app of this test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = f"t-{secrets.token_hex(4)}"
    with KafkaBackend(kafka_bootstrap, app=app) as opened:
        yield opened

    asyncio.run(delete_app(kafka_bootstrap, app))


def send(producer: Any, topic: str, instance_id: str) -> None:
    """Produce a start as any client writes it."""
    command = {"command": "StartWorkflow", "workflow": "doubling", "input": 1}
    producer.produce(
        topic,
        key=instance_id.encode(),
        value=json.dumps({**command, "instance_id": instance_id}).encode(),
        partition=partition_of(instance_id.encode(), PARTITIONS),
    )


def test_commands_of_transactions_leave_no_gap(
    backend: KafkaBackend, kafka_bootstrap: str
) -> None:
    doubling = Flow("doubling").then(double).build()
    run_durable_workflow(doubling, "first", 1, backend=backend)
    producer = _kafka.Producer(
        {
            "bootstrap.servers": kafka_bootstrap,
            "transactional.id": secrets.token_hex(4),
        }
    )
    producer.init_transactions(LIMIT_S)
    topic = f"{backend.app}.commands"
    for number in range(INSTANCES):
        producer.begin_transaction()
        send(producer, topic, f"aborted-{number}")
        producer.flush(LIMIT_S)
        producer.abort_transaction(LIMIT_S)
        producer.begin_transaction()
        send(producer, topic, f"kept-{number}")
        producer.commit_transaction(LIMIT_S)
    client = WorkflowClient(backend)
    for number in range(INSTANCES):
        client.wait(f"kept-{number}", timeout=LIMIT_S)
    verdict = verify(backend)
    assert verdict.holds, verdict.violations[0]
    assert verdict.events > 4 * INSTANCES
    assert verify(backend, instance_id="kept-0").holds
