"""`sayiir-es partition list`: what the log says of its partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.log.port import Topic
from tests.cli.sample_workflows import doubling
from tests.cli.unreadable_records import START, command, produce

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


def test_a_log_without_events_has_partitions_without_owners(terminal: Terminal) -> None:
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
    }
    assert terminal("partition list").code == 0


def test_the_last_claim_says_who_owns_the_partition(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    [row] = terminal("partition list -o jsonl").rows()
    events = terminal("event tail -o jsonl").rows()
    [*_, claimed] = [one for one in events if one["kind"] == "PartitionClaimed"]
    assert (row["claim"], row["owner"]) == (claimed["offset"], claimed["owner"])
    assert row["claimed_at"] == claimed["at"]
    assert row["end_offset"] == row["events"] == len(events)
    assert row["last_event_at"] == events[-1]["at"]
    assert row["commands_behind"] == 0


def test_commands_that_nobody_decided_are_counted(terminal: Terminal) -> None:
    terminal("instance list")

    produce(terminal.backend, Topic.COMMANDS, [command(START)] * 3)
    [row] = terminal("partition list -o jsonl").rows()
    assert (row["next_command"], row["commands_behind"]) == (0, 3)


def test_the_table_fits_a_hundred_columns_in_one_line_each(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    lines = terminal("partition list").out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 100
