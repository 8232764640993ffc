"""Confluent's frame and CloudEvents' headers on what workers and clients write."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import KafkaBackend, Worker, WorkflowClient
from sayiir_es.core.model.errors import SettingsError
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import Topic
from tests import kafka_app
from tests.cli.conftest import terminal as terminal  # noqa: PLC0414 - a fixture
from tests.streams import sample_workflows
from tests.streams.conftest import GO, program
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

BIG_MESSAGES = {
    "max.message.bytes": str(3 << 20),
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a registry for this module: franz-go's fake."""
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:{GO}")
    if go is None:
        pytest.skip("no Go: install Go 1.26 or newer for a registry to test against")
    program_file = tmp_path_factory.mktemp("go") / "registry"
    source = ROOT / "tests" / "streams" / "registry"
    program(go, "build", "-o", str(program_file), ".", cwd=source)
    with subprocess.Popen(  # noqa: S603 - our own program
        [program_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)


@pytest.fixture
async def app(kafka_bootstrap: str) -> AsyncIterator[str]:
    """An app whose topics have room for headers; it is deleted afterwards."""
    name = f"framed-{secrets.token_hex(4)}"
    log = KafkaLog(kafka_bootstrap, app=name, partitions=2)
    await log.open(create=True)
    await log.close()
    async with kafka_app.admin(kafka_bootstrap) as hands:
        events = log.name(Topic.EVENTS)
        await kafka_app.set_topic(hands, events, BIG_MESSAGES)
        yield name
        await hands.delete_topics([log.name(topic) for topic in Topic])


def backend_of(bootstrap: str, app: str, state: Path) -> KafkaBackend:
    """Return a backend with the settings of the environment."""
    return KafkaBackend(
        bootstrap,
        app=app,
        state_dir=state,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    )


def run_one(backend: KafkaBackend, instance_id: str) -> object:
    """Run an instance with a worker and a client; return its output."""
    with Worker("w", backend).start([sample_workflows.simple]):
        client = WorkflowClient(backend)
        client.submit(sample_workflows.simple, instance_id, 21)
        return client.wait(instance_id, timeout="20s").output


async def records_of(bootstrap: str, topic: str) -> list[Any]:
    """Read every record of a topic, with aiokafka alone."""
    kafka: Any = import_module("aiokafka")
    consumer = kafka.AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[Any] = []
        while len(records) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records += batch
    finally:
        await consumer.stop()
    return records


def schema_of(registry: str, schema_id: int) -> Any:
    """Return the schema that the registry has under an id."""
    with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}") as response:  # noqa: S310 - ours
        return json.loads(json.load(response)["schema"])


async def test_with_a_registry_every_reader_of_confluents_frame_decodes_the_events(
    kafka_bootstrap: str,
    app: str,
    registry: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with backend_of(kafka_bootstrap, app, tmp_path / "plain") as backend:
        assert run_one(backend, "before") == 84
    monkeypatch.setenv("SAYIIR_SCHEMA_REGISTRY_URL", registry)
    with backend_of(kafka_bootstrap, app, tmp_path / "framed") as backend:
        assert run_one(backend, "framed") == 84
        # Events from before the setting are read as well.
        assert WorkflowClient(backend).status("before").output == 84
    with monkeypatch.context() as bare:
        bare.delenv("SAYIIR_SCHEMA_REGISTRY_URL")
        records = await records_of(kafka_bootstrap, f"{app}.events")
    framed = [record for record in records if record.key == b"framed"]
    kinds: list[str] = []
    for record in sorted(framed, key=lambda one: one.offset):
        assert record.value[0] == 0
        schema = schema_of(registry, int.from_bytes(record.value[1:5], "big"))
        body = io.BytesIO(record.value[5:])
        fields: Any = import_module("fastavro").schemaless_reader(body, schema, None)
        assert fields["instance_id"] == "framed"
        assert dict(record.headers)["kind"].decode() == schema["name"]
        kinds.append(schema["name"])
    assert kinds[0] == "WorkflowStarted"
    assert kinds[-1] == "WorkflowCompleted"
    commands = await records_of(kafka_bootstrap, f"{app}.commands")
    assert {record.value[0] for record in commands if record.key == b"framed"} == {0}


async def test_cloud_events_are_what_the_cloudevents_binding_says(
    kafka_bootstrap: str, app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_CLOUD_EVENTS", "true")
    with backend_of(kafka_bootstrap, app, tmp_path) as backend:
        assert run_one(backend, "framed") == 84
    records = await records_of(kafka_bootstrap, f"{app}.events")
    names = [
        (record.partition, dict(record.headers)["ce_id"].decode()) for record in records
    ]
    assert len(set(names)) == len(names)
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_source"] == f"/{app}.events/{record.partition}"
        assert headers["ce_type"] == f"io.sayiir.event.v1.{headers['kind']}"
        assert headers["content-type"] == "application/avro"
        assert headers["ce_time"].endswith("Z")
        assert headers.get("ce_subject", "").encode() == (record.key or b"")
        if record.key == b"framed" and headers["kind"] == "WorkflowStarted":
            assert headers["ce_id"] == f"framed/1/{headers['claim']}"


async def test_cloud_events_are_refused_where_a_batch_has_no_room_for_them(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        monkeypatch.setenv("SAYIIR_CLOUD_EVENTS", "true")
        with (
            backend_of(kafka_bootstrap, log.app, tmp_path) as backend,
            pytest.raises(SettingsError, match="at least 3145728"),
        ):
            await backend.open_log().open(create=False)


def test_the_command_line_registers_every_schema_once(
    terminal: Terminal, registry: str
) -> None:
    first = terminal(f"schema register --registry {registry} -o jsonl").rows()
    again = terminal(f"schema register --registry {registry} -o jsonl").rows()
    assert first == again
    planned = terminal("schema register --dry-run -o jsonl").rows()
    assert [{**row, "id": None} for row in first] == planned
    assert len({row["id"] for row in first}) == len(first)
    assert len(first) >= 43
    assert terminal("schema register").code == 2
    silent = terminal("schema register --registry http://127.0.0.1:9")
    assert silent.code == 5
