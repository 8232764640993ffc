"""`sayiir-es event tail`: valid events only, from anywhere, to anybody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.processes import running
from tests.cli.sample_workflows import approving, doubling

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log with two owners one after the other, and an instance of each."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
        run_durable_workflow(approving, "b", 2, backend=backend)
    return terminal


def test_every_event_is_one_object_a_line(seeded_terminal: Terminal) -> None:
    rows = seeded_terminal("event tail --from-start -o jsonl").rows()
    assert rows[0]["kind"] == "PartitionClaimed"
    assert [row["offset"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert set(row) >= {
            *("kind", "partition", "offset", "instance_id", "run", "sequence"),
            *("at", "claim", "cause"),
        }
    started = next(row for row in rows if row["kind"] == "WorkflowStarted")
    assert started["input"] == 1


def test_instance_and_kind_select(seeded_terminal: Terminal) -> None:
    rows = seeded_terminal("event tail --from-start --instance b -o jsonl").rows()
    assert {row["instance_id"] for row in rows} == {"b"}
    kinds = seeded_terminal(
        "event tail --from-start --kind TaskCompleted --kind WorkflowCompleted -o jsonl"
    ).rows()
    assert {row["kind"] for row in kinds} == {"TaskCompleted", "WorkflowCompleted"}


def test_it_begins_at_an_offset_under_the_claim_in_force_there(
    seeded_terminal: Terminal,
) -> None:
    everything = seeded_terminal("event tail --from-start -o jsonl").rows()
    for offset in range(len(everything)):
        rows = seeded_terminal(f"event tail --from 0:{offset} -o jsonl").rows()
        assert rows == everything[offset:]


def test_it_begins_some_time_ago(seeded_terminal: Terminal) -> None:
    everything = seeded_terminal("event tail --from-start -o jsonl").out
    assert seeded_terminal("event tail --from -10m -o jsonl").out == everything
    assert seeded_terminal("event tail --from -0s -o jsonl").out == ""


def test_since_and_from_start_say_where_to_begin(seeded_terminal: Terminal) -> None:
    everything = seeded_terminal("event tail --from-start -o jsonl").out
    for option in ("--since 10m", "--since 2020-01-01", "--from earliest"):
        assert seeded_terminal(f"event tail {option} -o jsonl").out == everything
    assert seeded_terminal("event tail --since 0s -o jsonl").out == ""


def test_it_begins_now_and_goes_on(seeded_terminal: Terminal, tmp_path: Path) -> None:
    words = tmp_path / "words"
    with running(words, "event", "tail", "-o", "jsonl", cwd=tmp_path) as tail:
        # What it has passed is seen by an event behind its beginning.
        number = 0
        while not words.read_text():
            number += 1
            typed = f"instance start doubling --id next-{number} --input 1"
            assert seeded_terminal(typed).code == 0
        tail.until('"next-')
        assert tail.end(signal.SIGINT) == 130
    ids = {json.loads(line)["instance_id"] for line in tail.words().splitlines()}
    assert not ids & {"a", "b"}


@pytest.mark.parametrize(
    "typed",
    [
        "-o json",
        "--since soon",
        "--since 1h --from-start",
        "--from-start --from 0:0",
        "--from yesterday",
        "--from -10",
        "--from -1d",
        "--from 5:0",
        "--kind Nothing",
        "--from-start --follow -o json",
    ],
)
def test_what_makes_no_sense_exits_with_two(
    seeded_terminal: Terminal, typed: str
) -> None:
    answer = seeded_terminal(f"event tail {typed}")
    assert answer.code == 2
    assert "error usage" in answer.err


def test_an_offset_beyond_the_end_is_reported_as_gone(
    seeded_terminal: Terminal,
) -> None:
    assert seeded_terminal("event tail --from 0:999999").code in (0, 1)


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
@pytest.mark.parametrize(
    "typed", ["event tail --from-start", "instance list", "instance show a"]
)
def test_a_reader_that_left_ends_it_quietly(
    seeded_terminal: Terminal, typed: str, output: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-m", "sayiir_es.cli", *typed.split(), "-o", output],
            cwd=seeded_terminal.cwd,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")
