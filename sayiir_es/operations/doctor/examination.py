"""What an examination looks at: log, topics, clock, workers, stores, schemas.

It writes nothing: not a topic, not a file, not a record but a question to the workers.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from sayiir_es.client.backends import EmbeddedBackend, KafkaBackend
from sayiir_es.client.backends.framing import without_framing
from sayiir_es.client.search import count_without_code
from sayiir_es.core.model.errors import (
    LogUnavailableError,
    WorkflowError,
)
from sayiir_es.engine.fold import read_event_headers
from sayiir_es.engine.store.state_dir import default_state_dir
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.port import Topic
from sayiir_es.operations.dead_letters import all_dead_letters
from sayiir_es.operations.doctor.finding import Finding, Mark
from sayiir_es.operations.doctor.service import examine_service
from sayiir_es.operations.schema_check import check_all
from sayiir_es.operations.text import format_time
from sayiir_es.wire.schema import schema_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend
    from sayiir_es.log.kafka.setting_rules import TopicFinding
    from sayiir_es.log.port import Log

SKEW_MS = 2_000
"""How far ahead of this clock the last event may be: timers are late by as much."""

READ_WAIT_S = 1.0

CONNECT_LIMIT_S = 10.0
"""How long a broker may take to answer: who asks knows that something is wrong."""


async def examine(backend: Backend) -> list[Finding]:
    """Check everything that has to be right for a backend."""
    findings: list[Finding] = []
    if isinstance(backend, EmbeddedBackend) and not backend.path.exists():
        findings.append(
            Finding(
                check="log",
                mark=Mark.GOOD,
                finding=f"{backend.url} does not exist yet; the first worker or start "
                "makes it",
            )
        )
    else:
        findings += [one async for one in _log(backend)]
    findings += [*_stores(backend), _schemas()]
    return findings


async def _log(backend: Backend) -> AsyncIterator[Finding]:
    log = backend.open_log(connect_limit_s=CONNECT_LIMIT_S)
    try:
        identity = await log.open(create=False)
    except LogUnavailableError as error:
        yield Finding(
            check="log",
            mark=Mark.BAD,
            finding=str(error),
            fix="check address, network, and that the brokers run",
        )
        return
    except WorkflowError as error:
        yield Finding(
            check="topics",
            mark=Mark.BAD,
            finding=str(error),
            fix=f"see `sayiir-es error {error.code}`",
        )
        return
    try:
        yield Finding(
            check="log",
            mark=Mark.GOOD,
            finding=f"{backend.url} answers, cluster {identity.cluster_id}",
        )
        yield Finding(
            check="partitions",
            mark=Mark.GOOD,
            finding=f"{identity.partitions}, as recorded when the app was made",
        )
        for one in _topics(log):
            yield one
        if isinstance(backend, KafkaBackend):
            async for one in _strays(log):
                yield one
        yield await _retention(log)
        yield await _clock(log)
        yield await _dead_letters(log)
        async for one in _service(backend):
            yield one
        async for one in _without_code(backend):
            yield one
    finally:
        await log.close()


def _topics(log: Log) -> Iterator[Finding]:
    findings: tuple[TopicFinding, ...] = getattr(without_framing(log), "findings", ())
    for one in findings:
        advice = one.advice
        if one.change is not None:
            advice += "; `sayiir-es doctor --fix` sets it"
        elif one.is_hidden:
            advice += " (`kafka-configs.sh --describe --all --entity-type topics`)"
        yield Finding(
            check="topics",
            mark=Mark.BAD if one.is_fault else Mark.WARNING,
            finding=f"{one.topic} {one.finding}".strip(),
            fix=advice,
        )
    if not findings:
        yield Finding(
            check="topics", mark=Mark.GOOD, finding="all there, settings are safe"
        )


async def _strays(log: Log) -> AsyncIterator[Finding]:
    """What producers wrote to partitions that somebody added."""
    from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 (slow to import)

    kafka_log = without_framing(log)
    assert isinstance(kafka_log, KafkaLog)
    strays = await kafka_log.find_strays()
    if strays:
        count = sum(one.end - one.start for one in strays)
        where = ", ".join(f"{one.partition}: {one.end - one.start}" for one in strays)
        yield Finding(
            check="strays",
            mark=Mark.BAD,
            finding=f"{count} commands stand on partitions that nobody reads ({where})",
            fix="`sayiir-es partition forward` brings them home",
        )


async def _retention(log: Log) -> Finding:
    cut = {
        partition: start
        for partition in range(log.partitions)
        if (start := await log.start_offset(Topic.EVENTS, partition)) > 0
    }
    if cut:
        return Finding(
            check="retention",
            mark=Mark.BAD,
            finding=f"events begin at {cut}: the history below is gone",
            fix="set retention.ms=-1 and retention.bytes=-1; restore from a copy",
        )
    return Finding(check="retention", mark=Mark.GOOD, finding="every event is there")


async def _clock(log: Log) -> Finding:
    now_ms = int(time.time() * 1000)  # noqa: TID251 (the clock is what is examined)
    last_ms = 0
    for partition in range(log.partitions):
        last_ms = max(last_ms, await _last_written_ms(log, partition))
    if last_ms - now_ms > SKEW_MS:
        return Finding(
            check="clock",
            mark=Mark.BAD,
            finding=f"the last event is of {format_time(last_ms)}, this clock says "
            f"{format_time(now_ms)}",
            fix="let all machines keep time by NTP; timers are late by the difference",
        )
    return Finding(
        check="clock", mark=Mark.GOOD, finding=f"{format_time(now_ms)}, behind no event"
    )


async def _service(backend: Backend) -> AsyncIterator[Finding]:
    """Whether every partition is served, and what stands still."""
    session = backend.new_session()
    now_ms = int(time.time() * 1000)  # noqa: TID251 (how long something stands still)
    try:
        await session.open()
        async for one in examine_service(session, now_ms):
            yield one
    except WorkflowError as error:
        yield Finding(
            check="workers",
            mark=Mark.BAD,
            finding=str(error),
            fix=f"see `sayiir-es error {error.code}`",
        )
    finally:
        await session.close()


async def _without_code(backend: Backend) -> AsyncIterator[Finding]:
    """What waits for code that the workers lack: by workflow and partition."""
    session = backend.new_session()
    try:
        await session.open()
        await session.definitions.refresh()
        if not session.registry.workers():
            return  # nobody who could answer
        partitions = range(session.log.partitions)
        found = await asyncio.gather(
            *(count_without_code(session, p) for p in partitions)
        )
    except WorkflowError:
        return  # others have said what is wrong
    finally:
        await session.close()
    for partition, counts in zip(partitions, found, strict=True):
        for workflow, count in sorted(counts.items()):
            yield Finding(
                check="code",
                mark=Mark.BAD,
                finding=f"instances of {workflow!r} on partition {partition} that wait "
                f"for code which the worker that owns it lacks: {count}",
                fix="`sayiir-es instance list --status stranded` names them; start a "
                "worker that has the code, or an executor (`sayiir-es executor run "
                "MODULE`), or `sayiir-es instance migrate` them",
            )
    if not any(found):
        yield Finding(check="code", mark=Mark.GOOD, finding="no instance waits for any")


async def _dead_letters(log: Log) -> Finding:
    listed = [one for one in await all_dead_letters(log) if one.mark is None]
    if listed:
        return Finding(
            check="dead letters",
            mark=Mark.WARNING,
            finding=f"commands that nobody could read: {len(listed)}",
            fix="`sayiir-es dead-letter list`, then retry or drop each",
        )
    return Finding(check="dead letters", mark=Mark.GOOD, finding="none")


async def _last_written_ms(log: Log, partition: int) -> int:
    end = await log.end_offset(Topic.EVENTS, partition)
    if not end:
        return 0
    reader = await log.reader(Topic.EVENTS, partition, end - 1)
    try:
        chunk = await reader.read(max_wait_s=READ_WAIT_S)
    finally:
        await reader.close()
    if chunk is None or not chunk.records:
        return 0
    read_event_headers(chunk.records[-1], partition)
    return chunk.records[-1].timestamp_ms


def _schemas() -> Finding:
    records = check_all(schema_directory())
    bad = [record.name for record in records if record.problems]
    if bad:
        return Finding(
            check="schemas",
            mark=Mark.BAD,
            finding=f"what was published cannot be read: {', '.join(bad)}",
            fix="install this build again; `sayiir-es schema check`",
        )
    return Finding(
        check="schemas",
        mark=Mark.GOOD,
        finding=f"{len(records)} of this build; each reads what earlier ones wrote",
    )


def _stores(backend: Backend) -> Iterator[Finding]:
    if isinstance(backend, EmbeddedBackend):
        yield _writable(backend.path.parent)
        if backend.path.exists():
            yield _owner(backend.path)
    elif isinstance(backend, KafkaBackend):
        yield _writable(default_state_dir())


def _writable(directory: Path) -> Finding:
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            check="state", mark=Mark.GOOD, finding=f"{directory} can be written"
        )
    return Finding(
        check="state",
        mark=Mark.BAD,
        finding=f"{directory} cannot be written",
        fix=f"give this user write access to {existing}, or set SAYIIR_STATE_DIR",
    )


def _owner(path: Path) -> Finding:
    lock = OwnerLock(path)
    try:
        free = lock.try_acquire()
        lock.release()
    except LogUnavailableError as error:
        return Finding(
            check="locks",
            mark=Mark.BAD,
            finding=str(error),
            fix="give this user write access to the directory of the log",
        )
    if free:
        return Finding(
            check="locks", mark=Mark.GOOD, finding="no worker owns the log; it is free"
        )
    return Finding(check="locks", mark=Mark.GOOD, finding="a process owns the log now")
