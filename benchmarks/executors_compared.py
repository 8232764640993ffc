"""Three ways to hand attempts to executors, compared: docs/decisions/015.

    python benchmarks/executors_compared.py --way credits

Without `--way` all three, one after the other. The broker is started here, or is the
one that `SAYIIR_TEST_KAFKA` names.

`credits` is the product: a worker process that decides, and two processes of
`sayiir-es executor run`. `group` and `share` are prototypes without an owner: a record
out, a record back. `share` needs `confluent-kafka` 2.15 or newer, and a broker with
share groups. Each has two executors of four slots.

* lone: one attempt after the other, that does nothing.
* behind slow: four attempts of 3 s under one key; then 100 that do nothing.
* tenants: 200 attempts of 20 ms of one tenant, then 10 of another one.

Prints one JSON object for each way, with times in milliseconds.
"""

# ruff: noqa: INP001, T201, ASYNC110  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import threading
import time
from contextlib import AsyncExitStack, ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self, TypedDict

sys.path.insert(0, str(Path(__file__).parents[1]))

from sayiir_es import Flow, task
from sayiir_es.aio import WorkflowClient
from tests.broker import LocalBroker

EXECUTORS, SLOTS, PARTITIONS = 2, 4, 8
LONE, FAST, SLOW = 200, 100, 4
SLOW_S, TENANT_S = 3.0, 0.02
MANY, FEW = 200, 10
LIMIT_S = 60.0
MODULE = "executors_compared"
"""This file: the processes find it beside themselves."""


WAYS = ("credits", "group", "share")


class LackingClientError(Exception):
    """No client is installed that a way needs."""


class Work(TypedDict):
    """What an attempt is to do."""

    tenant: str
    seconds: float


@task(execute="remote", fairness_key="{input.tenant}")
async def work(value: Work) -> int:
    """Take so long."""
    await asyncio.sleep(value["seconds"])
    return 0


working = Flow[Work, int]("working").then(work).build()


class Way(Protocol):
    """One way to have attempts run elsewhere."""

    async def __aenter__(self) -> Self:
        """Start two executors; returns when both take attempts."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """End them."""
        ...

    async def run(self, name: str, value: Work) -> None:
        """Have one attempt run; returns at its outcome."""
        ...


class Credits:
    """The product."""

    def __init__(self, bootstrap: str, prefetch: int) -> None:
        self._url = f"kafka://{bootstrap}/compared-{secrets.token_hex(4)}"
        self._prefetch = prefetch
        self._processes: list[subprocess.Popen[bytes]] = []

    async def __aenter__(self) -> Self:
        here = Path(__file__).parent
        path = os.pathsep.join((str(here), str(here.parent)))
        worker = ["worker", "run", MODULE]
        executor = ["executor", "run", MODULE, "--prefetch", str(self._prefetch)]
        executor += ["--max-concurrent-tasks", str(SLOTS)]
        for line in (worker, *[executor] * EXECUTORS):
            command = [sys.executable, "-m", "sayiir_es.cli", *line]
            process = subprocess.Popen(  # noqa: ASYNC220, S603 (our own)
                [*command, "--backend", self._url],
                env={**os.environ, "PYTHONPATH": path},
            )
            self._processes.append(process)
        self._client = await WorkflowClient(self._url).__aenter__()
        while not await self._is_ready():
            await asyncio.sleep(0.1)
        return self

    async def _is_ready(self) -> bool:
        with suppress(Exception):  # nobody answers yet
            statuses = await self._client.partitions()
            known = [one.report.executors if one.report else () for one in statuses]
            return all(len(executors) == EXECUTORS for executors in known)
        return False

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    async def run(self, name: str, value: Work) -> None:
        """Start an instance of one remote step; returns when its end is told."""
        await self._client.run(working, name, value, timeout=LIMIT_S)


class Topics:
    """What the prototypes share: a topic out, and one back."""

    def __init__(self, bootstrap: str) -> None:
        name = f"compared-{secrets.token_hex(4)}"
        self.bootstrap = bootstrap
        self.out, self.back, self.group = f"{name}-out", f"{name}-back", name
        self._ended: dict[str, asyncio.Future[None]] = {}
        self._stack = AsyncExitStack()
        self._kafka: Any = import_module("aiokafka")

    async def __aenter__(self) -> Self:
        admin_module: Any = import_module("aiokafka.admin")
        admin = admin_module.AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        await admin.create_topics(
            [
                admin_module.NewTopic(self.out, PARTITIONS, 1),
                admin_module.NewTopic(self.back, 1, 1),
            ]
        )
        await admin.close()
        servers = {"bootstrap_servers": self.bootstrap}
        self.producer: Any = self._kafka.AIOKafkaProducer(**servers, acks="all")
        await self.producer.start()
        self._stack.push_async_callback(self.producer.stop)
        reader = self._kafka.AIOKafkaConsumer(
            self.back, **servers, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        await reader.start()
        self._stack.push_async_callback(reader.stop)
        self.spawn(self._read(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def spawn(self, what: Any) -> None:
        """Do it until the end."""
        running = asyncio.create_task(what)

        async def end() -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        self._stack.push_async_callback(end)

    async def consumer(self) -> Any:
        """A member of the group."""
        consumer = self._kafka.AIOKafkaConsumer(
            self.out,
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        self._stack.push_async_callback(consumer.stop)
        return consumer

    async def _read(self, reader: Any) -> None:
        async for record in reader:
            self._ended.pop(record.key.decode()).set_result(None)

    async def run(self, name: str, value: Work) -> None:
        """Produce an attempt; returns at its outcome. A tenant is one key."""
        ended = self._ended[name] = asyncio.get_running_loop().create_future()
        data = json.dumps({"name": name, **value}).encode()
        key = (value["tenant"] or name).encode()
        await self.producer.send_and_wait(self.out, data, key=key)
        await asyncio.wait_for(ended, LIMIT_S)


class Group(Topics):
    """A consumer group; each member reads on while it has a free slot."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        members = [await self.consumer() for _ in range(EXECUTORS)]
        while not all(len(m.assignment()) == PARTITIONS // EXECUTORS for m in members):
            await asyncio.sleep(0.1)
        for member in members:
            self.spawn(self._execute(member))
        return self

    async def _execute(self, member: Any) -> None:
        slots = asyncio.Semaphore(SLOTS)
        running: set[asyncio.Task[None]] = set()

        async def one(data: Any) -> None:
            try:
                await asyncio.sleep(data["seconds"])
                key = data["name"].encode()
                await self.producer.send(self.back, b"", key=key)
            finally:
                slots.release()

        while True:
            await slots.acquire()
            record = await member.getone()
            attempt = asyncio.create_task(one(json.loads(record.value)))
            running.add(attempt)
            attempt.add_done_callback(running.discard)


class Share(Topics):
    """A share group, with a consumer for each slot.

    One consumer cannot have several attempts run: it may not poll before all of the
    last poll are acknowledged.
    """

    async def __aenter__(self) -> Self:
        self._confluent: Any = import_module("confluent_kafka")
        if not hasattr(self._confluent, "ShareConsumer"):
            raise LackingClientError(
                "expected confluent-kafka 2.15 or newer, which has a ShareConsumer, "
                f"but {self._confluent.version()}"
            )
        await super().__aenter__()
        admin_module: Any = import_module("confluent_kafka.admin")
        admin = admin_module.AdminClient({"bootstrap.servers": self.bootstrap})
        resource = admin_module.ConfigResource(
            admin_module.ResourceType.GROUP,
            self.group,
            incremental_configs=[
                admin_module.ConfigEntry(
                    "share.auto.offset.reset",
                    "earliest",
                    incremental_operation=admin_module.AlterConfigOpType.SET,
                )
            ],
        )
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()
        self._is_ended = threading.Event()
        threads = [
            threading.Thread(target=self._execute, daemon=True)
            for _ in range(EXECUTORS * SLOTS)
        ]
        for thread in threads:
            thread.start()
        for number in range(len(threads)):
            await self.run(f"warm-{number}", Work(tenant="", seconds=0.2))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_ended.set()
        await asyncio.sleep(1.5)
        await super().__aexit__()

    def _execute(self) -> None:
        servers = {"bootstrap.servers": self.bootstrap}
        consumer = self._confluent.ShareConsumer(
            {
                **servers,
                "group.id": self.group,
                "share.acknowledgement.mode": "explicit",
                "max.poll.records": 1,
                "fetch.wait.max.ms": 50,
            }
        )
        producer = self._confluent.Producer({**servers, "linger.ms": 0})
        consumer.subscribe([self.out])
        while not self._is_ended.is_set():
            for message in consumer.poll(1.0):
                if message.error() is None:
                    data = json.loads(message.value())
                    time.sleep(data["seconds"])
                    producer.produce(self.back, b"", key=data["name"].encode())
                    producer.flush()
                    consumer.acknowledge(message)
            consumer.commit_async()
        consumer.close()


async def _timed(way: Way, name: str, value: Work) -> float:
    began_s = time.perf_counter()
    await way.run(name, value)
    return (time.perf_counter() - began_s) * 1000


def _quantiles(times_ms: list[float]) -> dict[str, float]:
    ordered = sorted(times_ms)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "max": round(ordered[-1], 1),
    }


