"""One parent with very many children: in a fork, and in a loop that does not wait."""

from __future__ import annotations

import json
import resource
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.loop_result import LoopResult
from sayiir_es.core.model.child_rows import get_children
from sayiir_es.core.model.rows import get_cursor, get_header, get_value
from sayiir_es.core.model.waits import Listening
from tests.engine.family import Family, wait_until

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Rows

MEMORY_MB = 1_500
"""What a process takes at most beyond what it had, with a log and stores in memory."""


def double(value: int) -> int:
    return value * 2


def total(results: dict[str, int]) -> int:
    return sum(results.values())


CHILD = Flow[int]("child").then(double).build()
SLEEPER = Flow("sleeper").wait_for_signal("wake").build()


async def test_a_fork_waits_for_two_thousand_children() -> None:
    fork = Flow("parent").fork()
    for number in range(2_000):
        fork = fork.branch(Flow("b").start_child(CHILD, name=f"kid{number}"))
    async with Family(fork.join(total).build(), CHILD) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        rows = family.rows("i")
        await wait_until(lambda: get_value(rows, "output") is not None, limit_s=120)
        assert json.loads(get_value(rows, "output") or b"") == 4_000
        await wait_until(lambda: not family.owes_messages(), limit_s=120)
    await family.verify()


def loop_of(count: int) -> Flow[object, object]:
    """A parent that starts so many children and waits for none, then for a signal."""

    def count_up(value: object) -> LoopResult[int]:
        number = int(str(value).rpartition(".")[2])
        done = number + 1 >= count
        return LoopResult.done(number) if done else LoopResult.again(number)

    body = Flow("body").start_child(SLEEPER, id="{instance_id}.{iteration}", wait=False)
    return (
        Flow("parent")
        .loop(body.then(count_up), max_iterations=count)
        .wait_for_signal("go")
    )


def is_listening(rows: Rows) -> bool:
    """Whether the loop is over, and its parent waits for a signal."""
    cursor = get_cursor(rows, "")
    return cursor is not None and isinstance(cursor.wait, Listening)


@pytest.mark.parametrize("count", [300, pytest.param(100_000, marks=pytest.mark.long)])
async def test_a_parent_that_ends_cancels_all_children_it_has_not_waited_for(
    count: int,
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Family(loop_of(count).build()) as family:
        await family.command("StartWorkflow", workflow="parent", input=1)
        rows = family.rows("i")
        limit_s = 120 + count / 20
        await wait_until(lambda: is_listening(rows), limit_s=limit_s)
        assert sum(1 for _ in get_children(rows)) == count
        await family.command("SendSignal", signal="go", payload=1)
        await wait_until(
            lambda: next(get_children(rows), None) is None, 0.1, limit_s=limit_s
        )
        kids = [family.rows(f"i.{number}") for number in range(count)]
        headers = [get_header(kid) for kid in kids]
        assert Counter(header and header.phase for header in headers) == {
            "cancelled": count
        }
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEMORY_MB * 1024
    await family.verify()
