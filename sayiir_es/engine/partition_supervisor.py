"""Owns one partition for a worker, from its assignment until it is handed over.

Theory of operation. One task opens the store, claims, serves, and claims again after a
fence or an uncertain append, as long as the group assigns the partition to this
process. A store that fails is opened again; a damaged one is replaced by an empty one
then, and folded again. A store that cannot be opened, or fails again, makes this worker
refuse the partition: the group assigns it to another one, and here the store is tried
until it can be used. So does a log that refuses this worker: its clock, its rights.
Events that cannot be folded stop the partition for good, with an error that says why;
so does a bug. Such a partition is refused, too,
and one whose next commands are gone, until somebody accepts their loss.

When the group takes the partition, it is drained first: no attempt begins any more, and
those that run may end, within a limit; what runs on then is withdrawn, and the log says
so. Only then the group is told that another process may own the partition. A hand-over
serves on until the new owner's claim ends the tenure, so that the partition is never
without an owner for longer than a claim takes. A worker that ends drops the partition
if it is idle, or when time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.model.errors import (
    ClockRefusedError,
    CommandsLostError,
    FencedError,
    HistoryError,
    LogError,
    LogRefusedError,
    OffsetGoneError,
    StoreError,
    WorkflowError,
)
from sayiir_es.engine.backoff import BACKOFF_MOST_S, Backoff
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.owner.owner import Owner
from sayiir_es.engine.worker_state import PartitionState
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.refusals import Refusals
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import StoreOpener, WorkerSettings
    from sayiir_es.engine.worker_state import PartitionPhase

logger = get_logger(__name__)

LOOK_S = 0.05
"""How often, in seconds, a hand-over looks for the new owner's claim, and a fenced
owner for a heartbeat."""

IDLE_S = 1.0
"""A partition in a hand-over is idle if nothing was decided for so many seconds. That
is longer than a heartbeat interval, by which its next owner learns of the assignment:
under load there are pauses between two commands too, and a partition that is dropped in
one would have no owner until then."""

LOSS_LOOK_S = 2.0
"""How often, in seconds, a partition that lost commands looks whether somebody has
accepted that."""

SERVE_MOST_S = 5.0
"""How long a worker that ends serves a partition at most that another process may own,
in seconds. One that goes on serves until that one's claim, however long it folds."""

SETTLE_MOST_S = 5.0
"""How long a partition that is given up may take to append what it has decided, in
seconds; a log that answers takes milliseconds."""

CLAIMS_ALERT = 12
"""More claims of a partition than this within `CLAIMS_WINDOW_S` are logged."""

CLAIMS_WINDOW_S = 60.0


Serve: TypeAlias = Literal["until_claimed", "briefly", "no_longer"]
"""How long a partition is served in a hand-over: until the new owner claims it; until
then, but not when it is idle, or beyond a limit; or no longer."""


