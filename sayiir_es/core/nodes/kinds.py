"""What the engine asks of each kind of node, wait and event.

Each construct answers in its own module; `registry` holds the answers together. What is
common to all constructs (`advance`, `owed`, `evolve`, a status, the indexes of a store)
asks by these and knows none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, NoReturn, TypeAlias, TypeVar

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Container
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.rows import Changes, Cursor, Header, Rows
    from sayiir_es.core.model.waits import Wait

N = TypeVar("N", bound="Node")
W = TypeVar("W", bound="Wait")
B = TypeVar("B", bound="Body")

WaitStatus: TypeAlias = Literal["in_progress", "waiting", "awaiting_signal"]


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A node that a cursor arrives at, and the reference of what flows in."""

    path: str
    reference: str


# --- what a kind answers that has nothing to say --------------------------------------


def holds_no_chain(_draft: Draft, container: Container, _result: str) -> NoReturn:
    """Refuse the end of an inner chain: the node has none."""
    raise HistoryError(f"expected a container at {container.path!r}")


def is_never_owed(_rows: Rows, _cursor: Cursor, _wait: Wait) -> bool:
    """The next move is never owed: something must happen first."""
    return False


def moves_nowhere(_draft: Draft, _cursor: Cursor, _wait: Wait) -> Opening | None:
    """There is no move to make."""
    return None


def has_no_time(_wait: Wait) -> int | None:
    """No time wakes the cursor."""
    return None


def records_nothing(_draft: Draft, _cursor: Cursor, _wait: Wait) -> None:
    """Nothing is recorded when a time comes."""


def names_nothing(_cursor: Cursor, _wait: Wait) -> str:
    """Nobody searches by it."""
    return ""


def says_nothing(_cursor: Cursor, _wait: Wait, _node: Node | None) -> str:
    """A status says nothing of it."""
    return ""


# --- kinds ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind(Generic[N]):
    """A kind of node.

    Attributes:
        node: Its class.
        open: A cursor arrives at the node: (draft, node, path, reference of what flows
            in). Emits the node's first event.
        end_chain: A chain inside the node has ended: (draft, the node as seen from that
            chain, reference of its result).
    """

    node: type[N]
    open: Callable[[Draft, N, str, str], None]
    end_chain: Callable[[Draft, Container, str], None] = holds_no_chain


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitKind(Generic[W]):
    """A kind of wait: what a cursor may wait for.

    Attributes:
        wait: Its class.
        may_owe: Whether an instance with such a wait may owe an attempt or a move; it
            says so without a look at other rows. A store keeps an index of these.
        is_owed: Whether the cursor's next move is owed now, if no request holds it.
        move: Makes that move; returns what opens by it, if anything does.
        wakes_at: When the cursor wakes by itself, in epoch milliseconds.
        fires_at: The time whose coming is recorded; None if that of `wakes_at` is not.
        is_timer_held: Whether a requested cancel or pause holds that time back.
        yields_to_stop: Whether a cancel or a failure does, though a pause may not.
        fire: Records that the time has come.
        status: The status of an instance that waits so; None if it is no reason to
            wait, for the next move is owed.
        sentence: What a status says is waited for; the node is None where the graph is
            not known.
        searched_as: By what searches find it, such as `signal:approval`: one of
            `status.waits.KINDS` and a name; empty where nobody searches by it.
    """

    wait: type[W]
    may_owe: bool = True
    is_owed: Callable[[Rows, Cursor, W], bool] = is_never_owed
    move: Callable[[Draft, Cursor, W], Opening | None] = moves_nowhere
    wakes_at: Callable[[W], int | None] = has_no_time
    fires_at: Callable[[W], int | None] = has_no_time
    is_timer_held: bool = True
    yields_to_stop: bool = False
    fire: Callable[[Draft, Cursor, W], None] = records_nothing
    status: WaitStatus | None = None
    sentence: Callable[[Cursor, W, Node | None], str] = says_nothing
    searched_as: Callable[[Cursor, W], str] = names_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind(Generic[B]):
    """A kind of event.

    Attributes:
        event: The class of its body.
        fold: The rows that it changes: (rows, event, body, header). Where the header is
            not among them, only what every event moves in it changes.
        references: Fields of the body that are references of values.
        sequences: Fields of the body that are sequences of events; 0 is none.
    """

    event: type[B]
    fold: Callable[[Rows, Event, B, Header], Changes]
    references: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
