"""The log port: an ordered, partitioned, append-only log behind one small interface.

Three adapters pass one conformance suite: `kafka`, `embedded` (one SQLite file) and
`memory`. All code above the log uses only the types of this module.

What an adapter promises:

* A batch lands whole or not at all, at consecutive offsets, after all that landed
  before it. Offsets of a partition start at 0 and never fall.
* `Appender.append` returns the offset of the batch's first record after the log has
  made it durable. When the outcome is unknown it raises `UncertainAppendError`; the
  batch may then still land at any later time, and the appender is dead.
* A reader yields every record from its start on, in order, as chunks without a hole
  between them; a gap inside a chunk is one that the log itself reports (control records
  of transactions, records of an aborted one).
* A read below the first kept offset raises `OffsetGoneError`: nothing is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.instants import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Topic(Enum):
    """The topics of an app, by role; the value is the suffix of the Kafka name."""

    COMMANDS = "commands"
    EVENTS = "events"
    DEAD_LETTERS = "dead-letters"
    DEFINITIONS = "definitions"
    ATTEMPTS = "attempts"
    SNAPSHOTS = "snapshots"
    """Optional: made when an owner is to write it; nothing depends on it."""
    REQUESTS = "requests"
    REPLIES = "replies"
    """These two, and `attempts`, may be lost at any time; see `RequestTopics`."""


APP_TOPICS = (
    Topic.COMMANDS,
    Topic.EVENTS,
    Topic.DEAD_LETTERS,
    Topic.DEFINITIONS,
    Topic.ATTEMPTS,
)
"""The topics that every app has from its start; their ids are its identity."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A record to be written. Headers are pairs, in order; names may repeat."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of a partition. `timestamp_ms` is the log's, since the epoch."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


EXPANDS_HEADER = "expands-too-far"
"""The header of a record that stands for one of a compressed batch that is never
unpacked, for it would take too many bytes. Its value says why; the key and the value
are None."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The content of a partition from `start` up to, not including, `end`.

    `gaps` are the ranges [first, past) of offsets for which the log says that there is
    no record for a reader; every other offset has its record.
    """

    start: int
    end: int
    records: Sequence[Record]
    gaps: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """What tells one log from another: compared with that in stores and records.

    `topics` maps a role's value to the id that the log gave the topic when it was made.
    """

    cluster_id: str
    partitions: int
    topics: Mapping[str, str]


