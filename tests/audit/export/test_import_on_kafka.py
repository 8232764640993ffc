"""An import into a cluster that has no such app makes what the export has."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, WorkflowClient, run_durable_workflow, task
from sayiir_es.audit import export, import_export
from sayiir_es.core.model.errors import UsageError
from sayiir_es.log.kafka.log import KafkaLog
from tests.kafka_app import delete_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka


@task
def double(value: int) -> int:
    return value * 2


doubling = Flow("doubling").then(double).build()


@pytest.fixture
def apps(kafka_bootstrap: str) -> Iterator[list[KafkaLog]]:
    """Two apps of this test's own, of three partitions where they are made here."""
    logs = [
        KafkaLog(kafka_bootstrap, app=f"t-{secrets.token_hex(4)}", partitions=3)
        for _ in range(2)
    ]
    yield logs
    for log in logs:
        asyncio.run(delete_app(kafka_bootstrap, log.app))


def partitions_of(log: KafkaLog) -> int:
    async def read() -> int:
        again = KafkaLog(log.bootstrap_servers, app=log.app)
        try:
            return (await again.open(create=False)).partitions
        finally:
            await again.close()

    return asyncio.run(read())


def url_of(log: KafkaLog) -> str:
    return f"kafka://{log.bootstrap_servers}/{log.app}"


def test_the_export_of_a_file_makes_an_app_of_one_partition(
    apps: list[KafkaLog], tmp_path: Path
) -> None:
    file_url = f"file:{tmp_path / 'log.db'}"
    run_durable_workflow(doubling, "a", 21, backend=file_url)
    export(file_url, tmp_path / "out")
    import_export(url_of(apps[0]), tmp_path / "out")
    assert partitions_of(apps[0]) == 1
    assert WorkflowClient(url_of(apps[0])).status("a").output == 42


def test_the_first_try_makes_as_many_partitions_as_the_export_has(
    apps: list[KafkaLog], tmp_path: Path
) -> None:
    origin, copy = apps

    async def make() -> None:
        await origin.open(create=True)
        await origin.close()

    asyncio.run(make())
    WorkflowClient(url_of(origin)).submit(doubling, "a", 1, ack="log")
    export(url_of(origin), tmp_path / "out")
    import_export(url_of(copy), tmp_path / "out")
    assert partitions_of(copy) == 3
    with pytest.raises(UsageError, match="expected an empty log"):
        import_export(url_of(copy), tmp_path / "out")


def test_an_app_with_another_count_is_refused_and_not_changed(
    apps: list[KafkaLog], tmp_path: Path
) -> None:
    async def make() -> None:
        await apps[0].open(create=True)
        await apps[0].close()

    asyncio.run(make())
    file_url = f"file:{tmp_path / 'log.db'}"
    run_durable_workflow(doubling, "a", 21, backend=file_url)
    export(file_url, tmp_path / "out")
    with pytest.raises(UsageError, match=r"of 1 partitions, .* but it has 3"):
        import_export(url_of(apps[0]), tmp_path / "out")
