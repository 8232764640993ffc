"""Commands that an open transaction of another producer holds back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError
from sayiir_es.log.port import Topic, TransactionIndex
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sayiir_es.engine.clock import Clock
    from sayiir_es.log.port import Log, OpenTransaction

logger = get_logger(__name__)

BLOCKED_MS = 2_000
"""A transaction that wrote nothing for so long blocks its partition; a shorter one is a
producer at work."""

LOOK_S = 1.0
"""How often, in seconds, a worker looks whether its partitions are held back: two small
requests to each broker."""

TOLD_AGAIN_S = 60.0
"""How often, in seconds, a worker logs another transaction on the same partition: some
producers hold one open for a while, again and again."""


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
    # One that wrote in the future has a clock that says nothing: it is named.
    if first is None or 0 <= now_ms - first.last_written_ms < silent_ms:
        return None
    return first


async def find_held_back(log: Log, partitions: Iterable[int]) -> tuple[int, ...]:
    """The partitions whose commands readers do not get all of, as far as is known."""
    index = _index_of(log)
    wanted = tuple(partitions)
    if index is None or not wanted:
        return ()
    try:
        return await index.held_back(Topic.COMMANDS, wanted)
    except LogError:
        return ()


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
    """Log each blocking transaction once, for ever; of many on a partition, some."""
    logged: dict[int, OpenTransaction] = {}
    logged_at_s: dict[int, float] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        for partition in await find_held_back(log, list(partitions())):
            blocking = await find_blocking(log, partition, clock.now_ms())
            if blocking is None or _is_same(logged.get(partition), blocking):
                continue
            now_s = clock.monotonic_s()
            if now_s - logged_at_s.get(partition, -TOLD_AGAIN_S) < TOLD_AGAIN_S:
                continue
            logged[partition], logged_at_s[partition] = blocking, now_s
            logger.warning(
                "commands.blocked",
                partition=partition,
                offset=blocking.offset,
                reason=f"{blocking}; end it: {blocking.advice}",
            )


def _is_same(one: OpenTransaction | None, other: OpenTransaction) -> bool:
    return one is not None and (one.producer_id, one.offset) == (
        other.producer_id,
        other.offset,
    )
