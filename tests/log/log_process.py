"""Another process that has an embedded log open, and does what a test tells it.

The child (this module, run) reads one JSON object a line and answers each with one.
Bytes are written as hexadecimal digits.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from sayiir_es.log.embedded import socket_frames
from sayiir_es.log.embedded.hub_subscription import HubSubscription
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import NewRecord, Record, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sayiir_es.log.port import Subscription

LIMIT_S = 20.0

Message = dict[str, Any]


def packed(record: NewRecord | Record) -> Message:
    """A record as JSON takes it."""
    return {
        "key": None if record.key is None else record.key.hex(),
        "value": None if record.value is None else record.value.hex(),
        "headers": [[name, value.hex()] for name, value in record.headers],
    }


def unpacked(message: Message) -> NewRecord:
    """The record that was packed."""
    key, value = message["key"], message["value"]
    return NewRecord(
        key=None if key is None else bytes.fromhex(key),
        value=None if value is None else bytes.fromhex(value),
        headers=tuple((name, bytes.fromhex(text)) for name, text in message["headers"]),
    )


class LogProcess:
    """The parent's side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, path: Path) -> LogProcess:
        """Start a process that has opened the log."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.log.log_process", str(path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=16 << 20,
        )
        self = cls(process)
        await self.do("open")
        return self

    def tell(self, name: str, **arguments: object) -> asyncio.Future[Any]:
        """Let it do something; the future is its answer."""
        number = next(self._numbers)
        line = json.dumps({"number": number, "name": name, **arguments})
        self._stdin.write(line.encode() + b"\n")
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        return answer

    async def do(self, name: str, **arguments: object) -> Any:
        """Let it do something, and wait for its answer."""
        async with asyncio.timeout(LIMIT_S):
            return await self.tell(name, **arguments)

    async def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        while line := await self._stdout.readline():
            message = json.loads(line)
            answer = self._answers.pop(message["number"])
            if not answer.done():
                answer.set_result(message["result"])
        for answer in self._answers.values():
            answer.cancel()


class RemoteTopics:
    """The topics of requests and replies, as another process uses them."""

    reply_partitions = 1

    def __init__(self, process: LogProcess) -> None:
        self._process = process

    async def open(self, *, create: bool) -> bool:
        """Whether they are there."""
        return bool(await self._process.do("open_topics", create=create))

    def post(self, topic: Topic, partition: int, record: NewRecord) -> bool:
        """Post a message there."""
        self._process.tell(
            "post", topic=topic.value, partition=partition, record=packed(record)
        )
        return True

    def is_heard(self, partition: int) -> bool:
        """Whether an owner may hear requests; not asked there."""
        return partition >= 0

    def value_bytes_max(self, topic: Topic) -> int:  # noqa: ARG002 (of the port)
        """As of every log in a file."""
        return socket_frames.VALUE_BYTES_MAX

    async def subscribe(self, topic: Topic, partition: int) -> Subscription:
        """Subscribe there."""
        number = await self._process.do(
            "subscribe", topic=topic.value, partition=partition
        )
        return RemoteSubscription(self._process, number)


class RemoteSubscription:
    """A subscription of another process."""

    def __init__(self, process: LogProcess, number: int) -> None:
        self._process = process
        self._number = number

    async def read(self) -> Sequence[Record]:
        """Wait for messages there."""
        messages = await self._process.tell("read", subscription=self._number)
        return [
            Record(
                offset=offset,
                key=new.key,
                value=new.value,
                headers=new.headers,
                timestamp_ms=0,
            )
            for offset, new in enumerate(map(unpacked, messages))
        ]

    async def close(self) -> None:
        """Stop reading there."""
        await self._process.do("unsubscribe", subscription=self._number)


class Child:
    """The child's side."""

    def __init__(self, path: str) -> None:
        self._log = EmbeddedLog(path)
        self._lock = OwnerLock(path)
        self._subscriptions = list[HubSubscription]()

    async def run(self) -> None:
        """Do what is told; each thing in a task of its own, begun in order."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=16 << 20)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        tasks: set[asyncio.Task[None]] = set()
        while line := await reader.readline():
            task = asyncio.create_task(self._answer(json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _answer(self, message: Message) -> None:
        result = await getattr(self, f"do_{message['name']}")(message)
        sys.stdout.write(json.dumps({"number": message["number"], "result": result}))
        sys.stdout.write("\n")
        sys.stdout.flush()

    async def do_open(self, message: Message) -> None:
        """Open the log."""
        del message
        await self._log.open(create=True)

    async def do_own(self, message: Message) -> bool:
        """Try to own the log."""
        return self._lock.try_acquire(briefly=message.get("briefly", False))

    async def do_wait_to_own(self, message: Message) -> float:
        """Wait until it owns the log; the monotonic time at which it does."""
        await self._lock.acquire(briefly=message.get("briefly", False))
        return time.monotonic()

    async def do_wait_until_wanted(self, message: Message) -> None:
        """Wait until another one waits to own the log."""
        del message
        await self._lock.wanted()

    async def do_release(self, message: Message) -> float:
        """Own it no longer; the time before."""
        del message
        now_s = time.monotonic()
        self._lock.release()
        return now_s

    async def do_open_topics(self, message: Message) -> bool:
        """Open the topics."""
        return await self._log.request_topics.open(create=message["create"])

    async def do_post(self, message: Message) -> None:
        """Post a message."""
        self._log.request_topics.post(
            Topic(message["topic"]), message["partition"], unpacked(message["record"])
        )

    async def do_post_last(self, message: Message) -> None:
        """Post a message, close the log and end the process."""
        await self.do_post(message)
        await self._log.close()
        asyncio.get_running_loop().stop()

    async def do_subscribe(self, message: Message) -> int:
        """Subscribe to a partition."""
        subscription = await self._log.request_topics.subscribe(
            Topic(message["topic"]), message["partition"]
        )
        self._subscriptions.append(subscription)
        return len(self._subscriptions) - 1

    async def do_read(self, message: Message) -> list[Message]:
        """Read messages."""
        records = await self._subscriptions[int(message["subscription"])].read()
        return [packed(record) for record in records]

    async def do_unsubscribe(self, message: Message) -> None:
        """End a subscription."""
        await self._subscriptions[int(message["subscription"])].close()

    async def do_produce(self, message: Message) -> float:
        """Produce a command; the time at which it was acknowledged."""
        await self._log.produce(
            Topic.COMMANDS, 0, NewRecord(key=b"i", value=message["value"].encode())
        )
        return time.monotonic()

    async def do_produce_many(self, message: Message) -> list[float]:
        """Produce commands for so many seconds; the times of their acknowledgements."""
        acknowledged = list[float]()
        await asyncio.sleep(message["begin_s"] - time.monotonic())
        while time.monotonic() < message["end_s"]:
            acknowledged.append(await self.do_produce({"value": "a"}))
        return acknowledged

    async def do_read_command(self, message: Message) -> list[object]:
        """Read commands from an offset on; with the time at which there were some."""
        reader = await self._log.reader(Topic.COMMANDS, 0, message["offset"])
        chunk = await reader.read(max_wait_s=LIMIT_S)
        values = [(r.value or b"").decode() for r in chunk.records] if chunk else []
        return [values, time.monotonic()]


if __name__ == "__main__":
    asyncio.run(Child(sys.argv[1]).run())
