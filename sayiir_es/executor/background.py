"""What an executor does beside its attempts, for ever: it reads topics, and repeats.

An error that nobody foresaw costs one record or one repetition, and is logged. A task
that ended by it would leave an executor that runs, and hears or says nothing any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError
from sayiir_es.engine.backoff import Backoff
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.log.port import Record, RequestTopics, Topic

logger = get_logger(__name__)


async def read_topic(
    topics: RequestTopics,
    topic: Topic,
    partition: int,
    take: Callable[[Record], None],
    heard: asyncio.Event,
) -> None:
    """Give each record of a partition to `take`, until this is cancelled.

    `heard` is set when it reads. What `take` raises for a record skips that record.
    """
    backoff = Backoff(f"{topic.value} {partition}")
    while True:
        try:
            subscription = await topics.subscribe(topic, partition)
            try:
                heard.set()
                while True:
                    for record in await subscription.read():
                        _take(take, topic, record)
                    backoff.reset()
            finally:
                await subscription.close()
        except LogError as error:
            logger.warning(
                "executor.read_failed",
                topic=topic.value,
                error_code=error.code,
                reason=str(error),
            )
        except Exception as error:
            logger.exception("executor.read_failed", topic=topic.value, exc_info=error)
        await backoff.pause()


def _take(take: Callable[[Record], None], topic: Topic, record: Record) -> None:
    try:
        take(record)
    except Exception as error:
        logger.exception(
            "executor.record_skipped",
            topic=topic.value,
            offset=record.offset,
            exc_info=error,
        )


async def repeat(what: str, interval_s: float, act: Callable[[], None]) -> None:
    """Act at once, and again after each interval, until this is cancelled.

    `what` names it in the log, where an act fails.
    """
    while True:
        try:
            act()
        except Exception as error:
            logger.exception("executor.repetition_failed", reason=what, exc_info=error)
        await asyncio.sleep(interval_s)
