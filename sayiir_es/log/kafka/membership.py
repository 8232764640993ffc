"""Who may try to own which partitions, by a Kafka consumer group that fetches nothing.

A consumer joins `<app>.workers` for the topic `commands` with every partition paused:
the group assigns the partitions, and notices which members have died. Commands are read
elsewhere, by a reader for each owned partition, so a rebalance does not interrupt the
partitions that stay.

A partition that moves is folded by its next owner first, then held until what runs
there has ended (`assignor` says how the group learns of both): `prepare` and `release`
make this member join again.

The group decides liveness only. `fresh_at_s` moves when the group's answer confirms the
assignment *and* the assignment is known here. When it moved at the join already, owners
of partitions that had moved could wake up and go on appending. A silence longer than a
session is a lapse. The first to look notices it: the poll, an answer, or the caller of
`current`.

With a group instance id the member is static: one that was killed and joins again
within its session is assigned at once what it had. The group makes no new assignment
then, so such a member joins once more, for the others to learn its name. It leaves the
group when it ends, as any other. Where two use one id the later one stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from sayiir_es.core.model.errors import (
    GroupInstanceTakenError,
    LogError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.kafka import coordinator
from sayiir_es.log.kafka.access import UNAUTHORIZED, refusal_of
from sayiir_es.log.kafka.assignor import PreviousAssignment, StickyAssignor
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS
from sayiir_es.log.kafka.connection import OPEN_LIMIT_S
from sayiir_es.log.kafka.rebootstrap import follow_names
from sayiir_es.log.port import Assignment, Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.log import KafkaLog

_logger = get_logger(__name__)

_NEVER_S = float("-inf")
# How long `join` waits for its assignment: longer than a dead member's session.
JOIN_LIMIT_S = 30.0
LEAVE_LIMIT_S = 5.0
# How often the group consumer is polled; each poll also looks for a lapse.
_POLL_S_MAX = 0.25
# The longest wait before a group that refuses this member is asked again.
REFUSED_WAIT_S_MAX = 2.0
# Between two lines that say that the group refuses this member.
WARNING_INTERVAL_S = 10.0


class KafkaMembership:
    """This process as a member of the app's group; see `log.port.Membership`."""

    exclusive = False

    def __init__(self, log: KafkaLog) -> None:
        """Join nothing yet; `log` must be open: it has the names and the settings."""
        self._log = log
        self._topic = log.name(Topic.COMMANDS)
        self._group = log.group
        self._session_s = log.session_timeout_ms / 1000
        self._assignor = StickyAssignor(self._topic, log.partitions)
        self._consumer: Any = None
        self._poll: asyncio.Task[None] | None = None
        self._assigned: frozenset[int] = frozenset()
        self._partitions: frozenset[int] = frozenset()
        self._expected: frozenset[int] = frozenset()
        self._living: frozenset[str] | None = None
        self._member_id = ""
        self._epoch = 0
        self._fresh_at_s = _NEVER_S
        self._answered_at_s = _NEVER_S
        self._lapses = 0
        self._silent = False
        # The first epoch that has all changes so far in it.
        self._changed_in_epoch = 0
        self._changed_event = asyncio.Event()
        self._refusal: KafkaError | None = None
        self._displacement: GroupInstanceTakenError | None = None
        self._warned_at_s = _NEVER_S

    async def join(self, *, briefly: bool = False) -> None:  # noqa: ARG002 (of the port)
        """Ask to be assigned partitions; returns when the group has answered.

        Raises:
            LogUnavailableError: no broker answers.
            AccessRefusedError: the group refuses this client.
            UnsafeLogError: the group refuses such a member; says what to set.
        """
        self._consumer = await self._start_consumer()
        self._poll = asyncio.ensure_future(self._keep_polling())
        self._poll.add_done_callback(self._on_poll_ended)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_LIMIT_S):
                await self.changed(self._epoch)
        if self._refusal is not None:
            refusal = self._refusal
            await self.leave()
            raise self._error_of(refusal) from refusal

    async def _start_consumer(self) -> Any:
        """A consumer that is about to join the group.

        Raises:
            LogUnavailableError: no broker answers.
        """
        settings: dict[str, Any] = {
            "client_id": "sayiir-es",
            **self._log.client_options,
            "bootstrap_servers": self._log.bootstrap_servers,
            "group_id": self._group,
            "enable_auto_commit": False,
            "session_timeout_ms": self._log.session_timeout_ms,
            "heartbeat_interval_ms": self._log.heartbeat_interval_ms,
            "partition_assignment_strategy": (self._assignor,),
            "group_instance_id": self._log.group_instance_id,
        }
        consumer = AIOKafkaConsumer(**settings)
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await consumer.start()
        except TRANSPORT_ERRORS as error:
            await consumer.stop()
            raise LogUnavailableError(
                f"expected a Kafka broker at {self._log.bootstrap_servers!r}, "
                f"but {error!r}"
            ) from error
        except asyncio.CancelledError:
            await consumer.stop()
            raise
        coordinator.watch(consumer, self)
        follow_names(
            coordinator.client_of(consumer),
            self._log.client_options,
            lambda: self._log.cluster_id,
        )
        consumer.subscribe([self._topic], listener=self)
        return consumer

    def _error_of(self, refusal: KafkaError) -> LogError:
        """The error for a group that takes no such member."""
        code: int = getattr(refusal, "errno", 0)
        if code in UNAUTHORIZED:
            denied = refusal_of(
                code,
                f"join group {self._group!r}",
                operation="Read",
                name=self._group,
                options=self._log.client_options,
            )
            assert denied is not None
            return denied
        return UnsafeLogError(
            f"expected group {self._group!r} to take a member with "
            f"session_timeout_ms={self._log.session_timeout_ms}, but {refusal!r}: "
            "keep it (SAYIIR_SESSION_TIMEOUT, --session-timeout) within the "
            "brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"
        )

    async def leave(self) -> None:
        """Give all partitions back; returns when the group knows."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await coordinator.leave(consumer)
        self._partitions = self._expected = frozenset()
        self._changed_in_epoch = self._epoch + 1
        self._notify()
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.wait([self._poll])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await consumer.stop()

    def refuse(self, partitions: frozenset[int]) -> None:
        """Ask not to be assigned these any more, as long as another member takes them.

        The next call replaces them. Members of an earlier build that lead the group
        know no refusals: then the assignment stays as it is.
        """
        self._assignor.refused = partitions
        self._rejoin_if_refusals_changed()

    def current(self) -> Assignment:
        """Return the assignment as it is known now."""
        self._look_for_silence()
        return Assignment(
            partitions=self._partitions,
            epoch=self._epoch,
            fresh_at_s=self._fresh_at_s,
            lapses=self._lapses,
            expected=self._expected,
        )

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait until `partitions`, `expected` or `lapses` differ from `since_epoch`.

        A lapse does not begin an epoch: a caller that waits hears of it at once, others
        with the next epoch.

        Raises:
            GroupInstanceTakenError: another process joined in this one's stead.
        """
        if (
            self._displacement is None
            and not since_epoch < self._changed_in_epoch <= self._epoch
        ):
            await self._changed_event.wait()
        if self._displacement is not None:
            raise self._displacement
        return self.current()

    def introduce(self, owner_id: str) -> None:
        """Say with each join by which name this process claims."""
        self._assignor.owner_id = owner_id

    def living(self) -> frozenset[str] | None:
        """The names of all members; known to the leader of the group only."""
        return self._assignor.living

    def hold(self, partition: int) -> None:
        """From now on this process serves a partition; the next join says so."""
        self._assignor.held.add(partition)

    def prepare(self, partitions: frozenset[int]) -> None:
        """Tell the group, by a join, which of the expected partitions are folded."""
        self._assignor.folded = partitions
        self._rejoin_if_folded()

    def _rejoin_if_folded(self) -> None:
        folded = self._assignor.folded - self._assignor.sent_folded
        if self._consumer is not None and folded & self._expected:
            coordinator.rejoin(self._consumer)

    def release(self, partition: int) -> None:
        """Tell the group, by a join, that a partition may be another member's."""
        self._assignor.held.discard(partition)
        self._rejoin_if_released()

    def _rejoin_if_released(self) -> None:
        released = self._assignor.held_at_join - self._assignor.held
        if self._consumer is not None and released - self._partitions:
            coordinator.rejoin(self._consumer)

    # --- answers of the group ---------------------------------------------------------

    def answered(self, sent_at_s: float) -> None:
        """The group knows this member, but is about to assign again."""
        self._look_for_silence()
        self._answered_at_s = sent_at_s
        self._silent = False

    def confirmed(self, sent_at_s: float) -> None:
        """The group knows this member and its assignment."""
        self.answered(sent_at_s)
        self._epoch += 1
        self._fresh_at_s = sent_at_s

    def assigned(self, sent_at_s: float, member_id: str, generation: int) -> None:
        """A new assignment is in force; `on_partitions_assigned` has run."""
        self._assignor.previous = PreviousAssignment(
            generation=generation, partitions=self._assigned
        )
        is_first = not self._member_id
        living = self._assignor.living
        has_changed = (
            is_first
            or self._assigned != self._partitions
            or self._assignor.expected != self._expected
            or living not in (None, self._living)
        )
        self._living = living
        if member_id != self._member_id and not is_first:
            self._lapses += 1
            has_changed = True
        self._member_id = member_id
        self._partitions = self._assigned
        self._expected = self._assignor.expected
        self.confirmed(sent_at_s)
        self._rejoin_if_released()  # it may have been, while the join was under way
        self._rejoin_if_folded()
        if has_changed:
            self._changed_in_epoch = self._epoch
            self._notify()
        # aiokafka forgets the wish of one who asked while this assignment was made.
        self._rejoin_if_refusals_changed()
        is_member = self._consumer is not None
        if is_first and is_member and self._log.group_instance_id is not None:
            coordinator.rejoin(self._consumer)

    def displaced(self, consumer: Any) -> None:
        """Another process has taken this one's place in the group: never join again."""
        if consumer is not self._consumer or self._displacement is not None:
            return  # a consumer that this process has replaced itself
        self._displacement = GroupInstanceTakenError(
            f"expected to be the only worker of group {self._group!r} with the group "
            f"instance id {self._log.group_instance_id!r}, but another one has joined "
            "by it, and goes on in this one's stead: give each worker an id of its own "
            "(SAYIIR_GROUP_INSTANCE_ID, --group-instance-id), or none"
        )
        self._notify()

    def _rejoin_if_refusals_changed(self) -> None:
        is_member = self._consumer is not None and self._member_id
        if is_member and self._assignor.refused != self._assignor.sent_refused:
            coordinator.rejoin(self._consumer)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the partitions, and make sure that nothing is ever fetched of them."""
        if self._consumer is None:  # it leaves, while a join was under way
            self._assigned = frozenset()
            return
        partitions = list(assigned)
        for partition in partitions:
            # With a position the consumer asks nothing before the pause is in force.
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)
        self._assigned = frozenset(p.partition for p in partitions)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Keep all: the next assignment says which ones are no longer ours."""

    # --- our own watch ----------------------------------------------------------------

    async def _keep_polling(self) -> None:
        """Poll, which keeps the membership, and check whether the group is silent."""
        wait_s = min(_POLL_S_MAX, self._session_s / 4)
        refused = 0
        # It is there until this member leaves.
        while self._consumer is not None and self._displacement is None:
            try:
                if coordinator.has_ended(self._consumer):
                    await self._replace_consumer()
                await self._consumer.getmany(timeout_ms=int(wait_s * 1000))
            except (KafkaError, LogUnavailableError) as error:
                refused += 1
                self._on_refused(error)
                # So a right that is given back is used again within seconds.
                await asyncio.sleep(min(wait_s * refused, REFUSED_WAIT_S_MAX))
            else:
                refused = 0
            self._look_for_silence()

    def _on_refused(self, error: KafkaError | LogUnavailableError) -> None:
        if self._displacement is not None:
            return
        now_s = time.monotonic()
        if now_s - self._warned_at_s >= WARNING_INTERVAL_S:
            self._warned_at_s = now_s
            reason = str(
                self._error_of(error) if isinstance(error, KafkaError) else error
            )
            _logger.warning(
                "membership.refused",
                app=self._log.app,
                error_code=type(error).__name__,
                reason=reason,
            )
        if self._epoch == 0 and isinstance(error, KafkaError):
            self._refusal = error
            self._notify()
        if self._consumer is not None:
            coordinator.revive(self._consumer)

    async def _replace_consumer(self) -> None:
        """Go on with another consumer: this one will never join again."""
        ended, self._consumer = self._consumer, await self._start_consumer()
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await ended.stop()

    def _on_poll_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a bug: without polls the group takes the partitions
            _logger.error("membership.crashed", app=self._log.app, exc_info=error)

    def _look_for_silence(self) -> None:
        """Count one lapse for each silence that is longer than a session."""
        if self._silent or self._answered_at_s == _NEVER_S or self._consumer is None:
            return
        if time.monotonic() - self._answered_at_s > self._session_s:
            self._silent = True
            self._lapses += 1
            self._changed_in_epoch = self._epoch + 1
            self._notify()

    def _notify(self) -> None:
        self._changed_event.set()
        self._changed_event = asyncio.Event()


# Registered, not derived: aiokafka has no types for the base class.
ConsumerRebalanceListener.register(KafkaMembership)