@runtime_checkable
class Appender(Protocol):
    """Writes batches to one partition of the events topic, one at a time.

    It belongs to one claim: a new claim takes a fresh appender.
    """

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch and return its first record's offset.

        Raises:
            UncertainAppendError: the batch may or may not land, now or later.
            BatchTooLargeError: the log refused its size; nothing was written.
            ClockRefusedError: the log refused this machine's time; nothing was written.
        """
        ...

    async def close(self) -> None:
        """Close it; never waits for the log."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Reads one partition of one topic from an offset on."""

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return the next records, or None when there are none within `max_wait_s`.

        A call that is cancelled loses nothing: the next one returns those records.

        Raises:
            OffsetGoneError: the next offset is below the first kept one, or above the
                end of the log.
        """
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class Subscription(Protocol):
    """The messages of one partition from the subscription on."""

    async def read(self) -> Sequence[Record]:
        """Wait until there are messages, and return them; never empty.

        Raises:
            LogUnavailableError: the log refused; a new subscription may do.
        """
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class RequestTopics(Protocol):
    """`requests` and `attempts`, with as many partitions as `commands`; and `replies`.

    A request is a question to the owner of a partition, a reply its answer; attempts
    are what owners hand to executors. They are no part of the truth, so little is
    promised: a message is delivered to those who subscribed before it was posted, in
    the order of one sender, or it is lost. Whoever asked asks again, and an attempt
    that nobody tells of is handed out again. What was posted before a subscription is
    not delivered.
    """

    @property
    def reply_partitions(self) -> int:
        """How many partitions `replies` has."""
        ...

    async def open(self, *, create: bool) -> bool:
        """Look for the topics, make them if `create`; whether they are there.

        The log must be open.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: they could not be made, or have another partition count.
        """
        ...

    def post(self, topic: Topic, partition: int, record: NewRecord) -> bool:
        """Send a message; returns at once, and never fails: it may be lost.

        False says that it is lost for sure: nobody has subscribed.
        """
        ...

    def is_heard(self, partition: int) -> bool:
        """Whether an owner may hear requests on a partition, as far as is known."""
        ...

    def value_bytes_max(self, topic: Topic) -> int:
        """How many bytes the value of a message may have; a larger one is lost."""
        ...

    async def subscribe(self, topic: Topic, partition: int) -> Subscription:
        """Read a partition from now on.

        Raises:
            LogUnavailableError: nothing answers.
        """
        ...


class Log(Protocol):
    """An app's log: its topics with their partitions."""

    @property
    def partitions(self) -> int:
        """How many partitions `commands`, `events` and `snapshots` have."""
        ...

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, as `batch_size.batch_bytes` counts."""
        ...

    @property
    def request_topics(self) -> RequestTopics:
        """The topics of requests and replies."""
        ...

    async def open(self, *, create: bool) -> LogIdentity:
        """Connect, create all topics if none exists and `create`, check them.

        Without `create` nothing is made and nothing written: for whoever only reads.

        Raises:
            LogUnavailableError: nothing answers.
            AppNotFoundError: there is no such log, and none may be made.
            UnsafeLogError: a setting could lose history, the partition count is not
                the recorded one, or some topics are missing; says what to set.
        """
        ...

    async def open_snapshots(self) -> None:
        """Make the snapshots topic where there is none, and check it.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: it could not be made, or a table could not be made of it;
                says what to set.
        """
        ...

    async def close(self) -> None:
        """Close connections and files."""
        ...

    async def appender(self, partition: int) -> Appender:
        """A fresh appender for one partition of `events`."""
        ...

    async def reader(self, topic: Topic, partition: int, offset: int) -> Reader:
        """A reader that begins at `offset`; `commands` as read_committed gives them."""
        ...

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        ...

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record that a reader is given."""
        ...

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        For all topics but the events. The records that one process writes to a
        partition land in the order of the calls. When one is not acknowledged, those
        that were called after it, before its error, do not land either.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: the log refused its size; nothing was written.
            ClockRefusedError: the log refused this machine's time; nothing was written.
        """
        ...


@runtime_checkable
class NamedLog(Protocol):
    """A log whose topics have names that other programs know them by.

    `system` is what conventions call it, `group` the name of its workers' group.
    """

    @property
    def system(self) -> str:
        """Such as `kafka`."""
        ...

    @property
    def group(self) -> str:
        """The consumer group of its workers, empty for none."""
        ...

    def name(self, topic: Topic) -> str:
        """The name of one of the app's topics."""
        ...


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where records go, in the words of other programs."""

    system: str
    name: str
    group: str = ""


def destination_of(log: Log, topic: Topic) -> Destination:
    """What other programs call a topic of a log."""
    if isinstance(log, NamedLog):
        return Destination(system=log.system, name=log.name(topic), group=log.group)
    return Destination(system=OWN_SYSTEM, name=topic.value)


OWN_SYSTEM = "sayiir"
"""What a log is called that other programs have no name for."""


@runtime_checkable
class CheckedLog(Protocol):
    """A log whose settings others can change, also while it is open."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be said of its settings, as of `open`."""
        ...

    def check_writable(self) -> None:
        """Refuse to begin anything new here.

        Raises:
            UnsafeLogError: history could be lost, or what is begun would never be
                answered; says what to do.
        """
        ...


@runtime_checkable
class SizedLog(Protocol):
    """A log that is made with as many partitions as are wanted."""

    def set_new_partitions(self, partitions: int) -> None:
        """Make it with so many, if `open` is to make it."""
        ...


@runtime_checkable
class InstanceIndex(Protocol):
    """A log that also has an index: it reads one instance's events alone."""

    async def read_instance(self, partition: int, instance_id: str) -> list[Record]:
        """The events of one instance, valid or not, and those of the partition.

        In order of offset; claims are among the partition's.
        """
        ...


