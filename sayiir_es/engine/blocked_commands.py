"""Commands that an open transaction of another producer holds back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from sayiir_es.core.model.errors import LogError
from sayiir_es.log.port import Topic, TransactionIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sayiir_es.engine.clock import Clock
    from sayiir_es.log.port import Log, OpenTransaction

logger = structlog.get_logger()

BLOCKED_MS = 10_000
"""A transaction that wrote nothing for so long blocks its partition; a shorter one is a
producer at work."""

LOOK_S = 30.0
"""How often, in seconds, a worker looks at the partitions that it owns."""


async def find_blocking(
    log: Log, partition: int, now_ms: int, *, silent_ms: int = BLOCKED_MS
) -> OpenTransaction | None:
    """The first transaction that holds back commands and wrote nothing for so long.

    None, too, if the log cannot tell.
    """
    index = _index_of(log)
    if index is None:
        return None
    try:
        transactions = await index.open_transactions(Topic.COMMANDS, partition)
    except LogError:
        return None  # an older broker, or no right to ask
    first = min(transactions, key=lambda one: one.offset, default=None)
    if first is None or now_ms - first.last_written_ms < silent_ms:
        return None
    return first


def can_be_told(log: Log) -> bool:
    """Whether other programs write on the log in transactions."""
    return _index_of(log) is not None


def _index_of(log: Log) -> TransactionIndex | None:
    from sayiir_es.log.framing import FramedLog  # noqa: PLC0415 (slow to import)

    index = log.inner if isinstance(log, FramedLog) else log
    return index if isinstance(index, TransactionIndex) else None


async def watch(
    log: Log, clock: Clock, partitions: Callable[[], Iterable[int]]
) -> None:
    """Log each blocking transaction once, for ever."""
    logged: dict[int, OpenTransaction] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        for partition in list(partitions()):
            blocking = await find_blocking(log, partition, clock.now_ms())
            if blocking is None:
                logged.pop(partition, None)
            elif logged.get(partition) != blocking:
                logged[partition] = blocking
                logger.warning(
                    "commands.blocked",
                    partition=partition,
                    offset=blocking.offset,
                    reason=str(blocking),
                )
