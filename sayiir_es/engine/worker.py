"""A worker: owns the partitions that the group assigns to it, and runs their attempts.

Theory of operation. Membership says which partitions this process may try to own; each
has a supervisor with a task of its own. Membership is for liveness only: who decides is
settled by the claims in the log. If one partition cannot go on, the others do, and that
one is given up to a worker that can serve it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from sayiir_es.core.model.errors import LogError
from sayiir_es.engine import blocked_commands
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.partition_supervisor import PartitionSupervisor
from sayiir_es.engine.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.owner.owner import Owner
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.worker_settings import StoreOpener, WorkerSettings
    from sayiir_es.log.port import Membership

logger = structlog.get_logger()

DRAIN_LOOK_S = 0.05
"""How often, in seconds, a worker that drains looks whether its attempts have ended."""

GIVEN_UP_S = 10.0
"""A partition that is refused and still assigned here after so many seconds is taken by
nobody else: a group assigns again within two sessions."""

SETTLE_LOOK_S = 0.001
"""How often, in seconds, a call that owns a local log looks whether it has decided."""


class WorkerEngine:
    """The engine of one worker process, on one event loop."""

    def __init__(
        self,
        *,
        ports: Ports,
        membership: Membership,
        open_store: StoreOpener,
        settings: WorkerSettings,
    ) -> None:
        self.definitions = DefinitionFeed(ports.log, ports.registry)
        self.registry = ports.registry
        self._ports = ports
        self._membership = membership
        self._open_store = open_store
        self._registry = ports.registry
        self._executor = ports.executor
        self._clock = ports.clock
        self._settings = settings
        self.refusals = Refusals(membership, ports.clock, settings.incarnation)
        self._supervisors: dict[int, PartitionSupervisor] = {}
        self._hand_overs: dict[int, asyncio.Task[None]] = {}
        """Those of partitions that the group has taken, one of each."""
        self._watch: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._announcing: asyncio.Task[None] | None = None
        self._blocked_watch: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def owners(self) -> dict[int, Owner]:
        """The owners of partitions whose stores are open, by partition."""
        return {
            partition: supervisor.owner
            for partition, supervisor in self._supervisors.items()
            if supervisor.owner is not None
        }

    @property
    def stopped(self) -> dict[int, str]:
        """Partitions that cannot go on in this process, each with the reason."""
        return {
            partition: supervisor.stop_reason
            for partition, supervisor in self._supervisors.items()
            if supervisor.stop_reason is not None
        }

    def get_unserved(self) -> Mapping[int, Refusal]:
        """What is refused here though nobody else takes it, as far as can be known."""
        patience_s = 0.0 if self._membership.exclusive else GIVEN_UP_S
        return {
            partition: refusal
            for partition, refusal in self.refusals.by_partition.items()
            if self._is_assigned(partition)
            and self.refusals.age_s(partition) >= patience_s
        }

    async def start(self, workflows: Sequence[Workflow]) -> None:
        """Publish the definitions and join the group.

        Raises:
            LogError: if the log does not answer.
        """
        for workflow in workflows:
            await self.definitions.publish(workflow, deployed=True)
        await self.definitions.refresh()
        self._membership.introduce(self._settings.owner_id)
        await self._membership.join()
        self._watch = asyncio.create_task(self._follow(), name="membership")
        self._watch.add_done_callback(self._on_watch_ended)
        if self._settings.announced:
            await self._tell_who_lives()
            announcing = self.refusals.announce_changes(self._announce)
            self._announcing = asyncio.create_task(announcing, name="announcements")
        if blocked_commands.can_be_told(self._ports.log):
            self._blocked_watch = asyncio.create_task(
                blocked_commands.watch(
                    self._ports.log, self._clock, lambda: self.owners
                ),
                name="blocked-commands",
            )

    async def wait_until_settled(self) -> None:
        """Wait until every assigned partition has decided everything that was due.

        Returns at once if none is assigned: then another process owns the log.
        """
        for partition in self._membership.current().partitions:
            while partition not in self.refusals.by_partition and self._is_assigned(
                partition
            ):
                owner = self.owners.get(partition)
                if owner is not None and owner.quiet.is_set():
                    break
                await asyncio.sleep(SETTLE_LOOK_S)

    async def stop(self, *, drain: bool = True) -> None:
        """Shut down: drain, leave the group, and hand every partition over.

        What ended until then is recorded; what runs on is withdrawn. Without `drain`
        nothing is waited for, and no partition is served until its new owner's claim.
        """
        self._stopping = True
        supervisors = self._supervisors.values()
        for supervisor in supervisors:
            supervisor.drain()
        if drain:
            await self._let_end()
        for supervisor in supervisors:
            supervisor.stop()
        await asyncio.gather(*(supervisor.settle() for supervisor in supervisors))
        background = (self._watch, self._telling, self._blocked_watch)
        watches = [watch for watch in background if watch is not None]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        exclusive = self._membership.exclusive
        if not exclusive:
            await self._membership.leave()
        serve = drain and not exclusive
        await asyncio.gather(
            *(supervisor.hand_over(serve=serve) for supervisor in supervisors)
        )
        if exclusive:
            await self._membership.leave()
        await self._executor.close()
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
            with contextlib.suppress(LogError):
                await self.definitions.withdraw(self._settings.owner_id)
        await self.definitions.close()
        logger.info("worker.stopped", worker=self._settings.worker_id)

    async def _announce(self) -> None:
        """Publish what this worker can run, and what it refuses now."""
        await self.definitions.announce(
            self._settings.owner_id, self.refusals.by_partition
        )

    async def _let_end(self) -> None:
        """Wait for the attempts that run, within a limit."""
        end_s = self._clock.monotonic_s() + self._settings.drain_s
        while (  # noqa: ASYNC110 (no event says that the last attempt has ended)
            self._executor.running() and self._clock.monotonic_s() < end_s
        ):
            await asyncio.sleep(DRAIN_LOOK_S)
        if self._executor.running():
            logger.warning(
                "worker.drain_expired",
                worker=self._settings.worker_id,
                running=len(self._executor.running()),
            )

    # --- membership -------------------------------------------------------------------

    async def _follow(self) -> None:
        """Supervise the partitions that are assigned, hand over those that are not."""
        assigned = self._membership.current()
        while True:
            for partition in sorted(assigned.partitions):
                self._begin(partition)
            for partition, supervisor in self._supervisors.items():
                if partition not in assigned.partitions:
                    self._give_away(supervisor)
            assigned = await self._membership.changed(assigned.epoch)
            if self._settings.announced:
                self._telling = asyncio.create_task(self._tell_who_lives(self._telling))

    async def _tell_who_lives(self, previous: asyncio.Task[None] | None = None) -> None:
        """Announce this process, if it is not, and withdraw what the dead announced.

        Not before `previous`, which does the same, has ended.

        A worker announces itself behind its join. So whoever was announced before the
        members were looked up, and is none of them, has gone.
        """
        if previous is not None:
            await asyncio.wait((previous,))
        try:
            await self.definitions.refresh()
            announced, living = self._registry.announced(), self._membership.living()
            if self._settings.owner_id not in announced and not self._stopping:
                await self._announce()
            if living is not None:
                for owner_id in sorted(announced - living - {self._settings.owner_id}):
                    await self.definitions.withdraw(owner_id)
        except LogError as error:  # the next change of the group finds the same
            logger.warning(
                "worker.announcement_failed",
                worker=self._settings.worker_id,
                error_code=error.code,
                reason=str(error),
            )

    def _on_watch_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a bug: what is owned goes on, nothing more is begun
            logger.error(
                "worker.crashed", worker=self._settings.worker_id, exc_info=error
            )

    def _give_away(self, supervisor: PartitionSupervisor) -> None:
        """Hand a partition over that the group has taken, unless that is under way."""
        partition = supervisor.partition
        if not supervisor.is_running:
            self._membership.release(partition)
        elif partition not in self._hand_overs:
            task = asyncio.create_task(supervisor.give_away())
            self._hand_overs[partition] = task
            task.add_done_callback(lambda _: self._given_away(supervisor))

    def _given_away(self, supervisor: PartitionSupervisor) -> None:
        """Look again: the group may have taken it twice meanwhile."""
        partition = supervisor.partition
        task = self._hand_overs.pop(partition)
        if not task.cancelled():
            task.result()
        is_ours = self._supervisors.get(partition) is supervisor
        # A supervisor that refuses it tries its store further on, and ends by itself.
        is_refused = partition in self.refusals.by_partition
        is_taken = not self._is_assigned(partition) and not is_refused
        if is_ours and is_taken and not self._stopping:
            self._give_away(supervisor)

    def _begin(self, partition: int) -> None:
        """Supervise a partition, unless it is supervised or cannot go on here."""
        previous = self._supervisors.get(partition)
        if self._stopping or (
            previous is not None
            and (previous.is_running or previous.stop_reason is not None)
        ):
            return
        supervisor = self._supervisors[partition] = PartitionSupervisor(
            partition,
            ports=self._ports,
            open_store=self._open_store,
            settings=self._settings,
            refusals=self.refusals,
            refresh_definitions=self.definitions.refresh,
        )
        self._membership.hold(partition)
        supervisor.start().add_done_callback(lambda _: self._on_ended(supervisor))

    def _on_ended(self, supervisor: PartitionSupervisor) -> None:
        """Begin again if the partition came back while it was handed over."""
        partition = supervisor.partition
        is_replaced = self._supervisors.get(partition) is not supervisor
        if is_replaced:
            return
        self._membership.release(partition)
        if supervisor.stop_reason is not None:
            return
        del self._supervisors[partition]
        if self._is_assigned(partition):
            self._begin(partition)

    def _is_assigned(self, partition: int) -> bool:
        return partition in self._membership.current().partitions
