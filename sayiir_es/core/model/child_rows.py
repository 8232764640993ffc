"""The rows of a parent and of a child, and what owes a message to another partition.

Theory of operation. A child that was started is one row of its parent; until its start
is known to be sent, the row holds the input, so that it can be sent whatever became of
the run. When a run ends, a count says that children of it are to be cancelled. What a
parent is to be told is a row of the child. So each of these rows alone says what is
owed, also of an instance that has ended: a store keeps an index of them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sayiir_es.core.model.child_records import EndReport, OpenChild
from sayiir_es.core.model.debounce_events import START_PREFIX
from sayiir_es.core.model.run_permit_events import MESSAGE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.child_records import Parent
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Changes, Header, Row, Rows, Run

CHILD, REPORT = "j", "p"
"""How the keys of rows begin: of a child, and of what a parent is to be told."""

TO_CANCEL = "i"
"""The row that says that children are to be cancelled."""

REPORTED_BY = "w"
"""The row of what the report of its own end brings to the parent."""

COPIED = "fs"
"""The row of the last sequence that a fork recorded again."""

MESSAGES = (CHILD, REPORT, TO_CANCEL, MESSAGE_PREFIX, START_PREFIX)
"""How the keys of rows begin that may owe a message."""


def owes_message(key: str, row: Row | None) -> bool:
    """Whether a row says that a command to another instance is owed."""
    if row is None or not key.startswith(MESSAGES):
        return False
    return not isinstance(row, OpenChild) or row.input is not None


def get_child(rows: Rows, child_id: str) -> OpenChild | None:
    """The open child of that id."""
    row = rows.get(CHILD + child_id)
    assert row is None or isinstance(row, OpenChild), row
    return row


def get_children(rows: Rows) -> Iterator[tuple[str, OpenChild]]:
    """Every open child by its id, in no promised order."""
    for key in rows.keys(CHILD):
        child = get_child(rows, key[len(CHILD) :])
        if child is not None:
            yield key[len(CHILD) :], child


def get_report(rows: Rows, key: str) -> EndReport | None:
    """What a parent is to be told."""
    row = rows.get(key)
    assert row is None or isinstance(row, EndReport), row
    return row


def get_to_cancel(rows: Rows) -> tuple[int, int]:
    """Up to which run children are to be cancelled, and how many of them are left."""
    row = rows.get(TO_CANCEL)
    return (row[0], row[1]) if isinstance(row, tuple) else (0, 0)


def is_to_cancel(rows: Rows, child: OpenChild) -> bool:
    """Whether a child is to be cancelled, since the run that started it has ended."""
    upto, _ = get_to_cancel(rows)
    return child.run <= upto and child.on_parent_end == "cancel" and not child.is_told


def is_copy(rows: Rows, event: Event) -> bool:
    """Whether an event was recorded again by a fork: its children are the source's."""
    row = rows.get(COPIED)
    return isinstance(row, int) and event.sequence <= row


def report_key(parent: Parent, child_run: int) -> str:
    """The key of what a parent is to be told; run 0: that none was started for it."""
    if child_run:
        return f"{REPORT}{child_run}"
    name = f"{parent.instance_id}\0{parent.path}".encode("utf-8", "surrogatepass")
    return f"{REPORT}0{hashlib.sha256(name).hexdigest()[:32]}"


# --- what folds change ----------------------------------------------------------------


def without_child(
    rows: Rows, child: OpenChild | None, header: Header, changes: Changes
) -> int:
    """A child is not to be cancelled any more; the number of those of the run left."""
    if child is None or child.on_parent_end != "cancel" or child.is_told:
        return header.children
    upto, left = get_to_cancel(rows)
    if child.run > upto:
        return header.children - 1
    changes[TO_CANCEL] = (upto, left - 1) if left > 1 else None
    return header.children


def end_rows(
    rows: Rows,
    header: Header,
    report: EndReport | None,
) -> Changes:
    """What the end of a run owes: its children are cancelled, its parent is told."""
    changes: Changes = {}
    if header.children:
        _, left = get_to_cancel(rows)
        changes[TO_CANCEL] = (header.run, left + header.children)
    if report is not None:
        changes[REPORTED_BY] = None
        changes[report_key(report.parent, report.child_run)] = report
    return changes


def report_of(
    rows: Rows,
    run: Run | None,
    header: Header,
    end: str,
    *,
    output: bytes | None = None,
    failed: tuple[str, str, tuple[str, ...]] = ("", "", ()),
) -> EndReport | None:
    """What the parent is told of the end of the run; None where nobody asked.

    `failed` is the error's type, its text, and the names of its class and bases.
    """
    if run is None or run.parent is None:
        return None
    secret = rows.get(REPORTED_BY)
    if not isinstance(secret, str):
        return None
    error_type, error, bases = failed
    return EndReport(
        parent=run.parent,
        secret=secret,
        child_run=header.run,
        end=end,
        output=output,
        error_type=error_type,
        error=error,
        error_bases=bases,
    )