@runtime_checkable
class TimeIndex(Protocol):
    """A log that finds records by the time at which they were written."""

    async def offset_at(self, topic: Topic, partition: int, at_ms: int) -> int:
        """The offset of the first record that was written then or later.

        `at_ms` is in epoch milliseconds. Where there is none, one above the last
        record that a reader is given.

        Raises:
            LogUnavailableError: nothing answers.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransaction:
    """A transaction of some producer that holds back what stands from `offset` on.

    `last_written_ms` is the time of its producer's last record, since the epoch.
    `where` is the log's own name of the partition, `transactional_id` the producer's
    name if the log tells it, and `advice` how an admin ends the transaction.
    """

    producer_id: int
    offset: int
    last_written_ms: int
    where: str = ""
    transactional_id: str | None = None
    advice: str = ""

    def __str__(self) -> str:
        last = instant(self.last_written_ms)
        name = self.transactional_id
        who = "" if name is None else f" (transactional id {name!r:.200})"
        where = self.where and f" on {self.where}"
        return (
            f"blocked from offset {self.offset} on by an open transaction of producer "
            f"id {self.producer_id}{who}{where}, which last wrote at {last}"
        )


@runtime_checkable
class TransactionIndex(Protocol):
    """A log on which other programs write in transactions."""

    async def open_transactions(
        self, topic: Topic, partition: int
    ) -> tuple[OpenTransaction, ...]:
        """The transactions that are open on a partition.

        Raises:
            LogUnavailableError: nothing answers, or it cannot tell.
        """
        ...

    async def held_back(
        self, topic: Topic, partitions: Iterable[int]
    ) -> tuple[int, ...]:
        """Those of the partitions whose readers stop before the end; costs little.

        Raises:
            LogUnavailableError: nothing answers.
        """
        ...


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The partitions that the group lets this process try to own.

    `epoch` grows with every answer of the group that confirms the assignment.
    `fresh_at_s` is the monotonic time, in seconds, at which the last heartbeat that was
    answered so was *sent*. `lapses` counts what makes rule 7 of the claim necessary: a
    session timeout without an answered heartbeat, a new member id, a paused process.
    `expected` are the partitions that the group is to assign to this process, once it
    has folded them and whoever owns them now has let end what runs there.
    """

    partitions: frozenset[int]
    epoch: int
    fresh_at_s: float
    lapses: int
    expected: frozenset[int] = frozenset()


class Membership(Protocol):
    """Who may try to own what (liveness only: the claim decides).

    `exclusive` says that nobody else can even try while this process is a member: then
    it gives up its partitions before it leaves. Where it is false it leaves first, and
    goes on serving until the next owner's claim.
    """

    exclusive: bool

    async def join(self, *, briefly: bool = False) -> None:
        """Ask to be assigned partitions.

        With `briefly` they are wanted for one call: where only one process can have
        them, one that is to keep them goes first.
        """
        ...

    async def leave(self) -> None:
        """Give all partitions back; returns when the group knows."""
        ...

    def refuse(self, partitions: frozenset[int]) -> None:
        """Ask not to be assigned these, as long as another member takes them.

        The next call replaces them. What nobody takes is assigned all the same.
        """
        ...

    def current(self) -> Assignment:
        """Return the assignment as it is known now."""
        ...

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait until `partitions`, `expected` or `lapses` differ from `since_epoch`."""
        ...

    def introduce(self, owner_id: str) -> None:
        """Say, before `join`, by which name this process claims."""
        ...

    def living(self) -> frozenset[str] | None:
        """The names of all members, where this process knows that these are all."""
        ...

    def hold(self, partition: int) -> None:
        """From now on this process serves a partition.

        When the group takes it, it gives it to nobody else before `release`, or before
        this process is a member no longer.
        """
        ...

    def prepare(self, partitions: frozenset[int]) -> None:
        """These of the expected partitions are folded here, nearly to their end.

        The next call replaces them.
        """
        ...

    def release(self, partition: int) -> None:
        """What ran in a partition has ended here: whoever is to own it next may."""
        ...
