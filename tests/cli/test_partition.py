"""`sayiir-es partition list`: what the log says of its partitions."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sayiir_es import Worker, WorkflowClient, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.events import CommandDeferred, Event
from sayiir_es.engine.fold import read_event_headers
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.events import event_headers
from tests.cli.processes import LIMIT_S, running
from tests.cli.sample_workflows import doubling
from tests.cli.unreadable_records import START, command, produce

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Terminal


def test_a_log_without_events_has_partitions_without_owners(terminal: Terminal) -> None:
    terminal.make_log()
    [row] = terminal("partition list -o jsonl").rows()
    assert row == {
        "partition": 0,
        "owner": None,
        "build": None,
        "claim": None,
        "claimed_at": None,
        "events": 0,
        "end_offset": 0,
        "last_event_at": None,
        "next_command": 0,
        "commands_behind": 0,
        "commands_deferred": 0,
        "running": None,
        "queued": None,
        "timer_overdue_ms": None,
        "store_bytes": None,
        "trouble": None,
    }
    assert terminal("partition list").code == 0


def test_the_last_claim_says_who_owns_the_partition(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    [row] = terminal("partition list -o jsonl").rows()
    events = terminal("event tail --from-start -o jsonl").rows()
    [*_, claimed] = [one for one in events if one["kind"] == "PartitionClaimed"]
    assert (row["claim"], row["owner"]) == (claimed["offset"], claimed["owner"])
    assert row["claimed_at"] == claimed["at"]
    assert row["end_offset"] == row["events"] == len(events)
    assert row["last_event_at"] == events[-1]["at"]
    assert row["commands_behind"] == 0


def test_commands_that_nobody_decided_are_counted(terminal: Terminal) -> None:
    terminal("instance list")

    produce(terminal.backend, Topic.COMMANDS, [command(START)] * 3)
    answer = terminal("partition list -o jsonl")
    [row] = answer.rows()
    assert (row["next_command"], row["commands_behind"]) == (0, 3)
    assert "no worker owns partition 0" in str(row["trouble"])
    assert answer.code == 1
    doctor = terminal("doctor -o jsonl")
    [finding] = [row for row in doctor.rows() if row["check"] == "workers"]
    assert (finding["ok"], doctor.code) == (False, 1)
    assert "no worker owns partition 0" in str(finding["finding"])


def test_the_table_fits_a_hundred_columns_in_one_line_each(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    lines = terminal("partition list").out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 100


def test_a_partition_that_a_worker_stopped_is_told_with_the_reason(
    terminal: Terminal,
) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    offset = terminal("partition list -o jsonl").rows()[0]["end_offset"]
    append_unknown(EmbeddedBackend(terminal.cwd / "log.db"))
    command = ("worker", "run", "tests.cli.sample_workflows", "--worker-id", "w")
    with running(terminal.cwd / "words", *command) as worker:
        worker.until("partition.stopped")
        until_announced(terminal)
        listing, doctor = (
            terminal("partition list -o jsonl"),
            terminal("doctor -o jsonl"),
        )
        assert worker.end() == 1
    [row] = listing.rows()
    assert listing.code == 1
    assert row["end_offset"] == int(str(offset)) + 1
    assert f"'Unheard' at 0@{offset}" in str(row["trouble"])
    [finding] = [row for row in doctor.rows() if row["check"] == "workers"]
    assert (finding["ok"], doctor.code) == (False, 1)
    assert f"'Unheard' at 0@{offset}" in str(finding["finding"])


def until_announced(terminal: Terminal) -> None:
    """Wait until the worker has announced what it gave up."""
    end_s = time.monotonic() + LIMIT_S
    while "gave partition 0 up" not in terminal("doctor -o jsonl").out:
        assert time.monotonic() < end_s


def test_forks_that_wait_for_their_source_are_counted(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    fork = b'{"command":"ForkWorkflow","source_instance_id":"a","source_sequence":1}'
    produce(terminal.backend, Topic.COMMANDS, [command(fork)])
    body = CommandDeferred(
        command="ForkWorkflow",
        command_id="0@1",
        deferred_instance_id="b",
        source_instance_id="a",
        source_sequence=1,
    )

    def deferred(claim: int) -> NewRecord:
        event = Event(
            claim=claim,
            instance_id="",
            run=0,
            sequence=0,
            at=2**42,
            cause="command:0@1",
            body=body,
        )
        return to_record(event)

    append(EmbeddedBackend(terminal.cwd / "log.db"), deferred)
    [row] = terminal("partition list -o jsonl").rows()
    assert (row["next_command"], row["commands_behind"]) == (2, 0)
    assert row["commands_deferred"] == 1
    assert "0 + 1 deferred" in " ".join(terminal("partition list").out.split())


def append_unknown(backend: EmbeddedBackend) -> None:
    """Append an event of an unknown kind under the claim in force."""

    def unknown(claim: int) -> NewRecord:
        value = b"\xc3\x01" + b"\x5a" * 8 + b"\x00" * 8
        headers = event_headers("Unheard", claim)
        return NewRecord(key=b"someone", value=value, headers=headers)

    append(backend, unknown)


def append(backend: EmbeddedBackend, make: Callable[[int], NewRecord]) -> None:
    """Append what `make` makes of the claim in force."""

    async def body() -> None:
        log = backend.open_log()
        await log.open(create=False)
        end = await log.end_offset(Topic.EVENTS, 0)
        reader = await log.reader(Topic.EVENTS, 0, end - 1)
        chunk = await reader.read(max_wait_s=1.0)
        assert chunk is not None
        claim = read_event_headers(chunk.records[0], 0).claim
        appender = await log.appender(0)
        await appender.append([make(claim)])
        await appender.close()
        await reader.close()
        await log.close()

    asyncio.run(body())


def test_an_owner_tells_more_of_its_partition_and_of_its_process(
    terminal: Terminal,
) -> None:
    url = f"file:{terminal.cwd / 'log.db'}"
    with Worker("w1", url, max_concurrent_tasks=3).start([doubling]):
        WorkflowClient(url).run(doubling, "a", 1)
        [row] = terminal("partition list -o jsonl").rows()
        shown = terminal("partition show 0 -o json")
        table = terminal("partition show 0")
        workers = terminal("worker list -o jsonl").rows()
        text = terminal("worker list").out
    assert (row["running"], row["queued"], row["trouble"]) == (0, 0, None)
    view = shown.json()
    assert (view["served"], view["owner"]) == (True, row["owner"])
    report = view["report"]
    assert isinstance(report, dict)
    assert (report["instances"], report["worker_id"]) == ({"completed": 1}, "w1")
    assert report["checkpoint"] in table.out
    [worker] = workers
    assert (worker["worker"], worker["slots"], worker["slots_used"]) == ("w1", 3, 0)
    assert worker["workflows"] == ["doubling"]
    assert "0/3" in text
    missing = terminal("partition show 7")
    assert (missing.code, "expected a partition of 0 to 0, but 7" in missing.err) == (
        2,
        True,
    )
    unserved = terminal("partition show 0")
    assert unserved.code == 1
    assert "no worker owns partition 0" in unserved.out
    assert terminal("worker list -o json").out == "[]\n"
