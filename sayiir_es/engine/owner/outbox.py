"""Commands that instances of one partition owe to instances of others.

Theory of operation. What is owed stands in rows, and the store has an index of these:
the start of a child, its cancel, the report of a child's end, what is said of run
permits, and starts that were debounced. Each is produced
behind the ack of the batch that made it owed, and recorded when the log holds it; then
it is owed no longer. A new owner finds it in the index and produces it again where that
was not recorded: the same command, which its receiver knows by its id.

At most `SENDING_MAX` are read and produced at a time, and no more than `SENT_MAX` wait
for their record; beyond `QUEUED_MAX` what becomes owed is found in the index again. The
cancel of a child comes behind the record of its start. Where the log does not answer,
all of them are tried again, later and later; nothing else of the partition waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.core.decide import debounce
from sayiir_es.core.decide.messages import (
    cancel_command,
    end_command,
    start_command,
)
from sayiir_es.core.decide.start_queue import command_of
from sayiir_es.core.evolve.debounce import get_start
from sayiir_es.core.model.child_rows import (
    CHILD,
    MESSAGES,
    REPORT,
    TO_CANCEL,
    get_child,
    get_report,
    get_to_cancel,
    is_to_cancel,
    owes_message,
)
from sayiir_es.core.model.debounce_events import START_PREFIX
from sayiir_es.core.model.inputs import MessageSent
from sayiir_es.core.model.rows import get_run
from sayiir_es.core.model.run_permit_events import MESSAGE_PREFIX
from sayiir_es.core.model.run_permit_rows import get_message
from sayiir_es.engine.command_sender import CommandSender, ToSend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.core.model.rows import Changes, Rows
    from sayiir_es.engine.selected_instances import SelectedInstances
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log

SENDING_MAX = 128
"""Messages that are read and produced at a time; each may have a payload."""

SENT_MAX = 1_000
"""Messages that may wait for their record."""

QUEUED_MAX = 10_000
"""Rows that are remembered as owing; more are found in the store's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    command: Command
    sent: MessageSent
    traceparent: str | None


