"""Permits of one partition: of the attempts in it, and of the limits that live in it.

Theory of operation. A permit passes through the log by commands between two owners (see
`core.decide.permits`); here they are sent. What is to be sent follows from rows that
the log has acknowledged: an ask from an attempt that is due and has no permit, a grant
from a permit that a limit has lent, a return from one that no attempt has any more.

While a batch is made, `must_wait` notes attempts that need a permit, and `note` the
decisions that may concern one. Behind the ack, `act` sends what follows. A tenure
begins with nothing in memory: attempts are offered again, and ask again; `recover`
reads the store's index of permits, and sends again what may not have been sent.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_held as is_instance_held
from sayiir_es.core.decide.permits import key_of
from sayiir_es.core.graph.key_templates import UNREADABLE_KEY, UnreadableKeyError
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.commands import AskPermit, GrantPermit, ReturnPermit
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.inputs import Outcome, PermitReturnSent
from sayiir_es.core.model.permit_events import (
    LIMIT_PREFIX,
    PermitGranted,
    PermitTaken,
    is_limit,
    limit_id,
    permit_name,
)
from sayiir_es.core.model.permit_rows import (
    ask_of,
    get_all_granted,
    get_permit,
    get_permits,
    is_held,
)
from sayiir_es.core.model.rows import (
    chain_of,
    get_cursor,
    get_header,
    get_run,
)
from sayiir_es.core.model.run_permit_events import QUEUE_PREFIX, is_queue
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.attempt import DEFAULT_PRIORITY, Attempt, State
from sayiir_es.engine.attempts.local_executor import AGING_INTERVAL_MS
from sayiir_es.engine.command_sender import CommandSender, ToSend
from sayiir_es.engine.flow.asks import Asks, Waiting
from sayiir_es.engine.flow.limit_use import LimitUse
from sayiir_es.engine.flow.queue_use import QueueUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.draft import Decision
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.rows import Ask, Rows
    from sayiir_es.engine.attempts.attempt import Token
    from sayiir_es.engine.attempts.batch_port import Batch
    from sayiir_es.engine.attempts.dispatcher import Dispatcher
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log

PORTION = 256
"""Instances of the index of permits that one turn looks at."""

SENDING_MAX = 500
"""Commands that are handed to the log together."""


class Permits:
    """What one owner does about permits; lives as long as it, over its tenures.

    Attributes:
        landed: Returns that the log has, each still to be recorded.
        use: How much the limits of the partition are used.
        runs: How much its start queues are, which look after themselves else.
    """

    def __init__(
        self,
        *,
        log: Log,
        partition: int,
        store: SnapshotStore,
        registry: Registry,
        dispatcher: Dispatcher,
        wake: Callable[[], None],
    ) -> None:
        self.landed: deque[PermitReturnSent] = deque()
        self._store = store
        self._registry = registry
        self._dispatcher = dispatcher
        self._wake = wake
        self._to_send: deque[ToSend] = deque()
        self._sender = CommandSender(
            log,
            partition,
            name="permits",
            portion=SENDING_MAX,
            waiting=self._waiting,
        )
        self.use, self.runs = LimitUse(), QueueUse()
        self._asks = Asks()
        self._noted: list[Decision] = []
        self._unreadable: list[tuple[str, OwedAttempt, str]] = []
        self._held: dict[str, dict[str, str]] = {}
        """By instance and chain, the permit that an attempt has."""
        self._returning: set[tuple[str, str]] = set()
        """Instance and permit: its return is on the way."""
        self._failing: set[Token] = set()
        """Attempts that were reported as failed, for their key cannot be made."""
        self._recovering: Iterator[str] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be asked for, sent, or recorded."""
        return (
            self._asks.is_empty
            and self._sender.is_idle
            and not self.landed
            and self._recovering is None
        )

    @property
    def is_recovering(self) -> bool:
        """Whether the index of permits is not yet read to its end."""
        return self._recovering is not None

    # --- tenures ----------------------------------------------------------------------

    async def begin_tenure(self) -> None:
        """Forget all, and find what is owed by the rows.

        Also where nobody else decided meanwhile: what the last batch of a tenure made
        live was never acted on, if its append was uncertain.
        """
        await self.close()
        self._recovering = self._store.with_permits()

    def check(self) -> None:
        """Raise the error that ended the sending, if one did."""
        self._sender.check()

    async def close(self) -> None:
        """Forget all: whoever owns next finds it."""
        await self._sender.close()
        self._to_send.clear()
        self._asks.clear()
        self.use.clear()
        self.runs.clear()
        self.landed.clear()
        self._noted.clear()
        self._unreadable.clear()
        self._held.clear()
        self._returning.clear()
        self._failing.clear()
        self._recovering = None

    def recover(self) -> None:
        """Look at another portion of what has, owes, or has lent permits."""
        recovering = self._recovering
        if recovering is None:
            return
        for _ in range(PORTION):
            instance_id = next(recovering, None)
            if instance_id is None:
                self._recovering = None
                return
            rows = self._store.rows(instance_id)
            if is_limit(instance_id):
                self.use.note(instance_id, rows)
                for permit, ask in get_all_granted(rows):
                    self._grant(instance_id, permit, _named(ask))
            elif is_queue(instance_id):
                self.runs.note(instance_id, rows)
            for name, _ in tuple(get_permits(rows)):
                self._look_at(instance_id, rows, name)

    # --- while a batch is made --------------------------------------------------------

    def begin_batch(self) -> None:
        """A batch is begun; what was noted for one that never became live is void."""
        self._noted.clear()
        self._unreadable.clear()

    def must_wait(self, batch: Batch, instance_id: str, owed: OwedAttempt) -> bool:
        """Whether an owed attempt is not to be offered, for it has no permit yet.

        What neither this process nor an executor elsewhere can run asks for none: it
        would keep it for nothing.
        """
        rows = batch.view(instance_id)
        run = get_run(rows)
        graph = None if run is None else self._registry.by_digest(run.graph_digest)
        if run is None or graph is None or not graph.has_limits:
            return False
        node, cursor = _limited(graph, owed.path), get_cursor(rows, chain_of(owed.path))
        if node is None or cursor is None or not isinstance(cursor.wait, Awaiting):
            return False
        header = header_of(rows)
        if cursor.wait.permit:
            return False
        if not self._dispatcher.is_run(rows, owed.path):
            return False
        assert node.concurrency is not None
        if not self._dispatcher.accepting:
            return True  # found again when it does
        try:
            key = key_of(node.concurrency.key, run.workflow, rows, graph, cursor)
        except UnreadableKeyError as error:
            self._unreadable.append((instance_id, owed, str(error)))
            return True
        waiting = Waiting(instance_id, owed.path, ask_of(header, cursor.wait))
        priority = node.priority or DEFAULT_PRIORITY
        rank = priority * AGING_INTERVAL_MS + batch.now_ms
        self._asks.add(key, node.concurrency, rank, waiting)
        return True

    def note(self, decision: Decision) -> None:
        """A decision was made: if it is of permits, `act` follows it."""
        if not decision.events:
            return
        instance_id = decision.instance_id
        if instance_id in self._held or (
            type(decision.events[0].body) is PermitTaken
            or instance_id.startswith((LIMIT_PREFIX, QUEUE_PREFIX))
        ):
            self._noted.append(decision)

    # --- behind the ack ---------------------------------------------------------------

    def act(self) -> None:
        """The batch is live: send what follows from it."""
        noted, self._noted = self._noted, []
        for decision in noted:
            self._follow(decision)
        unreadable, self._unreadable = self._unreadable, []
        for instance_id, owed, reason in unreadable:
            self._fail(instance_id, owed, reason)
        if self._failing:
            self._failing = {token for token in self._failing if self._awaits(token)}
        if not self._asks.is_empty and self._dispatcher.accepting:
            self._ask()

    def _follow(self, decision: Decision) -> None:
        instance_id = decision.instance_id
        rows = self._store.rows(instance_id)
        if is_limit(instance_id):
            self.use.note(instance_id, rows)
        elif is_queue(instance_id):
            self.runs.note(instance_id, rows)
            return
        for event in decision.events:
            body = event.body
            if isinstance(body, PermitGranted):
                self._grant(instance_id, event.sequence, _named(body))
            elif isinstance(body, PermitTaken) and body.holder == instance_id:
                self._asks.answered(Waiting(instance_id, body.path, body.ask))
                name = permit_name(body.key, body.permit)
                self._look_at(instance_id, rows, name)
        held = self._held.get(instance_id)
        if held is None:
            return
        header = get_header(rows)
        is_running = header is not None and header.phase == "running"
        for chain in decision.moved if is_running else tuple(held):
            name = held.get(chain, "")
            if name:
                self._look_at(instance_id, rows, name)

    def _look_at(self, instance_id: str, rows: Rows, name: str) -> None:
        """Remember a permit that an attempt has; return one that none has."""
        permit = get_permit(rows, name)
        if permit is None:
            return
        held, chain = self._held.get(instance_id, {}), chain_of(permit.path)
        if is_held(rows, name, permit):
            self._held.setdefault(instance_id, held)[chain] = name
            return
        if held.get(chain) == name:
            del held[chain]
            if not held:
                del self._held[instance_id]
        if (instance_id, name) not in self._returning:
            self._returning.add((instance_id, name))
            self._return(instance_id, name)

    def _return(self, instance_id: str, name: str) -> None:
        number, _, key = name.partition(":")
        sent = PermitReturnSent(instance_id=instance_id, key=key, permit=int(number))

        def landed() -> None:
            self.landed.append(sent)
            self._wake()

        command = ReturnPermit(
            instance_id=limit_id(key),
            command_id=f"return:{name}",
            holder=instance_id,
            permit=int(number),
        )
        self._send(command, landed)

    def recorded(self, sent: PermitReturnSent) -> None:
        """That its return has landed is recorded, in the batch that is made."""
        self._returning.discard((sent.instance_id, permit_name(sent.key, sent.permit)))

    def _grant(self, instance_id: str, permit: int, asked: Waiting) -> None:
        key = instance_id.removeprefix(LIMIT_PREFIX)
        command = GrantPermit(
            instance_id=asked.instance_id,
            command_id=f"grant:{permit_name(key, permit)}",
            key=key,
            path=asked.path,
            ask=asked.ask,
            permit=permit,
        )
        self._send(command)

    def _send(self, command: Command, landed: Callable[[], None] | None = None) -> None:
        self._to_send.append(ToSend(command=command, landed=landed))
        self._sender.wake()

    def _waiting(self) -> Iterator[ToSend]:
        """Take what is to be sent, one by one."""
        while self._to_send:
            yield self._to_send.popleft()

    def _ask(self) -> None:
        for key, limited, waiting in self._asks.next_asks(self._is_due):
            command = AskPermit(
                instance_id=limit_id(key),
                command_id=f"ask:{waiting.ask}",
                holder=waiting.instance_id,
                path=waiting.path,
                ask=waiting.ask,
                limit=limited.limit,
                rate=limited.rate,
            )
            self._send(command)
        if self._asks.take_room():
            self._dispatcher.turned_away = True
            self._wake()

    def _is_due(self, waiting: Waiting) -> bool:
        """Whether the live rows still await that attempt, and it has no permit."""
        rows = self._store.rows(waiting.instance_id)
        header, cursor = get_header(rows), get_cursor(rows, chain_of(waiting.path))
        return (
            header is not None
            and header.phase == "running"
            and not is_instance_held(header)
            and cursor is not None
            and cursor.path == waiting.path
            and isinstance(cursor.wait, Awaiting)
            and not cursor.wait.permit
            and ask_of(header, cursor.wait) == waiting.ask
        )

    def _awaits(self, token: Token) -> bool:
        instance_id, run, path, number = token
        rows = self._store.rows(instance_id)
        header, wait = get_header(rows), task.awaiting(rows, path)
        is_of_run = header is not None and header.run == run
        return is_of_run and wait is not None and wait.attempt == number

    def _fail(self, instance_id: str, owed: OwedAttempt, reason: str) -> None:
        """Report an attempt whose key cannot be made as failed, once and for all."""
        attempt = Attempt(
            instance_id=instance_id,
            run=owed.run,
            path=owed.path,
            number=owed.attempt,
            owner=self._dispatcher,
        )
        if attempt.token in self._failing:
            return
        self._failing.add(attempt.token)
        attempt.move(State.WITHDRAWN)
        outcome = Outcome(
            instance_id=instance_id,
            run=owed.run,
            path=owed.path,
            attempt=owed.attempt,
            result="failed",
            error_type=UNREADABLE_KEY,
            error=reason,
            retriable=False,
        )
        self._dispatcher.reported(attempt, outcome)


def _limited(graph: Graph, path: str) -> TaskNode | None:
    """The task at a path, if it needs a permit."""
    place = graph.place(path)
    node = None if place is None else place.node
    if isinstance(node, TaskNode) and node.concurrency is not None:
        return node
    return None


def _named(asked: Ask | PermitGranted) -> Waiting:
    return Waiting(asked.holder, asked.path, asked.ask)
