"""Starts on a real Kafka: with nobody there, with a worker, and many at once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InstanceAlreadyExistsError,
    KafkaBackend,
    NoWorkerError,
    SubmitManyError,
    Worker,
    WorkflowClient,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

LIMIT_S = 60.0
COUNT = 300


def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).build()


@pytest.fixture
def backend(kafka_bootstrap: str, tmp_path: Path) -> Iterator[KafkaBackend]:
    app = f"starts-{secrets.token_hex(4)}"
    with KafkaBackend(kafka_bootstrap, app=app, state_dir=tmp_path) as backend:
        yield backend


def test_starts_before_a_worker_is_there_and_behind_it(backend: KafkaBackend) -> None:
    client = WorkflowClient(backend)
    durable = client.submit(doubling, "durable", 1, ack="log")
    assert durable.status == "submitted"
    for start in (client.submit, client.run):
        with pytest.raises(NoWorkerError, match=r"within 1\.5 s, but no worker owns"):
            start(doubling, "late", 2, timeout=1.5, command_id="once")
    with Worker("w", backend).start([doubling]):
        late = client.run("doubling", "late", 2, command_id="once", timeout=LIMIT_S)
        assert (late.output, late.run) == (4, 1)
        assert client.wait("durable", timeout=LIMIT_S).output == 2
        with pytest.raises(InstanceAlreadyExistsError):
            client.run(doubling, "late", 2, timeout=LIMIT_S)
        starts = [(f"i{number}", number) for number in range(COUNT)]
        ended = client.submit_many(doubling, starts, wait=True, timeout=LIMIT_S)
        assert [status.output for status in ended] == [2 * n for _, n in starts]
        with pytest.raises(SubmitManyError) as caught:
            client.submit_many(doubling, [*starts[:2], ("another", 1)])
        assert [name for name, _ in caught.value.errors] == ["i0", "i1"]
        found = client.list_page(limit=COUNT, workflow="doubling")
        assert len(found.instances) == COUNT
        assert found.next_token is not None
        rest = client.list_page(token=found.next_token, workflow="doubling")
        assert (len(rest.instances), rest.next_token) == (3, None)


def write(size: int) -> str:
    return "x" * size


def test_lists_of_large_instances_come_in_replies_that_kafka_takes(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    app = f"pages-{secrets.token_hex(4)}"
    backend = KafkaBackend(kafka_bootstrap, app=app, state_dir=tmp_path, partitions=1)
    large = Flow("large").then(write).build()
    expected = [f"i{number}" for number in range(11, -1, -1)]
    client = WorkflowClient(backend)
    with backend, Worker("w", backend).start([large]):
        for instance_id in reversed(expected):
            client.run(large, instance_id, 200_000, timeout=LIMIT_S)
        assert [one.instance_id for one in client.list(limit=12)] == expected
        first = client.list_page(limit=7)
        rest = client.list_page(limit=7, token=first.next_token)
    pages = [*first.instances, *rest.instances]
    assert [one.instance_id for one in pages] == expected
