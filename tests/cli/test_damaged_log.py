"""A log in a file with a record that is not what was written: every command says so."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.errors import DamagedLogError, HistoryError
from sayiir_es.engine.owner.claiming import Claimer
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import Topic
from tests.audit.instance_logs import claimed
from tests.cli.sample_workflows import approving, doubling

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

DAMAGED = 3


@pytest.fixture
def damaged(terminal: Terminal) -> Terminal:
    """A log with an instance that ended and one that waits; no store beside it."""
    path = terminal.cwd / "log.db"
    with EmbeddedBackend(path) as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
        run_durable_workflow(approving, "b", 2, backend=backend)
    (terminal.cwd / "log.db.state").rename(terminal.cwd / "aside")
    with closing(sqlite3.connect(path)) as file, file:
        [(value,)] = file.execute(
            "select value from records where topic = 'events' and offset = ?",
            (DAMAGED,),
        )
        file.execute(
            "update records set value = ? where topic = 'events' and offset = ?",
            (value[:-1] + bytes((value[-1] ^ 1,)), DAMAGED),
        )
    return terminal


@pytest.mark.parametrize(
    "command",
    [
        "instance list",
        "instance show a",
        "instance history a",
        "audit verify",
        "audit verify --instance a",
        "audit export out",
    ],
)
def test_a_command_that_reads_a_damaged_record_says_where(
    damaged: Terminal, command: str
) -> None:
    shown = damaged(command)
    assert shown.code == 1, shown
    assert "error damaged_log" in shown.err
    assert f"the record at offset {DAMAGED} of 'events' partition 0" in shown.err
    assert str(damaged.cwd / "log.db") in shown.err


def test_a_list_of_partitions_says_which_one_is_damaged(damaged: Terminal) -> None:
    shown = damaged("partition list -o json")
    assert shown.code == 1, shown
    [row] = json.loads(shown.out)
    assert f"the record at offset {DAMAGED} of 'events'" in row["trouble"]


async def test_an_owner_of_a_damaged_log_does_not_claim(damaged: Terminal) -> None:
    log, store = EmbeddedLog(damaged.cwd / "log.db"), MemoryStore()
    await log.open(create=False)
    end = await log.end_offset(Topic.EVENTS, 0)
    claimer = Claimer(log, store, 0, event=lambda: claimed(10**15), folded=store.flush)
    with pytest.raises(
        DamagedLogError, match=f"offset {DAMAGED} of 'events'"
    ) as caught:
        await claimer.claim("w")
    assert isinstance(caught.value, HistoryError)  # so the partition stops
    assert await log.end_offset(Topic.EVENTS, 0) == end
    await log.close()


def test_nobody_owns_a_damaged_log(damaged: Terminal) -> None:
    with (
        EmbeddedBackend(damaged.cwd / "log.db") as backend,
        pytest.raises(DamagedLogError, match=f"offset {DAMAGED} of 'events'"),
    ):
        run_durable_workflow(doubling, "c", 1, backend=backend)
