"""The history of an instance page by page, for who does not want all of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.projection import partition_of_instance
from sayiir_es.engine.valid_events import EventFilter, ValidEvents
from sayiir_es.log.port import InstanceIndex
from sayiir_es.operations.event_fields import fields_of
from sayiir_es.operations.text import to_json

if TYPE_CHECKING:
    from sayiir_es.client.session import Session

PAGE_BYTES = 4 * 1024 * 1024
"""How many bytes of JSON a page has before it ends; one event is on it in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Some events of an instance, in order, and the offset of the last, if more come.

    Attributes:
        events: As JSON objects.
        next_offset: Where the next page begins behind; None at the end.
    """

    events: tuple[dict[str, object], ...]
    next_offset: int | None


async def read_history_page(
    session: Session, instance_id: str, *, after: int = -1, limit: int
) -> HistoryPage:
    """At most `limit` events of an instance behind an offset of its partition."""
    await session.open()
    log = session.log
    # An index finds all of them; without one the log is read on from there.
    start = 0 if isinstance(log, InstanceIndex) else after + 1
    events = ValidEvents(
        log,
        partition_of_instance(log, instance_id),
        start,
        EventFilter(instance_id=instance_id),
    )
    page: list[dict[str, object]] = []
    last, size = after, 0
    try:
        async for entry in events.until_end():
            if entry.offset <= after:
                continue
            if len(page) == limit or size > PAGE_BYTES:
                return HistoryPage(events=tuple(page), next_offset=last)
            fields = fields_of(entry)
            page.append(fields)
            last, size = entry.offset, size + len(to_json(fields))
    finally:
        await events.close()
    return HistoryPage(events=tuple(page), next_offset=None)
