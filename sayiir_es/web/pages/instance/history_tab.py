"""The tab of the history: its entries page by page, and the state behind any event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.core.status.status import ENDED
from sayiir_es.operations.event_fields import details_of, fields_of, place_of
from sayiir_es.operations.history_groups import EventGroup, grouped
from sayiir_es.operations.previews import preview
from sayiir_es.operations.text import format_time, is_time, to_json
from sayiir_es.operations.timeline.axis import span_text
from sayiir_es.wire.trace_context import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.audit.history import Change
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.valid_events import FoundEvent
    from sayiir_es.web.pages.instance.shown import Query, ShownInstance, Text, View

ENTRIES_MAX = 50
"""Entries of one page."""

EVENTS_SHOWN = 20
"""Events that an entry opens to; an attempt that was begun again often has more."""

LINE_CHARACTERS = 2_000
"""Of an event as JSON in the page; the download has all of it."""

CHANGE_CHARACTERS = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One event of an entry."""

    sequence: int
    at: int
    kind: str
    place: str
    details: str
    schema_version: int
    trace_id: str | None
    trace_link: str | None
    state_link: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the history: one event, or those of an attempt or a wait."""

    title: str
    at_path: str
    state: str
    numbers: str
    at: int
    took: str
    details: str
    events: tuple[EventLine, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTab:
    """A page of the history."""

    view: View
    entries: tuple[Entry, ...]
    lines: str
    start: int
    count: int
    last: int
    events: int
    previous: str | None
    following: str | None
    first_link: str
    last_link: str


def history_tab(shown: ShownInstance, query: Query) -> HistoryTab:
    """The page of the history that a query asks for; by default the last one."""
    entries: Sequence[EventGroup | FoundEvent] = shown.history.events
    if query.view == "grouped":
        entries = grouped(shown.history.events)
    count = len(entries)
    last_start = max(count - 1, 0) // ENTRIES_MAX * ENTRIES_MAX
    start = last_start if query.start is None else min(query.start, last_start)
    chosen = entries[start : start + ENTRIES_MAX]

    def link(to: int) -> str:
        return shown.link(tab="history", view=query.view, start=to)

    is_json = query.view == "json"
    return HistoryTab(
        view=query.view,
        entries=() if is_json else tuple(_entry(shown, one) for one in chosen),
        lines=_json_lines(shown, chosen) if is_json else "",
        start=start,
        count=count,
        last=shown.history.last,
        events=len(shown.history.events),
        previous=link(max(start - ENTRIES_MAX, 0)) if start else None,
        following=link(start + ENTRIES_MAX) if start < last_start else None,
        first_link=link(0),
        last_link=shown.link(tab="history", view=query.view),
    )


def _entry(shown: ShownInstance, one: EventGroup | FoundEvent) -> Entry:
    if not isinstance(one, EventGroup):
        one = EventGroup(title=one.event.kind, events=[one])
    first, last = one.first.event, one.last.event
    events = one.events[-EVENTS_SHOWN:]
    lines = tuple(_line(shown, entry) for entry in events)
    took = "" if len(one.events) == 1 else span_text(last.at - first.at)
    return Entry(
        title=one.title,
        at_path=place_of(fields_of(one.last)),
        state=one.state,
        numbers=_numbers(first.sequence, last.sequence),
        at=first.at,
        took=took,
        details=_details(shown, one),
        events=lines,
        left_out=len(one.events) - len(events),
    )


def _numbers(first: int, last: int) -> str:
    """The sequences of an entry; an event that changes nothing has none."""
    if not last:
        return "–"
    return f"{first}" if first == last else f"{first}–{last}"


def _details(shown: ShownInstance, group: EventGroup) -> str:
    """What the last event says; of an attempt that goes on what the first one does."""
    fields, _ = shown.fields(fields_of(group.last))
    return details_of(fields)


def _line(shown: ShownInstance, entry: FoundEvent) -> EventLine:
    event = entry.event
    place = f"{entry.partition}@{entry.offset}"
    fields, text = shown.fields(fields_of(entry), part="event", name=place)
    return EventLine(
        sequence=event.sequence,
        at=event.at,
        kind=event.kind,
        place=place,
        details=details_of(fields),
        schema_version=entry.schema_version,
        trace_id=trace_id_of(entry.traceparent),
        trace_link=shown.trace_link(entry.traceparent),
        state_link=shown.link(tab="history", at=event.sequence),
        text=text,
    )


def _json_lines(shown: ShownInstance, chosen: Sequence[EventGroup | FoundEvent]) -> str:
    lines = [
        to_json(shown.fields(fields_of(cast("FoundEvent", one)))[0]) for one in chosen
    ]
    return "\n".join(
        line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}…"
        for line in lines
    )


def event_text(
    shown: ShownInstance, entry: FoundEvent, *, indent: int | None = None
) -> str:
    """One event as JSON, masked."""
    return to_json(shown.masking.fields(fields_of(entry)), indent=indent)


def find_event(shown: ShownInstance, place: str) -> FoundEvent:
    """The event that stands at `PARTITION@OFFSET`.

    Raises:
        NotFoundError: if none of this instance does.
    """
    for entry in shown.history.events:
        if f"{entry.partition}@{entry.offset}" == place:
            return entry
    raise NotFoundError(
        f"expected an event of {shown.instance_id!r} at {place!r:.60}, but there is "
        "none"
    )


# --- the state behind an event --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """A field that an event changed, for people."""

    field: str
    change: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateBehind:
    """The state of an instance behind one of its events, and what that one changed."""

    at: int
    last: int
    event: EventLine | None
    status: Status | None
    sentence: str
    changes: tuple[ShownChange, ...]
    snapshot: Text
    previous: str | None
    following: str | None


def state_behind(shown: ShownInstance, query: Query) -> StateBehind:
    """The state behind the event that a query names; by default behind the last one.

    Raises:
        NotFoundError: if there is no event of that sequence.
    """
    history = shown.history
    at = history.last if query.at is None else query.at
    snapshot, changes = history.step(at)
    status = snapshot.status
    entry = next((one for one in history.events if one.event.sequence == at), None)
    _, text = shown.fields(snapshot.data(), part="snapshot", at=at)
    start = query.start

    def link(to: int) -> str:
        return shown.link(tab="history", view=query.view, start=start, at=to)

    return StateBehind(
        at=at,
        last=history.last,
        event=None if entry is None or at == 0 else _line(shown, entry),
        status=status,
        sentence=_sentence(shown, status),
        changes=tuple(_change(shown, change) for change in changes),
        snapshot=text,
        previous=link(at - 1) if at > 0 else None,
        following=link(at + 1) if at < history.last else None,
    )


def _sentence(shown: ShownInstance, status: Status | None) -> str:
    if status is None:
        return "a start"
    return "" if status.status in ENDED else shown.masking.text(status.waiting_for)


def _change(shown: ShownInstance, change: Change) -> ShownChange:
    return ShownChange(
        field=change.field,
        change=change.change,
        before="" if change.change == "added" else _side(shown, change, change.before),
        after="" if change.change == "removed" else _side(shown, change, change.after),
    )


def _side(shown: ShownInstance, change: Change, value: object) -> str:
    if isinstance(value, int) and is_time(change.field):
        return format_time(value)
    area, _, name = change.field.partition(".")
    path = (name,) if area == "attributes" else ()
    masked = shown.masking.value(preview(value)[0], path)
    text = masked if isinstance(masked, str) else to_json(masked)
    if len(text) > CHANGE_CHARACTERS:
        return f"{text[:CHANGE_CHARACTERS]}…"
    return text
