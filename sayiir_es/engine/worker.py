"""A worker: owns the partitions that the group gives it, and runs their attempts.

Theory of operation. Membership says which partitions this process may try to own; each
has one supervised task that claims, serves, and claims again after a fence or an
uncertain append, while the group still says so. The claim decides: membership is for
liveness only. A partition that is given away is served until its new owner's claim ends
the tenure, or dropped at once when nothing is going on in it. A partition whose events
cannot be folded stops, with an error that names why; the others go on. A store that
fails is opened again, by when it is older, or empty, and folded on.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from sayiir_es.core.model.errors import (
    FencedError,
    HistoryError,
    LogError,
    OffsetGoneError,
    StoreError,
    WorkflowError,
)
from sayiir_es.engine.backoff import BACKOFF_MOST_S, Backoff
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.owner.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import StoreOpener, WorkerSettings
    from sayiir_es.log.port import Membership

logger = structlog.get_logger()

LEAVE_LOOK_S = 0.05
"""How often a partition that was given away looks for its new owner's claim."""

REST_S = 1.0
"""A partition that was given away is idle when nothing was decided for so long: longer
than the heartbeat that tells its next owner, for under load it rests between two
commands too, and nobody would serve it until then."""

SETTLE_LOOK_S = 0.001
"""How often a call that owns a local log looks whether its owner is ready."""

CLAIMS_ALERT = 12
"""More claims of a partition than this in `CLAIMS_WINDOW_S` are worth an alert."""

