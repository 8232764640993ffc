"""Commands between partitions: in portions, again until they landed, then no more."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.commands import ReturnPermit
from sayiir_es.core.model.errors import BatchTooLargeError, LogUnavailableError
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.command_sender import CommandSender, ToSend
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import Topic
from sayiir_es.testing.virtual_time import VirtualLoop
from tests.captured_logs import capture_logs

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from sayiir_es.log.port import NewRecord

PARTITIONS = 3
PORTION = 4


def command(number: int) -> ReturnPermit:
    """One of many, for any partition."""
    return ReturnPermit(
        instance_id=f"limit-{number}",
        command_id=f"c-{number}",
        holder="i",
        permit=number,
    )


class FailingLog(MemoryLog):
    """Refuses commands in the ways a test says; notes how many were tried at a time."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS)
        self.is_down = False
        self.too_large = set[bytes]()
        self.error: Exception | None = None
        self.in_flight = 0
        self.most_in_flight = 0
        self.tried_at_s = list[float]()

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """As the log's own, if it is to work."""
        loop = asyncio.get_running_loop()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.tried_at_s.append(loop.time())
        try:
            await asyncio.sleep(0.001)
            if self.error is not None:
                raise self.error
            if self.is_down:
                raise LogUnavailableError("expected an answer, but the log is down")
            if record.key in self.too_large:
                raise BatchTooLargeError("expected a smaller record, but it is large")
            assert record.key is not None
            assert partition == partition_of(record.key, PARTITIONS)
            return await super().produce(topic, partition, record)
        finally:
            self.in_flight -= 1


class Scenario:
    """A sender, and what waits for it."""

    def __init__(self, log: FailingLog) -> None:
        self.log = log
        self.waiting = deque[ToSend]()
        self.landed = list[int]()
        self.sender = CommandSender(
            log, 0, name="outbox", portion=PORTION, waiting=self._take
        )

    def _take(self) -> Iterator[ToSend]:
        while self.waiting:
            yield self.waiting.popleft()

    def send(self, *numbers: int) -> None:
        """Let commands wait, and wake the sender."""
        for number in numbers:
            self.waiting.append(self.one(number))
        self.sender.wake()

    def one(self, number: int, **more: Any) -> ToSend:
        """A command that notes when it has landed."""
        return ToSend(
            command=command(number),
            landed=lambda: self.landed.append(number),
            **more,
        )

    async def until_idle(self) -> None:
        """Wait until all has landed; virtual time passes."""
        async with asyncio.timeout(100):
            while not self.sender.is_idle:
                self.sender.check()
                await asyncio.sleep(0.01)

    async def ends(self) -> list[int]:
        """The ends of the commands of each partition."""
        return [
            await self.log.end_offset(Topic.COMMANDS, partition)
            for partition in range(PARTITIONS)
        ]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()


async def opened() -> Scenario:
    """A sender on an open log."""
    log = FailingLog()
    await log.open(create=True)
    return Scenario(log)


def test_each_lands_once_in_its_partition_a_portion_at_a_time() -> None:
    async def main() -> None:
        scene = await opened()
        scene.send(*range(10))
        await scene.until_idle()
        assert sorted(scene.landed) == list(range(10))
        assert sum(await scene.ends()) == 10
        assert scene.log.most_in_flight == PORTION
        await scene.sender.close()

    run(main())


def test_what_failed_is_tried_again_later_and_later_until_it_lands() -> None:
    async def main() -> None:
        scene = await opened()
        scene.log.is_down = True
        scene.send(1, 2)
        with capture_logs() as lines:
            await asyncio.sleep(20)
            scene.send(3)
            scene.log.is_down = False
            await scene.until_idle()
        assert sorted(scene.landed) == [1, 2, 3]
        assert {line["event"] for line in lines} == {"command.send_failed"}
        times = sorted(set(scene.log.tried_at_s))
        waits = [b - a for a, b in pairwise(times)]
        assert waits[0] < 0.1
        assert max(waits) > 4
        assert len(times) < 15
        await scene.sender.close()

    run(main())


def test_for_one_that_the_log_takes_never_another_is_sent_or_none() -> None:
    async def main() -> None:
        scene = await opened()
        scene.log.too_large = {b"limit-1", b"limit-2"}
        reasons = list[str]()

        def other(reason: str) -> ToSend | None:
            reasons.append(reason)
            return scene.one(3)

        def none(reason: str) -> ToSend | None:
            reasons.append(reason)
            return None

        scene.waiting += [scene.one(1, refused=other), scene.one(2, refused=none)]
        scene.sender.wake()
        await scene.until_idle()
        assert scene.landed == [3]
        assert reasons == ["expected a smaller record, but it is large"] * 2
        assert sum(await scene.ends()) == 1
        await scene.sender.close()

    run(main())


def test_closed_it_forgets_what_has_not_landed_and_can_begin_again() -> None:
    async def main() -> None:
        scene = await opened()
        scene.log.is_down = True
        scene.send(1)
        await asyncio.sleep(1)
        assert scene.log.tried_at_s
        await scene.sender.close()
        assert scene.sender.is_idle
        scene.log.is_down = False
        scene.send(2)
        await scene.until_idle()
        assert scene.landed == [2]
        await scene.sender.close()

    run(main())


def test_an_error_that_nobody_foresaw_is_told() -> None:
    async def main() -> None:
        scene = await opened()
        scene.log.error = ZeroDivisionError("a bug")
        scene.send(1)
        await asyncio.sleep(1)
        with pytest.raises(ZeroDivisionError):
            scene.sender.check()
        assert not scene.sender.is_idle
        await scene.sender.close()

    run(main())
