"""The snapshot of one instance: rows by key, behind a port of two methods.

Theory of operation. A snapshot is never one object. It is a handful of small rows:

    h           Header: run, sequence, phase, requests, counters
    r           Run: what `WorkflowStarted` said; written once a run
    c<chain>    Cursor: where that chain stands and what it waits for
    v<ref>      bytes: a value under its reference (`start`, `result:PATH`, …)
    b<name>     tuple[int, …]: sequences of the buffered signals of that name
    l<ref>      str: the mark of a loop's body on a value: `again` or `done`
    x<chain>    str: the reference of the result of an ended branch, or try
    y<path>     str: the key that a route chose
    a<path>     Caught: the error that a try caught
    q<path>     int: the signal that a wait consumed; 0 where it timed out
    e           Ending: how the run ended
    m<id>, k<n> int, str: command ids remembered, and the ring that forgets them
    s<id>, g<n> int, str: the same for signal ids
    t<n>        str: the trace context in which the signal of that sequence came
    z           Quarantine: why it stands still, and the phase that it goes back to
    f           str: the id of the command that forked it from another instance
    fs          int: the sequence of the last event that the fork recorded again
    j<id>       OpenChild: a child that was started as an instance of its own
    i           (run, number): so many children of runs up to that one are to be
                cancelled
    w           str: the secret that the report of its own end brings to its parent
    p<run>      EndReport: what its parent is to be told of the end of that run
    p0<sha>     EndReport: that it was not started for that one, by its secret's SHA-256
    o<path>     str: of a completed task that can be undone, `SEQUENCE:INPUT`
    o, o<body>  str: there is one of these, or one in that iteration of a loop
    u<n>:<path> int: the task that was completed by event n is still to be undone
    d<n>:<path> int: it is undone
    n<n>:<path> int: it could not be undone
    P…, L…      of permits and limits: see `permit_rows`
    U…, Q…      of start queues and run permits: see `run_permit_rows`
    D, B<n>     of debounced starts: see `evolve.debounce`

`evolve` reads only the rows that its event names and returns the changed ones, so an
outcome costs the same whether an instance has 5 results or 10,000. The live state, the
store in RocksDB and a test's dict are the same thing behind `Rows`.

What a cursor waits for is one of the small records of `waits`. Times are epoch
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.child_records import EndReport, OpenChild, Parent
from sayiir_es.core.model.key_index import SCAN_ROWS_MAX, KeyIndex, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.model.run_permit_events import MessageKind
    from sayiir_es.core.model.waits import Wait

Phase: TypeAlias = Literal[
    "unstarted",
    "running",
    "paused",
    "quarantined",
    "completed",
    "failed",
    "cancelled",
    "terminated",
]
Compensation: TypeAlias = Literal["none", "requested", "started"]
"""How far a run is that undoes what it did: not at all; it has failed and waits for
what still runs; it undoes, after a failure or a cancel."""
TERMINAL: frozenset[Phase] = frozenset(
    ("completed", "failed", "cancelled", "terminated")
)


TIMED_OUT = 0
"""In place of the sequence of a signal that did not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Why and by whom a cancel or a pause was asked for."""

    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What every decision about an instance needs to know.

    `unpaused` is the sequence of the last `WorkflowUnpaused` of the instance: an
    attempt that was withdrawn before it is wanted again. `command_ids` and
    `signal_ids` count what was remembered so far, not what is still remembered.
    `children` are those that are to be cancelled when the run ends, and still run.
    `queued` says that the run waits for a permit of its workflow's start queue.
    `migrated` is the sequence of the last `WorkflowMigrated`: what waits for a permit
    asks anew, under the key of its new graph.
    """

    run: int
    sequence: int
    at: int
    phase: Phase
    cancel: Request | None = None
    pause: Request | None = None
    unpaused: int = 0
    buffered: int = 0
    command_ids: int = 0
    signal_ids: int = 0
    compensation: Compensation = "none"
    children: int = 0
    queued: bool = False
    migrated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What stays the same from a start on, over all retries.

    `lineage` is the run of that start: in the runs that retries begin an execution has
    the same idempotency key.
    """

    workflow: str
    definition_hash: str
    graph_digest: str
    attributes: Mapping[str, str]
    started_at: int
    lineage: int = 1
    version: str | None = None
    traceparent: str | None = None
    parent: Parent | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a chain stands: the node at `path`, the reference of its input, a wait."""

    path: str
    input: str
    wait: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, or will once what it did is undone, or why it is paused.

    The output stands under `voutput`.
    """

    path: str = ""
    error_type: str = ""
    error: str = ""
    reason: str | None = None
    requested_by: str | None = None
    interrupted_at: tuple[str, ...] = ()
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Why an instance stands still: what was decided on, and the error that it raised.

    `phase` is the one that it was in, and will be in again.
    """

    error_type: str
    error: str
    decided_on: str
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """What a try caught: where, and what; `input` names what had flowed into it."""

    path: str
    error_type: str
    error: str
    input: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A permit that an instance was granted, for which attempt: see `permit_rows`."""

    path: str
    ask: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many permits of a limit are in use; `head` to `tail` − 1 wait for one.

    `rate` is what the last task has said that names one. The bucket of the rate in
    force is full again at `full_at_us`, in microseconds since the epoch.
    """

    in_use: int
    head: int
    tail: int
    rate: str | None = None
    full_at_us: int = 0


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSetting:
    """What was set for a limit, in place of what tasks say; None where they say it."""

    max_concurrency: int | None
    rate: str | None
    at: int
    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An attempt that asked for a permit, as its task limits it.

    At most `limit` are to be in use, 0 for any number; with a `rate` it takes a token.
    `at` is when it was queued, or granted, in epoch milliseconds.
    """

    holder: str
    path: str
    ask: int
    limit: int
    rate: str | None = None
    at: int = 0


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class StartQueueState:
    """Of a start queue: `in_use` permits, `waiting` runs from `first` to `last`.

    These are numbers, 0 where nobody waits. `limit` and `queue_length` are what the
    workflow said whose run asked last; None: any number may wait.
    """

    in_use: int
    waiting: int
    first: int
    last: int
    limit: int
    queue_length: int | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class StartQueueSetting:
    """What was set for a start queue; None where what its workflow says is in force."""

    max_running: int | None
    queue_length: int | None
    at: int
    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """A run that waits in a start queue, between two others; 0: there is none.

    `at` is since when, in epoch milliseconds.
    """

    holder: str
    ask: int
    before: int
    after: int
    at: int = 0


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitMessage:
    """A command about a run permit that is owed to `other`: a key, or an instance.

    `limit`, `queue_length` and `again` are those of the ask; 0, None and False in the
    others, but that a refusal has the `queue_length` that was in force.
    """

    kind: MessageKind
    other: str
    ask: int
    limit: int = 0
    queue_length: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DebouncedStart:
    """A start that waits for a quiet time since `first_at`, or that is owed."""

    command_id: str
    start_id: str
    workflow: str
    input: bytes
    first_at: int
    definition_hash: str | None
    conflict_policy: str
    attributes: Mapping[str, str]
    version: str | None
    traceparent: str | None


Row: TypeAlias = (
    Header
    | Run
    | Cursor
    | Ending
    | Quarantine
    | Caught
    | OpenChild
    | EndReport
    | Permit
    | Limit
    | LimitSetting
    | Ask
    | StartQueueState
    | StartQueueSetting
    | QueuedRun
    | RunPermitMessage
    | DebouncedStart
    | bytes
    | tuple[int, ...]
    | int
    | str
)
Changes: TypeAlias = dict[str, Row | None]
"""Rows by key; None deletes."""


class Rows(Protocol):
    """The rows of one instance, wherever they live."""

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in no promised order."""
        ...


