"""What stands above the tabs: how it is, what it waits for, what went in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.child_rows import get_children
from sayiir_es.core.model.rows import get_value
from sayiir_es.core.status.status import ENDED
from sayiir_es.operations.pending import Pending, pending_of
from sayiir_es.web.pages.instance_address import instance_address

if TYPE_CHECKING:
    from sayiir_es.core.model.waits import ErrorDetails
    from sayiir_es.core.status.status import Status
    from sayiir_es.web.pages.instance.shown import ShownInstance, Text

ERROR_CHARACTERS = 200
"""How much of an error the sentence has; all of it stands below."""

PENDING_MAX = 20
"""Attempts, signals and times that the top names each; it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownError:
    """An error with what a person looks for behind it; masked."""

    error_type: str
    error: str
    details: ErrorDetails | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Everything above the tabs."""

    status: Status
    sentence: str
    pending: Pending
    left_out: int
    input: Text | None
    output: Text | None
    error: ShownError | None
    attributes: tuple[tuple[str, object], ...]
    parent: tuple[tuple[str, str], ...]
    children: tuple[tuple[str, str], ...]
    children_left_out: int
    place: str
    has_ended: bool


def top_of(shown: ShownInstance, status: Status) -> Top:
    """The top of the page of an instance that has a run."""
    history, masking = shown.history, shown.masking
    rows = history.rows()
    pending = pending_of(rows, history.graph)
    short = Pending(
        attempts=pending.attempts[:PENDING_MAX],
        signals=pending.signals[:PENDING_MAX],
        times=pending.times[:PENDING_MAX],
    )
    last = history.events[-1]
    children = tuple(sorted(child_id for child_id, _ in get_children(rows)))
    return Top(
        status=status,
        sentence=masking.text(sentence_of(status)),
        pending=short,
        left_out=_count(pending) - _count(short),
        input=_text(shown, get_value(rows, "start"), "start"),
        output=_text(shown, status.output, "output"),
        error=_error_of(shown, status),
        attributes=tuple(
            (name, masking.value(value, (name,)))
            for name, value in status.attributes.items()
        ),
        parent=_linked(() if status.parent is None else (status.parent,)),
        children=_linked(children[:PENDING_MAX]),
        children_left_out=max(0, len(children) - PENDING_MAX),
        place=f"{last.partition}@{last.offset}",
        has_ended=status.status in ENDED,
    )


def sentence_of(status: Status) -> str:
    """One sentence that says how it is, and what it waits for."""
    match status.status:
        case "completed":
            return "has completed"
        case "cancelled":
            why = f": {status.reason}" if status.reason else ""
            who = f" by {status.requested_by}" if status.requested_by else ""
            return f"was cancelled{who}{why}"
        case "failed":
            # An error's text often begins with its type.
            kind, error = status.error_type or "", status.error or ""
            text = error if error.startswith(kind) else f"{kind}: {error}"
            first = text.partition("\n")[0][:ERROR_CHARACTERS]
            return f"has failed: {first}{'…' * (first != text)}"
        case "paused":
            why = f" ({status.reason})" if status.reason else ""
            return f"is paused{why} and waits for {status.waiting_for}"
        case _:
            return f"waits for {status.waiting_for}"


def _linked(instance_ids: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Instances, each with the address of its page."""
    return tuple((one, instance_address(one)) for one in instance_ids)


def _count(pending: Pending) -> int:
    return len(pending.attempts) + len(pending.signals) + len(pending.times)


def _text(shown: ShownInstance, data: bytes | None, reference: str) -> Text | None:
    if data is None:
        return None
    return shown.payload(data, part="value", name=reference)


def _error_of(shown: ShownInstance, status: Status) -> ShownError | None:
    if status.error is None and status.error_details is None:
        return None
    details = status.error_details
    return ShownError(
        error_type=status.error_type or "",
        error=shown.masking.text(status.error or ""),
        details=None if details is None else shown.masked_details(details),
    )
