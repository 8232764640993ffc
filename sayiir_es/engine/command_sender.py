"""Sends commands of an owner to the partitions where they belong, until they landed.

Theory of operation. What is sent follows from events that the log has acknowledged, and
may land twice, or late, without harm: so nothing is remembered but what has not landed.
Commands are asked for as there is room for them, a portion at a time. In no order: a
portion is handed to the log at once, and what failed is in the next one. Where the log
does not answer, all of them are tried again, later and later.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.model.errors import BatchTooLargeError, LogError
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.backoff import Backoff
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.commands import encode_command_avro
from sayiir_es.wire.trace_context import trace_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sayiir_es.core.model.commands import Command
    from sayiir_es.log.port import Log

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSend:
    """A command, and what is done when the log has it.

    `refused` is called where the log takes no record of its size, with the reason; it
    returns what is sent in its place, if anything. Without it, the command is tried
    again.
    """

    command: Command
    landed: Callable[[], None] | None = None
    refused: Refused | None = None
    traceparent: str | None = None


Refused: TypeAlias = "Callable[[str], ToSend | None]"


class CommandSender:
    """The commands of one kind that an owner sends.

    Args:
        log: Where they go.
        partition: The owner's.
        name: Of the kind, for its task.
        portion: So many commands at most are handed to the log together.
        waiting: Gives the next commands to send, as long as there are some and they
            may be sent; `wake` says that there may be more.
    """

    def __init__(
        self,
        log: Log,
        partition: int,
        *,
        name: str,
        portion: int,
        waiting: Callable[[], Iterable[ToSend]],
    ) -> None:
        self._log = log
        self._partition = partition
        self._task_name = f"{name}-{partition}"
        self._portion = portion
        self._waiting = waiting
        self._wanted = asyncio.Event()
        self._backoff = Backoff(f"{name} {partition}")
        self._sending: list[ToSend] = []
        """Handed to the log, or to be handed to it again."""
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether all that it was woken for has landed."""
        return not (self._wanted.is_set() or self._sending)

    def wake(self) -> None:
        """Send what waits; begins to send, if it is the first time."""
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._task_name)

    def check(self) -> None:
        """Raise the error that ended the sending, if one did."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Stop; what is in flight may still reach the log. It may be woken again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._sending.clear()
        self._wanted.clear()
        self._backoff.reset()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            room = self._portion - len(self._sending)
            taken = list(islice(self._waiting(), room))
            if len(taken) < room:
                self._wanted.clear()
            self._sending += taken
            error = await self._send()
            if error is None:
                self._backoff.reset()
                continue
            logger.warning(
                "command.send_failed",
                partition=self._partition,
                error_code=error.code,
                reason=str(error),
            )
            await self._backoff.pause()

    async def _send(self) -> LogError | None:
        """Hand the portion to the log, and keep what failed; why, if any did."""
        results = await asyncio.gather(
            *(self._produce(one) for one in self._sending), return_exceptions=True
        )
        left: list[ToSend] = []
        failure: LogError | None = None
        for one, result in zip(self._sending, results, strict=True):
            if isinstance(result, BatchTooLargeError) and one.refused is not None:
                other = one.refused(str(result))
                left += () if other is None else (other,)
            elif isinstance(result, LogError):
                failure = result
                left.append(one)
            elif isinstance(result, BaseException):
                raise result
            elif one.landed is not None:
                one.landed()
        self._sending = left
        if left:
            self._wanted.set()
        return failure

    async def _produce(self, one: ToSend) -> int:
        key = one.command.instance_id.encode()
        return await self._log.produce(
            Topic.COMMANDS,
            partition_of(key, self._log.partitions),
            NewRecord(
                key=key,
                value=encode_command_avro(one.command),
                headers=trace_headers(one.traceparent),
            ),
        )
