"""An app on the Kafka that all tests share: two owners in turn, and a late batch."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sayiir_es import KafkaBackend, Worker
from sayiir_es.core.model.events import Event, WorkflowFailed
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import Topic
from tests import kafka_app
from tests.streams import sample_workflows
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PARTITIONS = 2
LIMIT_S = 60.0
GO = "/usr/local/go/bin"  # its own installer puts it there, outside of PATH
FIRST_CLAIM = 0  # on every partition: there is nothing before it


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleApp:
    """An app whose instances are at rest; `statuses` has the status of each."""

    bootstrap: str
    name: str
    backend: KafkaBackend
    statuses: Mapping[str, str]

    @property
    def url(self) -> str:
        """The backend's URL."""
        return self.backend.url


def program(*line: str, cwd: Path = ROOT) -> str:
    """Run a program to its end and return its output."""
    process = subprocess.run(  # noqa: S603 - our own command
        line, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def command_line(app: SampleApp, *words: str) -> str:
    """Return what a command of `sayiir-es` prints."""
    line = (sys.executable, "-m", "sayiir_es.cli", *words, "--backend", app.url)
    return program(*line)


def console(app: SampleApp, guide: Path, word: str) -> list[str]:
    """Run the commands of a guide that contain `word`; return their outputs."""
    blocks = re.findall(r"```console\n(.*?)```", guide.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if word in line]
    assert lines, f"expected a command with {word!r} in {guide.name}"
    path = [Path(sys.executable).parent, os.environ.get("PATH", ""), GO]
    outputs: list[str] = []
    for line in lines:
        command = re.sub(r"shop\b", app.name, line)
        command = command.replace("localhost:9092", app.bootstrap)
        process = subprocess.run(  # noqa: S603 - a command of our guide
            ("/bin/bash", "-o", "pipefail", "-c", command),
            cwd=ROOT,
            env={**os.environ, "PATH": os.pathsep.join(map(str, path))},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        outputs.append(process.stdout)
    return outputs


@pytest.fixture(scope="module")
def sample_app(
    kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SampleApp]:
    """Instances of two owners in turn, and a late batch of the first owner."""
    app = f"streams-{secrets.token_hex(4)}"
    state = tmp_path_factory.mktemp("state")
    with KafkaBackend(
        kafka_bootstrap,
        app=app,
        state_dir=state,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    ) as backend:
        asyncio.run(_create_app(kafka_bootstrap, app))
        with Worker("w1", backend).start(sample_workflows.WORKFLOWS):
            statuses = sample_workflows.run_to_rest(backend, "first", 1)
        with pytest.MonkeyPatch.context() as environment:  # from the second owner on
            environment.setenv("SAYIIR_SNAPSHOTS_TOPIC", "true")
            second = Worker("w2", backend).start(sample_workflows.WORKFLOWS)
        with second:
            statuses |= sample_workflows.run_to_rest(backend, "second", 1)
            asyncio.run(_write_late(kafka_bootstrap, app))
            statuses |= sample_workflows.run_to_rest(backend, "third", 1)
        yield SampleApp(
            bootstrap=kafka_bootstrap, name=app, backend=backend, statuses=statuses
        )
    asyncio.run(_delete(kafka_bootstrap, app))


async def _create_app(bootstrap: str, app: str) -> None:
    log = KafkaLog(bootstrap, app=app, partitions=PARTITIONS)
    await log.open(create=True)
    await log.close()


async def _write_late(bootstrap: str, app: str) -> None:
    """Write as an owner that was displaced long ago: events that fail an instance."""
    body = WorkflowFailed(path="double", error_type="Late", error="never happened")
    async with kafka_app.producer(bootstrap) as producer:
        for partition in range(PARTITIONS):
            for sequence in (3, 4):
                event = Event(
                    claim=FIRST_CLAIM,
                    instance_id="first-sleeping-0",
                    run=1,
                    sequence=sequence,
                    at=0,
                    cause="outcome:double#1",
                    body=body,
                )
                record = to_record(event)
                await producer.send_and_wait(
                    f"{app}.{Topic.EVENTS.value}",
                    record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=partition,
                )


async def _delete(bootstrap: str, app: str) -> None:
    async with kafka_app.admin(bootstrap) as admin:
        names = [
            name for name in await admin.list_topics() if name.partition(".")[0] == app
        ]
        await admin.delete_topics(names)
