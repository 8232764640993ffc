"""The three commands about permits, one by one: what each is answered with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.decide.decide import decide
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.model.commands import (
    AskPermit,
    GrantPermit,
    ReturnPermit,
    SendSignal,
    SetLimit,
    StartWorkflow,
)
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected
from sayiir_es.core.model.inputs import Commanded
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitGranted,
    PermitQueued,
    PermitReturned,
    PermitTaken,
    limit_id,
)
from sayiir_es.core.model.permit_rows import get_limit, get_permits, is_held
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import DictRows
from tests.core.instance_runner import OneGraph

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.events import Body

LIMIT = limit_id("k")


@task(concurrency_key="k", max_concurrency=1)
def work(value: object) -> object:
    return value


GRAPH = Flow("w").then(work).build().graph


class Side:
    """The rows of one limit or instance, and what its commands are answered with."""

    def __init__(self) -> None:
        self.rows = DictRows()
        self.offset = 0
        self.limits = DEFAULT_LIMITS

    def answer(self, command: Command) -> list[Body]:
        """Decide on a command, make that live, and return its events."""
        self.offset += 1
        position = CommandPosition(partition=0, offset=self.offset)
        context = DecisionContext(
            claim=0,
            now_ms=1000 + self.offset,
            definitions=OneGraph(GRAPH),
            limits=self.limits,
            batch_bytes=1 << 20,
        )
        commanded = Commanded(command=command, position=position)
        decision = decide(commanded, self.rows, context, 1 << 20)
        self.rows.apply(decision.changes)
        return [event.body for event in decision.events]


def ask(holder: str, *, limit: int = 1, number: int = 2, to: str = LIMIT) -> AskPermit:
    return AskPermit(
        instance_id=to,
        command_id="a",
        holder=holder,
        path="work",
        ask=number,
        limit=limit,
    )


def give_back(permit: int, holder: str = "i") -> ReturnPermit:
    return ReturnPermit(instance_id=LIMIT, command_id="r", holder=holder, permit=permit)


def grant(permit: int, *, number: int = 2, to: str = "i") -> GrantPermit:
    return GrantPermit(
        instance_id=to, command_id="g", key="k", path="work", ask=number, permit=permit
    )


def start(instance_id: str = "i") -> StartWorkflow:
    return StartWorkflow(
        instance_id=instance_id,
        command_id="s",
        workflow="w",
        input=b"1",
        attributes={},
    )


def test_a_limit_grants_as_many_as_it_allows_first_come_first_served() -> None:
    limit = Side()
    assert limit.answer(ask("a")) == [
        PermitGranted(holder="a", path="work", ask=2, limit=1)
    ]
    for holder in "bc":
        assert limit.answer(ask(holder)) == [
            PermitQueued(holder=holder, path="work", ask=2, limit=1)
        ]
    for permit, holder, follower in ((1, "a", "b"), (5, "b", "c")):
        assert limit.answer(give_back(permit, holder)) == [
            PermitReturned(permit=permit),
            PermitGranted(holder=follower, path="work", ask=2, limit=1),
        ]
    assert limit.answer(give_back(7, "c")) == [PermitReturned(permit=7)]
    assert get_limit(limit.rows).in_use == 0
    left = [key for key in limit.rows.keys("L") if key != "L"]
    assert not left


def test_who_waits_is_granted_what_was_returned_however_small_the_room() -> None:
    limit = Side()
    limit.limits = replace(DEFAULT_LIMITS, decision_events=1)
    for holder in "ab":
        limit.answer(ask(holder))
    _, granted = limit.answer(give_back(1, "a"))
    assert isinstance(granted, PermitGranted)


def test_an_ask_or_a_return_that_comes_twice_changes_nothing() -> None:
    limit = Side()
    for holder in "ab":
        limit.answer(ask(holder))
        (again,) = limit.answer(ask(holder))
        assert isinstance(again, CommandAcknowledged)
    for wrong in (give_back(1, "b"), give_back(99, "a")):
        (answered,) = limit.answer(wrong)
        assert isinstance(answered, CommandAcknowledged)
    assert get_limit(limit.rows).in_use == 1


def test_who_allows_fewer_waits_longer_and_nobody_passes() -> None:
    limit = Side()
    limit.answer(ask("a", limit=2))
    limit.answer(ask("b", limit=2))
    (queued,) = limit.answer(ask("c", limit=1))
    assert isinstance(queued, PermitQueued)
    (queued,) = limit.answer(ask("d", limit=5))
    assert isinstance(queued, PermitQueued)
    assert limit.answer(give_back(1, "a")) == [PermitReturned(permit=1)]
    returned, *granted = limit.answer(give_back(2, "b"))
    assert isinstance(returned, PermitReturned)
    assert [one.holder for one in granted if isinstance(one, PermitGranted)] == [
        "c",
        "d",
    ]


def set_to(
    most: int | None = None, rate: str | None = None, to: str = LIMIT
) -> SetLimit:
    return SetLimit(
        instance_id=to,
        command_id=f"s{most}{rate}",
        max_concurrency=most,
        rate=rate,
        reason="why",
        requested_by="ana",
    )


def test_what_is_set_counts_for_who_waits_and_says_who_set_it() -> None:
    limit = Side()
    for holder in "abcd":
        limit.answer(ask(holder))
    was_set, *granted = limit.answer(set_to(3))
    assert was_set == LimitSet(
        command_id="s3None",
        max_concurrency=3,
        rate=None,
        reason="why",
        requested_by="ana",
    )
    assert [one.holder for one in granted if isinstance(one, PermitGranted)] == [*"bc"]
    (again,) = limit.answer(set_to(3))
    assert isinstance(again, CommandAcknowledged)
    assert again.code == "duplicate"
    (same,) = limit.answer(replace(set_to(3), command_id="other"))
    assert isinstance(same, CommandAcknowledged)
    assert same.code == "unchanged"
    limit.answer(set_to(1))
    assert limit.answer(give_back(1, "a")) == [PermitReturned(permit=1)]
    assert len(limit.answer(set_to())) == 1  # 2 of 1 are in use


def test_a_limit_of_zero_lets_none_begin_and_is_no_end() -> None:
    limit = Side()
    limit.answer(set_to(0))
    (queued,) = limit.answer(ask("a"))
    assert isinstance(queued, PermitQueued)
    _, granted = limit.answer(set_to())
    assert isinstance(granted, PermitGranted)


def test_a_grant_is_taken_once_and_held_by_the_attempt_that_asked() -> None:
    instance = Side()
    instance.answer(start())
    for permit, number, held in ((5, 9, False), (6, 2, True), (7, 2, False)):
        (taken,) = instance.answer(grant(permit, number=number))
        assert taken == PermitTaken(
            holder="i", path="work", ask=number, key="k", permit=permit
        )
        permits = dict(get_permits(instance.rows))
        name = f"{permit}:k"
        assert is_held(instance.rows, name, permits[name]) is held
    (again,) = instance.answer(grant(6))
    assert isinstance(again, CommandAcknowledged)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (start(LIMIT), "bad_request"),
        (
            SendSignal(instance_id=LIMIT, command_id="x", signal="s", payload=b"1"),
            "bad_request",
        ),
        (ask("i", to="i"), "bad_request"),
        (grant(1, to=LIMIT), "bad_request"),
        (ask("i", limit=0), "bad_request"),
        (ask("i", limit=100_001), "bad_request"),
        (ask("i", number=0), "bad_request"),
        (ask(""), "bad_request"),
        (grant(1), "not_found"),
        (set_to(1, to="i"), "bad_request"),
        (set_to(1, to="$limit/"), "bad_request"),
        (set_to(1, to="$limit/" + "k" * 201), "bad_request"),
        (set_to(-1), "bad_request"),
        (set_to(100_001), "bad_request"),
        (set_to(rate="often"), "bad_request"),
        (replace(ask("i"), rate="10 a second"), "bad_request"),
    ],
)
def test_what_is_meant_for_nobody_is_rejected(command: Command, code: str) -> None:
    (rejected,) = Side().answer(command)
    assert isinstance(rejected, CommandRejected)
    assert rejected.code == code
    assert rejected.message.startswith("expected ")
