"""A shop on the Kafka that all tests share: two owners in turn, and a late batch."""

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
GO = "/usr/local/go/bin"  # where its own installer puts it, and no shell looks
FIRST_CLAIM = 0  # on every partition: nothing stands before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """An app whose instances rest; `statuses` is what each came to."""

    bootstrap: str
    app: str
    backend: KafkaBackend
    statuses: Mapping[str, str]

    @property
    def url(self) -> str:
        """The backend's URL."""
        return self.backend.url


def program(*line: str, cwd: Path = ROOT) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(  # noqa: S603 - our own command
        line, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command_line(shop_: Shop, *typed: str) -> str:
    """What a command of ours prints."""
    line = (sys.executable, "-m", "sayiir_es.cli", *typed, "--backend", shop_.url)
    return program(*line)


def console(shop_: Shop, guide: Path, word: str) -> list[str]:
    """Run the commands of a guide that hold a word; what each printed."""
    blocks = re.findall(r"```console\n(.*?)```", guide.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if word in line]
    assert lines, f"expected a command with {word!r} in {guide.name}"
    path = [Path(sys.executable).parent, os.environ.get("PATH", ""), GO]
    printed: list[str] = []
    for line in lines:
        typed = re.sub(r"shop\b", shop_.app, line)
        typed = typed.replace("localhost:9092", shop_.bootstrap)
        done = subprocess.run(  # noqa: S603 - a command of our guide
            ("/bin/bash", "-o", "pipefail", "-c", typed),
            cwd=ROOT,
            env={**os.environ, "PATH": os.pathsep.join(map(str, path))},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    return printed


@pytest.fixture(scope="module")
def settled(
    kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """Instances of two owners in turn, and what the first wrote when displaced."""
    app = f"shop-{secrets.token_hex(4)}"
    state = tmp_path_factory.mktemp("state")
    with KafkaBackend(
        kafka_bootstrap,
        app=app,
        state_dir=state,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    ) as backend:
        asyncio.run(_make(kafka_bootstrap, app))
        with Worker("w1", backend).start(sample_workflows.WORKFLOWS):
            statuses = sample_workflows.come_to_rest(backend, "first", 1)
        with pytest.MonkeyPatch.context() as environment:  # from the second owner on
            environment.setenv("SAYIIR_SNAPSHOTS_TOPIC", "true")
            second = Worker("w2", backend).start(sample_workflows.WORKFLOWS)
        with second:
            statuses |= sample_workflows.come_to_rest(backend, "second", 1)
            asyncio.run(_write_late(kafka_bootstrap, app))
            statuses |= sample_workflows.come_to_rest(backend, "third", 1)
        yield Shop(
            bootstrap=kafka_bootstrap, app=app, backend=backend, statuses=statuses
        )
    asyncio.run(_delete(kafka_bootstrap, app))


async def _make(bootstrap: str, app: str) -> None:
    log = KafkaLog(bootstrap, app=app, partitions=PARTITIONS)
    await log.open(create=True)
    await log.close()


async def _write_late(bootstrap: str, app: str) -> None:
    """Write what an owner that was displaced long ago would: it fails everything."""
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
    async with kafka_app.admin(bootstrap) as hands:
        names = [
            name for name in await hands.list_topics() if name.partition(".")[0] == app
        ]
        await hands.delete_topics(names)