CLAIMS_WINDOW_S = 60.0


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
        self.owners: dict[int, Owner] = {}
        self.stopped: dict[int, str] = {}
        """Partitions that cannot go on here, with the reason."""
        self._ports = ports
        self._membership = membership
        self._open_store = open_store
        self._executor = ports.executor
        self._clock = ports.clock
        self._settings = settings
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def owner_id(self) -> str:
        """The name of this process in claims."""
        return f"{self._settings.worker_id}/{self._settings.incarnation}"

    async def start(self, workflows: Sequence[Workflow]) -> None:
        """Publish the definitions and join the group."""
        for workflow in workflows:
            await self.definitions.publish(workflow)
        await self.definitions.refresh()
        if self._settings.announced:
            await self.definitions.announce(self.owner_id)
        await self._membership.join()
        self._watch = asyncio.create_task(self._follow(), name="membership")

    async def settled(self) -> None:
        """Wait until every partition that is assigned has decided what was due.

        Returns at once where none is assigned: then another process owns the log.
        """
        for partition in self._membership.current().partitions:
            while partition not in self.stopped and self._is_assigned(partition):
                owner = self.owners.get(partition)
                if owner is not None and owner.quiet.is_set():
                    break
                await asyncio.sleep(SETTLE_LOOK_S)

    async def stop(self, *, drain: bool = True) -> None:
        """Shut down: drain, leave the group, serve until fenced, then let go."""
        self._stopping = True
        if drain:
            await self._drain()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        exclusive = self._membership.exclusive
        if not exclusive:
            await self._membership.leave()
        serve_on = drain and not exclusive
        await asyncio.gather(
            *(self._hand_over(partition, drain=serve_on) for partition in self._tasks)
        )
        if exclusive:
            await self._membership.leave()
        await self._executor.close()
        if self._settings.announced:
            with contextlib.suppress(LogError):
                await self.definitions.take_leave(self.owner_id)
        await self.definitions.close()
        logger.info("worker.stopped", worker=self._settings.worker_id)

    async def _drain(self) -> None:
        """Begin nothing new, and wait for what runs."""
        for owner in self.owners.values():
            owner.drain()
        end = self._clock.monotonic_s() + self._settings.drain_s
        while (  # noqa: ASYNC110 (jobs end by themselves, and nothing tells)
            self._executor.running() and self._clock.monotonic_s() < end
        ):
            await asyncio.sleep(LEAVE_LOOK_S)

    # --- membership -------------------------------------------------------------------

    async def _follow(self) -> None:
        assigned = self._membership.current()
        while True:
            for partition in sorted(assigned.partitions):
                self._begin(partition)
            for partition in [p for p in self._tasks if p not in assigned.partitions]:
                task = asyncio.create_task(self._hand_over(partition, drain=True))
                task.add_done_callback(lambda _: None)
            assigned = await self._membership.changed(assigned.epoch)

    def _begin(self, partition: int) -> None:
        """Supervise a partition, unless it is under way or cannot go on here."""
        known = self._tasks.get(partition)
        if partition in self.stopped or (known is not None and not known.done()):
            return
        running = self._supervise(partition)
        task = asyncio.create_task(running, name=f"partition-{partition}")
        self._tasks[partition] = task
        task.add_done_callback(lambda ended: self._ended(partition, ended))

    def _ended(self, partition: int, task: asyncio.Task[None]) -> None:
        """Begin again where a partition came back while it was being let go."""
        if self._tasks.get(partition) is not task:
            return
        del self._tasks[partition]
        if not self._stopping and self._is_assigned(partition):
            self._begin(partition)

    async def _hand_over(self, partition: int, *, drain: bool) -> None:
        """Serve until fenced; drop the partition when it is idle or time is up."""
        task = self._tasks.get(partition)
        owner = self.owners.get(partition)
        end = self._clock.monotonic_s() + self._settings.handover_s
        while (
            drain
            and task is not None
            and not task.done()
            and owner is not None
            and owner.serving
            and not (owner.idle and owner.rested_s() > REST_S)
            and self._clock.monotonic_s() < end
        ):
            owner.look()
            await asyncio.sleep(LEAVE_LOOK_S)
            if partition in self._membership.current().partitions:
                return  # it came back, and keeps its claim if nobody claimed meanwhile
        if task is not None:
            # Who still folds must not claim any more: it would fence the next owner.
            if owner is not None and owner.serving:
                owner.stop()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.handover_s):
                        await asyncio.wait((task,))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- a partition ------------------------------------------------------------------

    async def _supervise(self, partition: int) -> None:
        """Own a partition to the end; the only place that catches everything."""
        opened, patience = False, self._patience(partition)
        try:
            while True:
                try:
                    store = await self._open_store(partition)
                    opened = True
                    await self._own(partition, store)
                except StoreError as error:
                    if not opened or self._is_over(partition):
                        raise
                    logger.warning(
                        "partition.store_failed",
                        partition=partition,
                        error_code=error.code,
                        reason=str(error),
                    )
                else:
                    return
                await patience.pause()
        except (HistoryError, OffsetGoneError) as error:
            self._stop_partition(partition, error)
        except Exception as error:  # a bug stops one partition, loudly
            logger.exception("partition.crashed", partition=partition)
            self._stop_partition(partition, error)

    async def _own(self, partition: int, store: SnapshotStore) -> None:
        """Claim and serve, again and again, on one store."""
        owner = self.owners[partition] = Owner(
            partition,
            ports=self._ports,
            store=store,
            settings=self._settings.of_owner(self.owner_id),
            refresh_definitions=self.definitions.refresh,
            lapses=lambda: self._membership.current().lapses,
        )
        if not self._settings.runs_attempts:
            owner.drain()
        try:
            await self._tenures(partition, owner)
        finally:
            self.owners.pop(partition, None)
            await owner.close()

    async def _tenures(self, partition: int, owner: Owner) -> None:
        patience, claims = self._patience(partition), list[float]()
        log = logger.bind(partition=partition)
        while not self._stopping and self._is_assigned(partition):
            began_s = self._clock.monotonic_s()
            claims = [at for at in claims if began_s - at < CLAIMS_WINDOW_S] + [began_s]
            if len(claims) > CLAIMS_ALERT:
                log.warning("partition.claimed_often", claims=len(claims))
            try:
                await owner.run()
            except FencedError as error:
                log.info("partition.fenced", reason=str(error))
                await self._confirmed_after(partition, self._clock.monotonic_s())
            except OffsetGoneError:
                raise
            except LogError as error:
                log.warning(
                    "partition.tenure_ended", error_code=error.code, reason=str(error)
                )
            else:
                return
            if self._clock.monotonic_s() - began_s > BACKOFF_MOST_S:
                patience.forget()
            await patience.pause()

    async def _confirmed_after(self, partition: int, fenced_at_s: float) -> None:
        """Rule 8: wait for a heartbeat sent after the fence that assigns it still."""
        while self._is_assigned(partition):
            if self._membership.current().fresh_at_s > fenced_at_s:
                return
            await asyncio.sleep(LEAVE_LOOK_S)

    def _is_assigned(self, partition: int) -> bool:
        return partition in self._membership.current().partitions

    def _is_over(self, partition: int) -> bool:
        """Whether this task is to end, even if an error came before its cancel."""
        task = asyncio.current_task()
        cancelled = task is not None and task.cancelling() > 0
        return cancelled or self._stopping or not self._is_assigned(partition)

    def _patience(self, partition: int) -> Backoff:
        return Backoff(f"{self._settings.incarnation}/{partition}")

    def _stop_partition(self, partition: int, error: Exception) -> None:
        self.stopped[partition] = str(error)
        code = error.code if isinstance(error, WorkflowError) else "bug"
        logger.error(
            "partition.stopped", partition=partition, error_code=code, reason=str(error)
        )
