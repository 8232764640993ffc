"""Clients that ask owners over a network that loses, doubles and delays messages.

Workers are killed, paused and drained meanwhile: also between a decision and its reply.
Every call of the client ends, once, with what the log says.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, TypeVar

import pytest

from sayiir_es.client.backend_port import BackendPort
from sayiir_es.client.commands import new_command_id, start_command
from sayiir_es.client.search import count_by_group, newest_instances
from sayiir_es.client.session import Session
from sayiir_es.client.starts import start_and_wait
from sayiir_es.client.stores import MemoryStores
from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.commands import SendSignal
from sayiir_es.core.model.errors import BackendError
from sayiir_es.core.status.search import Search
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.wire.payload import encode_payload
from tests.captured_logs import without_logs
from tests.simulation.chance import Chance
from tests.simulation.fleet import Fleet, SimClock
from tests.simulation.log import AppendFaults, SimLog
from tests.simulation.loop import Process, SimLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.client.stores import Stores
    from sayiir_es.core.model.commands import ConflictPolicy
    from sayiir_es.core.status.status import Status
    from sayiir_es.log.port import Log, Membership

T = TypeVar("T")

SEEDS = range(1, 13)
INSTANCES = 12
CALM_AFTER_S = 60.0
LIMIT_S = 600.0
"""Virtual seconds within which every call must have ended."""


async def add_one(number: int) -> int:
    await asyncio.sleep(0.01)
    return number + 1


adding = Flow("adding").then(add_one, name="a").then(add_one, name="b").build()
asking = Flow("asking").wait_for_signal("go").then(add_one, name="a").build()


class SimBackend(BackendPort):
    """One client's way to the log."""

    owns_on_call = False

    def __init__(self, log: MemoryLog, chance: Chance) -> None:
        self._log = log
        self._chance = chance

    @property
    def url(self) -> str:
        """No URL opens it."""
        return "sim:"

    def open_log(self, *, connect_limit_s: float = 30.0) -> Log:
        """The log as the client sees it."""
        del connect_limit_s
        return SimLog(self._log, self._chance, "client", lambda _: None)

    def membership(self, log: Log) -> Membership:
        """None: a client owns nothing."""
        raise AssertionError(log)

    def stores(self) -> Stores:
        """Of none that it owns."""
        return MemoryStores()

    def views(self) -> Stores:
        """Of what it folds where nobody answers."""
        return MemoryStores()


class Scene:
    """The calls of one client in one world."""

    def __init__(self, seed: int, loop: SimLoop) -> None:
        self.chance = Chance(seed)
        log = MemoryLog(
            2,
            faults=AppendFaults(self.chance),
            now_ms=SimClock(loop).now_ms,
            log_id="sim",
        )
        self.log = log
        self.fleet = Fleet(
            log,
            self.chance,
            loop,
            workers=2,
            note=lambda *_: None,
            refused=lambda _: None,
        )
        self.fleet.builds = ((adding, asking), (adding, asking))
        self.session = Session(SimBackend(log, self.chance))
        self.ended: dict[str, list[Status]] = {}

    async def run(self) -> None:
        """Use the client in a sick world, then in a calm one, then look."""
        await self.log.open(create=True)
        self.fleet.start(chaos=True)
        users = [asyncio.create_task(self._use(number)) for number in range(INSTANCES)]
        await asyncio.sleep(CALM_AFTER_S)
        self.chance.quiet = True
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*users)
        await self._look()

    async def _use(self, number: int) -> None:
        name = f"i{number}"
        await asyncio.sleep(self.chance.between(f"user {name}", 0.0, CALM_AFTER_S))
        workflow = asking if number % 3 == 0 else adding
        # The same command again is known by its id, under whatever policy.
        policy: ConflictPolicy = "fail" if number % 4 < 2 else "use_existing"
        start = start_command(
            workflow.graph.name, name, encode_payload(number), policy=policy
        )
        if number % 2:
            ending = self._until_told(
                lambda: start_and_wait(self.session, workflow, start)
            )
        else:
            await self._until_told(lambda: self.session.submit(workflow, start))
            ending = self._until_told(lambda: self.session.wait(name))
        waiting = asyncio.create_task(ending)
        if workflow is asking:
            signal = SendSignal(
                instance_id=name,
                command_id=new_command_id(),
                signal="go",
                payload=str(number).encode(),
                signal_id="once",
            )
            await self._until_told(lambda: self.session.send(signal))
        if number % 2 == 0:  # else it may not be decided yet
            status = await self._until_told(lambda: self.session.get_status(name))
            assert status.instance_id == name
        ended = await waiting
        status = await self._until_told(lambda: self.session.get_status(name))
        # A command that was sent again may have been acknowledged meanwhile.
        assert (status.run, status.output) == (ended.run, ended.output)
        self.ended.setdefault(name, []).append(ended)
        expected = number + (1 if workflow is asking else 2)
        assert (ended.status, ended.output) == ("completed", str(expected).encode())

    async def _until_told(self, call: Callable[[], Awaitable[T]]) -> T:
        """A call that nobody answered in time is made again, as users do."""
        while True:
            try:
                return await call()
            except BackendError as error:
                if not str(error).startswith("expected"):
                    raise

    async def _look(self) -> None:
        """Read your writes: the search has all that the client was told of."""
        found = await newest_instances(self.session, Search(), 100)
        assert {status.instance_id for _, status in found} == {*self.ended}
        counts = await count_by_group(self.session, Search(), "status")
        assert counts == {"completed": INSTANCES}
        assert not self.session.open_calls


@pytest.mark.parametrize("seed", SEEDS)
@without_logs()
def test_every_call_is_answered_once_with_what_the_log_says(seed: int) -> None:
    loop = SimLoop(Random(seed))  # noqa: S311 (a simulation's)
    asyncio.set_event_loop(loop)
    try:
        client = Process("client")
        scene: list[Scene] = []

        async def run() -> None:
            scene.append(Scene(seed, loop))
            await scene[0].run()

        loop.run_until_complete(loop.spawn(run(), client))
    finally:
        loop.discard_tasks()
        asyncio.set_event_loop(None)
        loop.close()
