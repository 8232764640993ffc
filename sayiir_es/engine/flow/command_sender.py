"""Sends commands of this owner to the partitions where they belong, until they landed.

Theory of operation. What is sent follows from events that the log has acknowledged, and
may land twice, or late, without harm: so nothing is remembered but what has not landed.
In no order: a portion is handed over at once, and what failed goes into the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.backoff import Backoff
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.commands import encode_command_avro

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.commands import Command
    from sayiir_es.log.port import Log

logger = get_logger(__name__)

PORTION = 500
"""So many commands are handed to the log together."""


class CommandSender:
    """The commands of one owner that have not landed yet."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._waiting: deque[tuple[Command, Callable[[], None] | None]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._backoff = Backoff(f"permits {partition}")

    @property
    def is_idle(self) -> bool:
        """Whether all that was to be sent has landed."""
        return self._sending is None or self._sending.done()

    def send(self, command: Command, landed: Callable[[], None] | None = None) -> None:
        """Send a command; `landed` is called once the log has it."""
        self._waiting.append((command, landed))
        if self.is_idle:
            self._sending = asyncio.create_task(
                self._send_all(), name=f"permits-{self._partition}"
            )

    async def close(self) -> None:
        """Forget what has not landed; some of it still may."""
        self._waiting.clear()
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self) -> None:
        while self._waiting:
            portion = [
                self._waiting.popleft() for _ in range(min(len(self._waiting), PORTION))
            ]
            results = await asyncio.gather(
                *(self._produce(command) for command, _ in portion),
                return_exceptions=True,
            )
            failed = False
            for (command, landed), result in zip(portion, results, strict=True):
                if isinstance(result, LogError):
                    self._waiting.append((command, landed))
                    failed = True
                elif isinstance(result, BaseException):
                    raise result
                elif landed is not None:
                    landed()
            if failed:
                await self._backoff.pause()
            else:
                self._backoff.reset()

    async def _produce(self, command: Command) -> None:
        key = command.instance_id.encode()
        record = NewRecord(key=key, value=encode_command_avro(command), headers=())
        home = partition_of(key, self._log.partitions)
        try:
            await self._log.produce(Topic.COMMANDS, home, record)
        except LogError as error:
            logger.warning(
                "permits.send_failed",
                partition=home,
                error_code=error.code,
                reason=str(error),
            )
            raise