@dataclass(slots=True)
class StagedRows:
    """Rows that were decided and not yet acknowledged: changes over other rows."""

    base: Rows
    changes: Changes = field(default_factory=dict[str, "Row | None"])
    _index: KeyIndex | None = field(default=None, init=False, repr=False, compare=False)

    def get(self, key: str) -> Row | None:
        """The row as the decisions so far left it."""
        changes = self.changes
        return changes[key] if key in changes else self.base.get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in no promised order."""
        changes = self.changes
        for key in self.base.keys(prefix):
            if key not in changes:
                yield key
        if self._index is None and len(changes) > SCAN_ROWS_MAX:
            self._index = KeyIndex(changes)
        if self._index is None:
            yield from scan(changes, prefix)
        else:
            yield from self._index.with_prefix(prefix)

    def apply(self, changes: Mapping[str, Row | None]) -> None:
        """Take over what a fold or a decision changed."""
        index = self._index
        if index is not None:
            for key, row in changes.items():
                index.follow(key, self.changes.get(key), row)
        self.changes.update(changes)


@dataclass(slots=True)
class DictRows:
    """Rows in a dict: for the memory store, for audits and for tests.

    Write into `rows` itself before the first `keys` only; then by `apply`.
    """

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    _index: KeyIndex | None = field(default=None, init=False, repr=False, compare=False)

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        return self.rows.get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in order."""
        if self._index is None:
            if len(self.rows) <= SCAN_ROWS_MAX:
                return scan(self.rows, prefix)
            self._index = KeyIndex(self.rows)
        return self._index.with_prefix(prefix)

    def apply(self, changes: Mapping[str, Row | None]) -> None:
        """Take over what a fold or an acknowledged decision changed."""
        rows, index = self.rows, self._index
        for key, row in changes.items():
            if index is not None:
                index.follow(key, rows.get(key), row)
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row