class Outbox:
    """The messages of one tenure of one partition.

    Attributes:
        sent: What the log holds by now, to be recorded, in order.
    """

    def __init__(
        self,
        log: Log,
        partition: int,
        store: SnapshotStore,
        *,
        limits: Limits,
        selected: SelectedInstances | None,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when there is something to record."""
        self.sent: deque[MessageSent] = deque()
        self._store = store
        self._limits = limits
        self._selected = selected
        self._wake = wake
        self._queued: dict[tuple[str, str], None] = {}
        """Rows that owe a message: instance and key."""
        self._index: Iterator[tuple[str, str]] | None = store.messages()
        self._is_missing = False
        """Whether there was no room for a row: it is found in the index."""
        self._cancelling: Iterator[_Message] = iter(())
        self._looked: dict[str, int] = {}
        """Up to which run children were looked for that are to be cancelled."""
        self._held: set[tuple[str, str, str]] = set()
        """Messages that are sent, and not recorded: instance, what and name."""
        self._recorded: list[tuple[str, str, str]] = []
        """Of those, the ones whose record is in the batch that is made."""
        self._sender = CommandSender(
            log,
            partition,
            name="outbox",
            portion=SENDING_MAX,
            waiting=self._waiting,
        )

    # --- for the owner ----------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed that it knows of."""
        return not (self._held or self._queued or self._index or self._is_missing)

    def start(self) -> None:
        """Begin to send, with what an earlier owner left."""
        self._sender.wake()

    def check(self) -> None:
        """Raise the error that ended the sending, if one did."""
        self._sender.check()

    async def close(self) -> None:
        """Stop sending; what is in flight may still reach the log."""
        await self._sender.close()

    def follow(self, instance_id: str, rows: Rows, changes: Changes) -> None:
        """A batch is live that changed these rows: send what they owe."""
        keys = [key for key in changes if key[0] in MESSAGES]
        if not keys:
            return
        for key in keys:
            if key == TO_CANCEL:
                self._follow_end(instance_id, rows)
            elif owes_message(key, rows.get(key)) or _is_to_cancel(rows, key):
                self._add(instance_id, key)

    def _follow_end(self, instance_id: str, rows: Rows) -> None:
        """A run has ended whose children are to be cancelled; look for them once."""
        upto, left = get_to_cancel(rows)
        if not left:
            self._looked.pop(instance_id, None)
        elif self._looked.get(instance_id, 0) < upto:
            self._looked[instance_id] = upto
            self._add(instance_id, TO_CANCEL)

    def take(self) -> MessageSent:
        """Remove and return what is to be recorded next.

        Raises:
            IndexError: if there is nothing.
        """
        sent = self.sent.popleft()
        self._recorded.append((sent.instance_id, sent.what, sent.name))
        return sent

    def acknowledged(self) -> None:
        """What was taken is recorded."""
        if self._recorded:
            self._held.difference_update(self._recorded)
            self._recorded.clear()
            self._sender.wake()

    # --- sending ----------------------------------------------------------------------

    def _add(self, instance_id: str, key: str) -> None:
        if len(self._queued) < QUEUED_MAX:
            self._queued[instance_id, key] = None
        else:
            self._is_missing = True
        self._sender.wake()

    def _waiting(self) -> Iterator[ToSend]:
        """The next messages, while those that landed do not wait for their record."""
        if len(self.sent) < SENT_MAX:
            yield from map(self._to_send, self._next())

    def _next(self) -> Iterator[_Message]:
        """The next messages, made of rows as they are now."""
        while True:
            for message in self._cancelling:
                if self._hold(message):
                    yield message
            if self._queued:
                instance_id, key = next(iter(self._queued))
                del self._queued[instance_id, key]
            else:
                place = next(self._index, None) if self._index is not None else None
                if place is None:
                    self._index = self._store.messages() if self._is_missing else None
                    self._is_missing = False
                    if self._index is None:
                        return
                    continue
                instance_id, key = place
            rows = self._store.rows(instance_id)
            if key == TO_CANCEL:
                self._looked[instance_id] = get_to_cancel(rows)[0]
                self._cancelling = self._cancels(instance_id, rows)
                continue
            owed = self._message_of(instance_id, key, rows)
            if owed is not None and self._hold(owed):
                yield owed

    def _hold(self, message: _Message) -> bool:
        """Whether a message is not on its way already; from now on it is."""
        sent = message.sent
        name = (sent.instance_id, sent.what, sent.name)
        if name in self._held:
            return False
        self._held.add(name)
        return True

    def _message_of(self, instance_id: str, key: str, rows: Rows) -> _Message | None:
        if not owes_message(key, rows.get(key)):
            to_cancel = key.startswith(CHILD) and _is_to_cancel(rows, key)
            return self._cancel_of(instance_id, key, rows) if to_cancel else None
        run = get_run(rows)
        traceparent = None if run is None else run.traceparent
        if key.startswith(MESSAGE_PREFIX):
            return _permit_message(instance_id, key, rows, traceparent)
        if key.startswith(START_PREFIX):
            return _start_message(instance_id, key, rows)
        if key.startswith(REPORT):
            report = get_report(rows, key)
            assert report is not None
            return _Message(
                command=end_command(instance_id, report, self._limits),
                sent=MessageSent(
                    instance_id=instance_id, what="end", name=key, secret=report.secret
                ),
                traceparent=traceparent,
            )
        child_id = key[len(CHILD) :]
        child = get_child(rows, child_id)
        assert child is not None
        if self._selected is not None and instance_id in self._selected:
            self._selected.add_child(instance_id, child_id)
        return _Message(
            command=start_command(instance_id, child_id, child, traceparent),
            sent=MessageSent(
                instance_id=instance_id,
                what="start",
                name=child_id,
                secret=child.secret,
            ),
            traceparent=traceparent,
        )

    def _cancels(self, instance_id: str, rows: Rows) -> Iterator[_Message]:
        """The cancels of an instance's children; one whose start is not sent waits."""
        for key in tuple(rows.keys(CHILD)):
            if _is_to_cancel(rows, key):
                yield self._cancel_of(instance_id, key, rows)

    @staticmethod
    def _cancel_of(instance_id: str, key: str, rows: Rows) -> _Message:
        child_id = key[len(CHILD) :]
        child = get_child(rows, child_id)
        assert child is not None
        return _Message(
            command=cancel_command(instance_id, child_id, child),
            sent=MessageSent(
                instance_id=instance_id,
                what="cancel",
                name=child_id,
                secret=child.secret,
            ),
            traceparent=None,
        )

    def _to_send(self, message: _Message) -> ToSend:
        def landed() -> None:
            self._landed(message.sent)

        def refused(reason: str) -> ToSend | None:
            return self._refused(message, reason)

        return ToSend(
            command=message.command,
            landed=landed,
            refused=refused,
            traceparent=message.traceparent,
        )

    def _landed(self, sent: MessageSent) -> None:
        self.sent.append(sent)
        self._wake()

    def _refused(self, message: _Message, reason: str) -> ToSend | None:
        """The log takes no such record: what is sent, or recorded, in its place."""
        sent = message.sent
        report = get_report(self._store.rows(sent.instance_id), sent.name)
        if sent.what != "end" or report is None or report.output is None:
            self._landed(replace(sent, refused=reason))
            return None
        failed = replace(
            report, end="failed", output=None, error_type="too_large", error=reason
        )
        command = end_command(sent.instance_id, failed, self._limits)
        return self._to_send(replace(message, command=command))


def _permit_message(
    instance_id: str, key: str, rows: Rows, traceparent: str | None
) -> _Message:
    message = get_message(rows, key)
    assert message is not None
    return _Message(
        command=command_of(instance_id, message),
        sent=MessageSent(
            instance_id=instance_id, what="run_permit", name=key, secret=""
        ),
        traceparent=traceparent,
    )


def _start_message(instance_id: str, key: str, rows: Rows) -> _Message:
    start = get_start(rows, key)
    assert start is not None
    return _Message(
        command=debounce.command_of(start),
        sent=MessageSent(
            instance_id=instance_id, what="debounced", name=key, secret=""
        ),
        traceparent=start.traceparent,
    )


def _is_to_cancel(rows: Rows, key: str) -> bool:
    """Whether a row is that of a child whose start is sent, and that is to end now."""
    if not key.startswith(CHILD):
        return False
    child = get_child(rows, key[len(CHILD) :])
    return child is not None and child.input is None and is_to_cancel(rows, child)
