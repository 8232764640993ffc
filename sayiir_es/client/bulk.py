"""One command for many instances: finds them first, then sends many at a time.

Theory of operation. The ids are collected before the first command is sent, in pages by
the time of the start: so no instance is missed because a command, or anybody else,
changed it or one before it. A command that its owner refuses is an error of that
instance only. Where nobody answers for a partition, no more is sent to it: thousands of
commands would each wait as long as the first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.client.projection import partition_of_instance
from sayiir_es.client.rejections import raise_rejection
from sayiir_es.client.search import iter_instances, search_of
from sayiir_es.client.session import REPLY_LIMIT_S
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sayiir_es.client.search import Criteria
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.search import Search
    from sayiir_es.core.status.status import StatusName
    from sayiir_es.wire.requests import Decided

    OnProgress: TypeAlias = Callable[[int, int], None]

IN_FLIGHT = 256
"""How many commands are sent and not answered at a time."""

SILENT_S = 2.0
"""A partition whose command waits so many seconds gets no other before it is answered,
or the wait is given up."""

_RUNNING: tuple[StatusName, ...] = ("in_progress", "waiting", "awaiting_signal")

_STATUSES: dict[type[Command], tuple[StatusName, ...]] = {
    CancelWorkflow: (*_RUNNING, "paused", "quarantined"),
    PauseWorkflow: _RUNNING,
    UnpauseWorkflow: ("paused",),
    RetryWorkflow: ("failed", "quarantined"),
    MigrateWorkflow: (*_RUNNING, "paused"),
    SendSignal: (*_RUNNING, "paused"),
}
"""In which statuses a command can be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """What became of one command for many instances.

    Attributes:
        done: For how many it was accepted.
        errors: For each instance for which it was not: what the call for that
            instance alone would have raised. A command that nobody answered stays, and
            may be decided later.
    """

    done: int
    errors: Mapping[str, WorkflowError]


def bulk_search(criteria: Criteria, kind: type[Command]) -> Search:
    """The search with these criteria, for a command of that kind.

    Raises:
        ValueError: if there is no criterion at all, or one is none.
    """
    if not any(value for name, value in criteria.items() if name != "by"):
        raise ValueError(
            "expected a criterion such as status=, workflow= or since=, but none; "
            "until='0s' means all that were started so far"
        )
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    return apply_to_statuses(search, kind)


def apply_to_statuses(search: Search, kind: type[Command]) -> Search:
    """A search without a status finds those in which such a command is accepted."""
    return search if search.statuses else replace(search, statuses=_STATUSES[kind])


async def find_ids(session: Session, search: Search) -> list[str]:
    """The ids of all instances that match, the first started first.

    Takes memory for every id: 100 MB or so for a million.
    """
    await session.open()
    found = await asyncio.gather(
        *(
            _find_in_partition(session, partition, search)
            for partition in range(session.log.partitions)
        )
    )
    # By time, so that the commands go to all partitions side by side.
    return [one for _, one in sorted(entry for entries in found for entry in entries)]


async def _find_in_partition(
    session: Session, partition: int, search: Search
) -> set[tuple[int, str]]:
    return {
        (status.started_at, status.instance_id)
        async for status in iter_instances(session, partition, search)
    }


async def send_to_all(
    session: Session,
    instance_ids: Sequence[str],
    make_command: Callable[[str], Command],
    on_progress: OnProgress | None = None,
) -> BulkResult:
    """Send each instance the command that `make_command` makes for its id.

    `on_progress` is called on this event loop, with how many were answered and how
    many there are. What it raises ends the call.
    """
    bulk = _Bulk(session, instance_ids, make_command, on_progress)
    await session.open()
    tasks = [
        asyncio.create_task(bulk.work())
        for _ in range(min(IN_FLIGHT, len(instance_ids)))
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return BulkResult(
        done=bulk.answered - len(bulk.errors), errors=dict(bulk.ordered_errors())
    )


class _Bulk:
    """The commands of one call; several tasks work on them."""

    def __init__(
        self,
        session: Session,
        instance_ids: Sequence[str],
        make_command: Callable[[str], Command],
        on_progress: OnProgress | None,
    ) -> None:
        self.answered = 0
        self.errors: dict[str, WorkflowError] = {}
        self._session = session
        self._ids = instance_ids
        self._left = iter(instance_ids)
        self._make_command = make_command
        self._on_progress = on_progress
        self._unanswered: dict[int, WorkflowError] = {}
        """Why nothing more is sent to a partition."""
        self._in_flight: dict[int, dict[asyncio.Future[None], float]] = {}
        """By partition: the end of each command, and when it was sent; the first sent
        first, in seconds of the loop's clock."""

    async def work(self) -> None:
        """Send one command after another, until none is left."""
        for instance_id in self._left:
            error = await self._send(instance_id)
            if error is not None:
                self.errors[instance_id] = error
            self.answered += 1
            if self._on_progress is not None:
                self._on_progress(self.answered, len(self._ids))

    def ordered_errors(self) -> Iterator[tuple[str, WorkflowError]]:
        """The errors, in the order of the instances."""
        for instance_id in self._ids:
            if instance_id in self.errors:
                yield instance_id, self.errors[instance_id]

    async def _send(self, instance_id: str) -> WorkflowError | None:
        """Send one command; why it was not accepted, if it was not."""
        partition = partition_of_instance(self._session.log, instance_id)
        in_flight = self._in_flight.setdefault(partition, {})
        await self._wait_while_silent(in_flight)
        if partition in self._unanswered:
            return self._unanswered[partition]
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        in_flight[ended] = loop.time()
        try:
            decided = await self._session.send(
                self._make_command(instance_id), limit_s=REPLY_LIMIT_S
            )
        except WorkflowError as error:
            self._unanswered.setdefault(partition, error)
            return error
        finally:
            del in_flight[ended]
            ended.set_result(None)
        return _error_of(decided, instance_id)

    @staticmethod
    async def _wait_while_silent(
        in_flight: Mapping[asyncio.Future[None], float],
    ) -> None:
        loop = asyncio.get_running_loop()
        while in_flight and next(iter(in_flight.values())) < loop.time() - SILENT_S:
            await asyncio.wait(tuple(in_flight), return_when=asyncio.FIRST_COMPLETED)


def _error_of(decided: Decided, instance_id: str) -> WorkflowError | None:
    """What a call for this instance alone would have raised, if it was rejected."""
    if decided.event != "CommandRejected":
        return None
    status = decided.status.status if decided.status is not None else None
    try:
        raise_rejection(decided, instance_id, status)
    except WorkflowError as error:
        return error
