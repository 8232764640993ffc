"""A worker: owns the partitions that the group assigns to it, and runs their attempts.

Theory of operation. Membership says which partitions this process may try to own; each
has a supervisor with a task of its own. Membership is for liveness only: who decides is
settled by the claims in the log. If one partition cannot go on, the others do, and that
one is given up to a worker that can serve it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import GroupInstanceTakenError, LogError
from sayiir_es.core.model.rows import get_run
from sayiir_es.engine import blocked_commands
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.executors_elsewhere import with_executors_elsewhere
from sayiir_es.engine.fold_ahead import FoldAhead
from sayiir_es.engine.missing_code import tell_missing_code
from sayiir_es.engine.partition_supervisor import PartitionSupervisor
from sayiir_es.engine.refusals import Refusals
from sayiir_es.engine.worker_state import WorkerState
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.owner.owner import Owner
    from sayiir_es.engine.partition_supervisor import Serve
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.worker_settings import StoreOpener, WorkerSettings
    from sayiir_es.log.port import Assignment, Membership

logger = get_logger(__name__)

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
        ports = with_executors_elsewhere(ports, settings)
        self.definitions = DefinitionFeed(ports.log, ports.registry)
        self.registry = ports.registry
        self._ports = ports
        self._membership = membership
        self._registry = ports.registry
        self._executor = ports.executor
        self.owner_id = settings.owner_id
        """Its name in claims, and among the executors that other workers know."""
        self._clock = ports.clock
        self._settings = settings
        self.refusals = Refusals(membership, ports.clock, settings.incarnation)
        self._fold_ahead = FoldAhead(ports.log, self.refusals, open_store)
        self._supervisors: dict[int, PartitionSupervisor] = {}
        self._hand_overs: dict[int, asyncio.Task[None]] = {}
        """Those of partitions that the group has taken, one of each."""
        self._watch: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._announcing: asyncio.Task[None] | None = None
        self._blocked_watch: asyncio.Task[None] | None = None
        self._code_check: asyncio.Task[None] | None = None
        self.displacement: GroupInstanceTakenError | None = None
        """Why this worker is to end, if another one goes on in its stead."""
        self.displaced = asyncio.Event()
        self._stopping = False
        self._stop_task: asyncio.Task[None] | None = None
        self._stop_hurried = False
        self._shared_ids: set[str] = set()

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

    @property
    def is_running_attempts(self) -> bool:
        """Whether attempts run in this process."""
        return bool(self._executor.running())

    def observe(self) -> WorkerState:
        """What this worker does now; cheap enough for several times a second."""
        assignment, watch = self._membership.current(), self._watch
        age_s = self._clock.monotonic_s() - assignment.fresh_at_s
        return WorkerState(
            assigned=assignment.partitions,
            partitions=tuple(
                supervisor.observe()
                for _, supervisor in sorted(self._supervisors.items())
            ),
            has_joined=watch is not None,
            is_following=watch is not None and not watch.done(),
            is_stopping=self._stopping,
            heartbeat_age_s=None if self._membership.exclusive else age_s,
            confirmations=assignment.epoch,
            executor=self._executor.observe(),
        )

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

        When it fails, or the caller is cancelled, nothing is owned.

        Raises:
            LogError: if the log does not answer.
        """
        try:
            await self._start(workflows)
        except BaseException:
            await self.stop(drain=False)
            raise

    async def _start(self, workflows: Sequence[Workflow]) -> None:
        for workflow in workflows:
            await self.definitions.publish(workflow, deployed=True)
        await self.definitions.refresh()
        self._membership.introduce(self._settings.owner_id)
        await self._membership.join(briefly=not self._settings.announced)
        self._watch = asyncio.create_task(self._follow(), name="membership")
        self._watch.add_done_callback(self._on_watch_ended)
        if self._settings.announced:
            await self._tell_who_lives()
            announcing = self.refusals.announce_changes(self._announce)
            self._announcing = asyncio.create_task(announcing, name="announcements")
        if self._settings.runs_attempts and self._settings.selected is None:
            checking = tell_missing_code(
                self._registry, self._clock, lambda: self.owners, self._serves_all
            )
            self._code_check = asyncio.create_task(checking, name="missing-code")
        if blocked_commands.can_be_told(self._ports.log):
            self._blocked_watch = asyncio.create_task(
                blocked_commands.watch(
                    self._ports.log, self._clock, lambda: self.owners
                ),
                name="blocked-commands",
            )

    def _serves_all(self) -> bool:
        """Whether all assigned partitions are served here, and there are any."""
        assigned, owners = self._membership.current().partitions, self.owners
        return bool(assigned) and all(
            partition in owners and owners[partition].serving
            for partition in assigned - self.refusals.by_partition.keys()
        )

    async def begin(self, partition: int, instance_id: str) -> None:
        """Go on with an instance that was selected, if its partition is owned here."""
        owner = self.owners.get(partition)
        if owner is not None:
            await owner.begin(instance_id)

    def is_absent(self, partition: int, instance_id: str) -> bool:
        """Whether there is no such instance; False too where another process owns."""
        owner = self.owners.get(partition)
        if owner is None or not owner.serving:
            return False
        return get_run(owner.store.rows(instance_id)) is None

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

        A caller that is cancelled waits for the end all the same, but what runs is not
        waited for any longer. A second call waits for the first one.
        """
        self._stopping = True
        if self._stop_task is None:
            self._stop_task = asyncio.create_task(self._stop(drain=drain), name="stop")
        cancellation = None
        while not self._stop_task.done():
            try:
                await asyncio.wait((self._stop_task,))
            except asyncio.CancelledError as error:
                cancellation, self._stop_hurried = error, True
        if cancellation is not None:
            raise cancellation
        self._stop_task.result()

    async def _stop(self, *, drain: bool) -> None:
        try:
            await self._end_supervisors(drain=drain)
        finally:
            # Whatever ended it early: what only one process can have is given back.
            if self._membership.exclusive:
                await self._membership.leave()
        await self._executor.close()
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
            with contextlib.suppress(LogError):
                await self.definitions.withdraw(self._settings.owner_id)
        await self.definitions.close()
        logger.info("worker.stopped", worker=self._settings.worker_id)

    async def _end_supervisors(self, *, drain: bool) -> None:
        supervisors = self._supervisors.values()
        for supervisor in supervisors:
            supervisor.drain()
        if drain:
            await self._let_end()
        for supervisor in supervisors:
            supervisor.stop()
        await self._fold_ahead.stop()
        await asyncio.gather(*(supervisor.settle() for supervisor in supervisors))
        background = (
            self._watch,
            self._telling,
            self._blocked_watch,
            self._code_check,
        )
        watches = [watch for watch in background if watch is not None]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        exclusive = self._membership.exclusive
        if not exclusive:
            await self._membership.leave()
        is_served = drain and not exclusive and not self._stop_hurried
        serve: Serve = "briefly" if is_served else "no_longer"
        await asyncio.gather(
            *(supervisor.hand_over(serve=serve) for supervisor in supervisors)
        )

    async def _announce(self) -> None:
        """Publish what this worker can run, and what it refuses now."""
        await self.definitions.announce(
            self._settings.owner_id, self.refusals.by_partition
        )

    async def _let_end(self) -> None:
        """Wait for the attempts that run, within a limit."""
        end_s = self._clock.monotonic_s() + self._settings.drain_s
        while (  # noqa: ASYNC110 (no event says that the last attempt has ended)
            self._executor.running()
            and self._clock.monotonic_s() < end_s
            and not self._stop_hurried
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
            self._fold_expected(assigned)
            assigned = await self._membership.changed(assigned.epoch)
            if self._settings.announced:
                self._telling = asyncio.create_task(self._tell_who_lives(self._telling))

    def _fold_expected(self, assigned: Assignment) -> None:
        """Fold what is expected, as far as its store is not in use here."""
        if self._stopping:
            return
        in_use = {p for p, one in self._supervisors.items() if one.is_running}
        self._fold_ahead.follow(assigned.expected - in_use, assigned.partitions)

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
                self._warn_of_shared_ids(living)
                for owner_id in sorted(announced - living - {self._settings.owner_id}):
                    await self.definitions.withdraw(owner_id)
        except LogError as error:  # the next change of the group finds the same
            logger.warning(
                "worker.announcement_failed",
                worker=self._settings.worker_id,
                error_code=error.code,
                reason=str(error),
            )

    def _warn_of_shared_ids(self, living: frozenset[str]) -> None:
        """Log, once each, the worker ids that several workers of the group have."""
        counts = Counter(owner_id.rpartition("/")[0] for owner_id in living)
        shared = {worker_id for worker_id, count in counts.items() if count > 1}
        for worker_id in sorted(shared - self._shared_ids):
            logger.warning(
                "worker.id_shared",
                worker=worker_id,
                reason=f"{counts[worker_id]} workers of this app run under this id: "
                "everything works, but events and logs cannot tell them apart; give "
                "each a --worker-id of its own, or none",
            )
        self._shared_ids = shared

    def _on_watch_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GroupInstanceTakenError):
            logger.error(
                "worker.displaced",
                worker=self._settings.worker_id,
                error_code=error.code,
                reason=str(error),
            )
            self.displacement = error
            self.displaced.set()
        elif error is not None:  # a bug: what is owned goes on, nothing more is begun
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
            open_store=self._fold_ahead.open_store,
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
        self._fold_expected(self._membership.current())

    def _is_assigned(self, partition: int) -> bool:
        return partition in self._membership.current().partitions