async def measure(way: Way) -> dict[str, object]:
    """All three scenarios."""
    async with way:
        nothing = Work(tenant="", seconds=0.0)
        for number in range(20):
            await way.run(f"first-{number}", nothing)
        lone = [await _timed(way, f"lone-{n}", nothing) for n in range(LONE)]
        slow = Work(tenant="slow", seconds=SLOW_S)
        slows = [asyncio.create_task(way.run(f"slow-{n}", slow)) for n in range(SLOW)]
        await asyncio.sleep(0.5)
        behind = await asyncio.gather(
            *(_timed(way, f"fast-{n}", nothing) for n in range(FAST))
        )
        await asyncio.gather(*slows)
        many = [
            asyncio.create_task(
                _timed(way, f"many-{n}", Work(tenant="a", seconds=TENANT_S))
            )
            for n in range(MANY)
        ]
        await asyncio.sleep(0.3)
        few = await asyncio.gather(
            *(
                _timed(way, f"few-{n}", Work(tenant="b", seconds=TENANT_S))
                for n in range(FEW)
            )
        )
        all_of_many = await asyncio.gather(*many)
    return {
        "lone": _quantiles(lone),
        "behind_slow": _quantiles(list(behind)),
        "few_of_one_tenant": _quantiles(list(few)),
        "many_of_another": _quantiles(list(all_of_many)),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS, nargs="*", default=WAYS)
    parser.add_argument("--prefetch", type=int, default=SLOTS, help="of credits")
    options = parser.parse_args()
    with ExitStack() as stack:
        servers = os.environ.get("SAYIIR_TEST_KAFKA")
        if not servers:
            servers = stack.enter_context(LocalBroker()).bootstrap
        ways: dict[str, Way] = {
            "credits": Credits(servers, options.prefetch),
            "group": Group(servers),
            "share": Share(servers),
        }
        for name in options.way:
            try:
                result = asyncio.run(measure(ways[name]))
            except LackingClientError as error:
                result = {"left_out": str(error)}
            print(json.dumps({"way": name, **result}), flush=True)


if __name__ == "__main__":
    main()