class PartitionSupervisor:
    """Owns one partition in a task of its own.

    Attributes:
        partition: Its number.
        owner: What decides for it, while its store is open.
        stop_reason: Why it cannot go on in this process; None as long as it can.
        last_trouble: What ended the last tenure or its store, if an error did.
    """

    def __init__(
        self,
        partition: int,
        *,
        ports: Ports,
        open_store: StoreOpener,
        settings: WorkerSettings,
        refusals: Refusals,
        refresh_definitions: Callable[[], Awaitable[None]],
    ) -> None:
        self.partition = partition
        self.owner: Owner | None = None
        self.stop_reason: str | None = None
        self.last_trouble: Refusal | None = None
        self._ports = ports
        self._clock = ports.clock
        self._membership = refusals.membership
        self._open_store = open_store
        self._settings = settings
        self._refusals = refusals
        self._refresh_definitions = refresh_definitions
        self._stopping = self._draining = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether its task has been started and has not ended."""
        return self._task is not None and not self._task.done()

    def observe(self) -> PartitionState:
        """What is known of the partition here."""
        owner = self.owner
        phase: PartitionPhase = "opening"
        if self.stop_reason is not None:
            phase = "stopped"
        elif owner is not None:
            phase = "serving" if owner.serving else "claiming"
        return PartitionState(
            partition=self.partition,
            phase=phase,
            is_assigned=self._is_assigned(),
            refusal=self._refusals.by_partition.get(self.partition),
            last_trouble=None if phase == "serving" else self.last_trouble,
            owner=None if owner is None else owner.observe(),
        )

    def start(self) -> asyncio.Task[None]:
        """Start its task, and return it."""
        running = self._supervise()
        self._task = asyncio.create_task(running, name=f"partition-{self.partition}")
        return self._task

    def drain(self) -> None:
        """Begin no attempt any more, in a later tenure neither."""
        self._draining = True
        if self.owner is not None:
            self.owner.drain()

    async def settle(self) -> None:
        """Withdraw what runs, and record what came in, within a limit of time."""
        if self.owner is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_MOST_S):
                    await self.owner.settle()

    def stop(self) -> None:
        """Begin no further tenure; the present one goes on until it is handed over."""
        self._stopping = True

    async def give_away(self) -> None:
        """Let end what runs, release the partition, and hand it over.

        Returns without ending its task if the partition is assigned to this process
        again: then attempts begin here as before.
        """
        owner = self.owner
        logger.info("partition.revoked", partition=self.partition)
        if owner is not None and self._settings.runs_attempts:
            owner.drain()
            await self._let_end(owner)
        if not self._is_assigned():
            self._membership.release(self.partition)
            await self.hand_over(serve="until_claimed")
        if self._is_assigned() and self.is_running and not self._stopping:
            self._membership.hold(self.partition)
            if owner is not None and owner is self.owner and not self._draining:
                self._resume(owner)

    async def _let_end(self, owner: Owner) -> None:
        """Wait until nothing runs, within a limit, behind which it is withdrawn."""
        end_s = self._clock.monotonic_s() + self._settings.handover_s
        while (
            owner.serving and owner.dispatcher.is_busy_here and not self._is_assigned()
        ):
            if self._clock.monotonic_s() >= end_s:
                logger.warning(
                    "partition.handover_expired",
                    partition=self.partition,
                    running=owner.dispatcher.withdraw_running(),
                )
                await self.settle()
                return
            await asyncio.sleep(LOOK_S)

    def _resume(self, owner: Owner) -> None:
        if self._settings.runs_attempts:
            owner.dispatcher.resume()

    async def hand_over(self, *, serve: Serve) -> None:
        """End its task, when it has served as long as `serve` says.

        Returns without ending it if the partition is assigned to this process again, or
        refused: then there is nothing to hand over, and its store is tried further on.
        """
        task, owner = self._task, self.owner
        if task is None or (self._is_refused and not self._stopping):
            return
        end_s = self._clock.monotonic_s() + SERVE_MOST_S
        while (
            serve != "no_longer"
            and not task.done()
            and owner is not None
            and owner.serving
            and not (serve == "briefly" and self._may_drop(owner, end_s))
        ):
            owner.look()
            await asyncio.sleep(LOOK_S)
            if self._is_assigned():
                return  # it keeps its claim, if nobody claimed meanwhile
        # An owner that still folds must not claim any more: it would fence the next
        # one. So it is cancelled at once; one that serves ends after its batch.
        if owner is not None and owner.serving:
            owner.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_MOST_S):
                    await asyncio.wait((task,))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _may_drop(self, owner: Owner, end_s: float) -> bool:
        """Whether the partition is idle, or time is up."""
        is_idle = owner.idle and owner.rested_s() > IDLE_S
        return is_idle or self._clock.monotonic_s() >= end_s

    # --- the task ---------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Own the partition to the end; the only place that catches every error."""
        try:
            while True:
                try:
                    store = await self._open()
                    if store is None:
                        return
                    await self._own(store)
                except (StoreError, LogRefusedError) as error:
                    self._log_failure(error)
                    if self._is_over():
                        return
                    self._refusals.fail(self.partition, Refusal.of(error))
                except CommandsLostError as error:
                    self._log_failure(error)
                    if self._is_over():
                        return
                    self._refusals.refuse(self.partition, Refusal.of(error))
                    await self._wait_for_acceptance()
                    continue
                else:
                    return
                await self._refusals.pause(self.partition)
        except (HistoryError, OffsetGoneError) as error:
            self._give_up(error)
        except Exception as error:  # a bug stops one partition, visibly
            logger.exception("partition.crashed", partition=self.partition)
            self._give_up(error)

    async def _wait_for_acceptance(self) -> None:
        """Wait until somebody accepts a loss of commands, or the partition moves on."""
        registry = self._ports.registry
        known = registry.get_accepted_loss(self.partition)
        while not self._is_over():
            await asyncio.sleep(LOSS_LOOK_S)
            with contextlib.suppress(LogError):
                await self._refresh_definitions()
            if registry.get_accepted_loss(self.partition) != known:
                return

    async def _open(self) -> SnapshotStore | None:
        """Open the store; None if another worker has the partition by then."""
        try:
            store = await self._open_store(self.partition)
        except StoreError as error:
            if not self._is_over():
                self._refusals.refuse(self.partition, Refusal.of(error))
            raise
        self._refusals.lift(self.partition)
        if self._is_assigned():
            return store
        await store.close()
        return None

    async def _own(self, store: SnapshotStore) -> None:
        """Claim and serve, again and again, on one store."""
        owner = self.owner = Owner(
            self.partition,
            ports=self._ports,
            store=store,
            settings=self._settings.of_owner(),
            refresh_definitions=self._refresh_definitions,
            lapses=lambda: self._membership.current().lapses,
        )
        if self._draining or not self._settings.runs_attempts:
            owner.drain()
        try:
            await self._run_tenures(owner)
        finally:
            self.owner = None
            await owner.close()

    async def _run_tenures(self, owner: Owner) -> None:
        backoff, claims = self._make_backoff(), list[float]()
        log = logger.bind(partition=self.partition)
        while not self._stopping and self._is_assigned():
            began_s = self._clock.monotonic_s()
            claims = [at for at in claims if began_s - at < CLAIMS_WINDOW_S] + [began_s]
            if len(claims) > CLAIMS_ALERT:
                log.warning("partition.claimed_often", claims=len(claims))
            try:
                await owner.run()
            except FencedError as error:
                log.info("partition.fenced", reason=str(error))
                self._note_end(error)
                await self._wait_for_heartbeat(self._clock.monotonic_s())
            except (OffsetGoneError, LogRefusedError, CommandsLostError):
                raise
            except LogError as error:
                log.warning(
                    "partition.tenure_ended", error_code=error.code, reason=str(error)
                )
                self._note_end(error)
            else:
                return
            if self._clock.monotonic_s() - began_s > BACKOFF_MOST_S:
                backoff.reset()
            await backoff.pause()

    async def _wait_for_heartbeat(self, fenced_at_s: float) -> None:
        """Rule 8: wait for a heartbeat sent after the fence that assigns it still."""
        while self._is_assigned():
            if self._membership.current().fresh_at_s > fenced_at_s:
                return
            await asyncio.sleep(LOOK_S)

    def _is_assigned(self) -> bool:
        return self.partition in self._membership.current().partitions

    def _is_over(self) -> bool:
        """Whether this task is to end, even if an error came before its cancel."""
        task = asyncio.current_task()
        is_cancelled = task is not None and task.cancelling() > 0
        is_wanted = self._is_assigned() or self._is_refused
        return is_cancelled or self._stopping or not is_wanted

    @property
    def _is_refused(self) -> bool:
        return self.partition in self._refusals.by_partition

    def _note_end(self, error: WorkflowError) -> None:
        """The owner decides no longer: what looks at this worker is told why."""
        self.last_trouble = Refusal.of(error)
        self._ports.meter.tenure_ended(error.code)

    def _log_failure(self, error: WorkflowError) -> None:
        self._note_end(error)
        log = logger.bind(
            partition=self.partition, error_code=error.code, reason=str(error)
        )
        if isinstance(error, StoreError):
            log.warning("partition.store_failed")
        elif isinstance(error, CommandsLostError):
            log.error("partition.commands_lost")
        elif isinstance(error, ClockRefusedError):
            log.warning("partition.clock_refused")
        else:
            log.warning("partition.log_refused")

    def _make_backoff(self) -> Backoff:
        return Backoff(f"{self._settings.incarnation}/{self.partition}")

    def _give_up(self, error: Exception) -> None:
        self.stop_reason = str(error)
        logger.error(
            "partition.stopped",
            partition=self.partition,
            error_code=error.code if isinstance(error, WorkflowError) else "bug",
            reason=str(error),
        )
        self._refusals.refuse(self.partition, Refusal.of(error))
