"""Children on a real Kafka: on other partitions, in every kind of end, and audited."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, KafkaBackend, Worker, WorkflowClient
from sayiir_es.audit import verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka

LIMIT_S = 60.0
COUNT = 40


def double(number: int) -> int:
    return number * 2


def fails(value: object) -> None:
    raise LookupError(f"not {value}")


def total(results: dict[str, int]) -> int:
    return sum(results.values())


CHILD = Flow[int]("child").then(double).build()
FAILING = Flow("failing").then(fails).build()
SLEEPER = Flow("sleeper").wait_for_signal("wake").build()
CAUTIOUS = (
    Flow("cautious")
    .attempt(Flow("in").start_child(FAILING))
    .on_error(lambda caught: caught["error"]["type"], errors=LookupError)
    .build()
)
PATIENT = Flow("patient").start_child(SLEEPER).build()


def test_children_on_all_partitions_of_a_kafka(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    app = f"children-{secrets.token_hex(4)}"
    wide = Flow("wide").fork()
    for number in range(COUNT):
        wide = wide.branch(Flow("b").start_child(CHILD, name=f"kid{number}"))
    fan = wide.join(total).build()
    with KafkaBackend(kafka_bootstrap, app=app, state_dir=tmp_path) as backend:
        client = WorkflowClient(backend)
        with Worker("w", backend).start([fan, CAUTIOUS, PATIENT]):
            ended = client.run(fan, "wide", 3, timeout=LIMIT_S)
            assert ended.output == 6 * COUNT
            ended = client.run(CAUTIOUS, "cautious", 3, timeout=LIMIT_S)
            assert ended.output == "LookupError"
            client.submit(PATIENT, "patient", 3, timeout=LIMIT_S)
            client.cancel("patient")
            assert client.wait("patient", timeout=LIMIT_S).status == "cancelled"
            kid = client.wait("patient/start_sleeper", timeout=LIMIT_S)
            assert kid.status == "cancelled"
        assert not verify(backend.url, state_dir=None).violations