def get_header(rows: Rows) -> Header | None:
    """The header, or None where the instance has left no trace."""
    row = rows.get("h")
    assert row is None or isinstance(row, Header), row
    return row


def get_run(rows: Rows) -> Run | None:
    """What the current run was started with."""
    row = rows.get("r")
    assert row is None or isinstance(row, Run), row
    return row


def get_ending(rows: Rows) -> Ending | None:
    """How the run ended, or why it is paused."""
    row = rows.get("e")
    assert row is None or isinstance(row, Ending), row
    return row


def get_quarantine(rows: Rows) -> Quarantine | None:
    """Why the instance stands still, if it is in quarantine."""
    row = rows.get("z")
    assert row is None or isinstance(row, Quarantine), row
    return row


def get_caught(rows: Rows, path: str) -> Caught | None:
    """What the try at `path` caught, if it did."""
    row = rows.get("a" + path)
    assert row is None or isinstance(row, Caught), row
    return row


def get_cursor(rows: Rows, chain: str) -> Cursor | None:
    """The cursor of the chain whose path prefix is `chain` (empty: the root's)."""
    row = rows.get("c" + chain)
    assert row is None or isinstance(row, Cursor), row
    return row


def get_cursors(rows: Rows) -> Iterator[tuple[str, Cursor]]:
    """Every chain with its cursor, in no promised order."""
    for key in rows.keys("c"):
        cursor = get_cursor(rows, key[1:])
        if cursor is not None:
            yield key[1:], cursor


def get_value(rows: Rows, reference: str) -> bytes | None:
    """The bytes that stand under a reference."""
    row = rows.get("v" + reference)
    assert row is None or isinstance(row, bytes), row
    return row


def get_text(rows: Rows, key: str) -> str | None:
    """A row that is a plain text: a mark, a branch's result, a route's key."""
    row = rows.get(key)
    assert row is None or isinstance(row, str), row
    return row


def get_buffered(rows: Rows, signal: str) -> tuple[int, ...]:
    """Sequences of the signals of that name that wait, oldest first."""
    row = rows.get("b" + signal)
    assert row is None or isinstance(row, tuple), row
    return row or ()


def get_remembered_command(rows: Rows, command_id: str) -> int | None:
    """The sequence of the event that answered a command id, if remembered."""
    row = rows.get("m" + command_id)
    assert row is None or isinstance(row, int), row
    return row


def get_remembered_signal(rows: Rows, signal_id: str) -> int | None:
    """The sequence of the `SignalReceived` with that signal id, if remembered."""
    row = rows.get("s" + signal_id)
    assert row is None or isinstance(row, int), row
    return row


def get_forked_by(rows: Rows) -> str | None:
    """The id of the command that forked the instance from another one, if one did."""
    return get_text(rows, "f")


def get_signal_traceparent(rows: Rows, sequence: int) -> str | None:
    """The trace context in which the signal of that sequence came, if in any."""
    return get_text(rows, f"t{sequence}")


def chain_of(path: str) -> str:
    """The prefix that names the chain a path stands in; empty for the root's."""
    return path.rpartition("/")[0] if "/" in path else ""
