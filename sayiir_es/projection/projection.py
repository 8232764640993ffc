"""Folds the valid events of a log into a view, partition by partition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from sayiir_es.client.backends import as_backend
from sayiir_es.core.model.errors import HoleInHistoryError
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.engine.valid_events import FoundEvent
from sayiir_es.log.port import Topic
from sayiir_es.projection.view import Move, Place, View
from sayiir_es.wire.events import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sayiir_es.client.backends import Backend
    from sayiir_es.log.port import Chunk, Log

READ_WAIT_S = 1.0

RECORDS_MAX_BEHIND = 10_000
"""A place is written after so many records at the latest, even if `kinds` has none of
them. So a restart reads little again, and a view without events needs no transaction a
second."""

T = TypeVar("T")

Fold: TypeAlias = Callable[[T, FoundEvent], None]
"""Takes one valid event into the view; an error that it raises undoes the whole
move."""


class Projection(Generic[T]):
    """Folds a log into a view; for code that runs an event loop.

    Args:
        log: Opened by `run`, closed by the caller.
        view: Holds what was folded, and the place. Used on the event loop's thread.
        fold: Called with each valid event, in the order of its partition.
        kinds: The event kinds that `fold` is called with; none means all. Others are
            skipped without decoding.

    Raises:
        ValueError: if this build does not know one of the kinds.
    """

    def __init__(
        self, log: Log, view: View[T], fold: Fold[T], *, kinds: Iterable[str] = ()
    ) -> None:
        self._log = log
        self._view = view
        self._fold = fold
        self._kinds = frozenset(kinds) or frozenset(KINDS)
        unknown = sorted(self._kinds - KINDS.keys())
        if unknown:
            raise ValueError(f"expected kinds of {sorted(KINDS)}, but {unknown}")
        self.events = 0
        """How many events this object has folded."""

    async def run(self, *, follow: bool) -> None:
        """Fold up to the present end of the log; with `follow`, go on for ever.

        Raises:
            StoreError: if the view was folded from another log.
            FencedError: if another process moves the view.
            HistoryError: if a valid record is no event that this build knows.
            HoleInHistoryError: if records are missing.
        """
        identity = await self._log.open(create=False)
        places = self._view.places(identity.topics[Topic.EVENTS.value])
        async with asyncio.TaskGroup() as group:
            for partition in range(identity.partitions):
                place = places.get(partition, Place())
                group.create_task(self._follow(partition, place, for_ever=follow))

    async def _follow(self, partition: int, place: Place, *, for_ever: bool) -> None:
        written_place = place
        end = await self._log.end_offset(Topic.EVENTS, partition)
        reader = await self._log.reader(Topic.EVENTS, partition, place.offset)
        try:
            while for_ever or place.offset < end:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    continue
                place, events = self._valid_events(partition, place, chunk)
                is_far = place.offset - written_place.offset >= RECORDS_MAX_BEHIND
                if events or is_far or written_place.offset < end <= place.offset:
                    move = Move(partition=partition, before=written_place, after=place)
                    self._write(move, events)
                    written_place = place
        finally:
            await reader.close()

    def _write(self, move: Move, events: Sequence[FoundEvent]) -> None:
        fold = self._fold

        def fold_all(target: T) -> None:
            for event in events:
                fold(target, event)

        self._view.write(move, fold_all)
        self.events += len(events)

    def _valid_events(
        self, partition: int, place: Place, chunk: Chunk
    ) -> tuple[Place, list[FoundEvent]]:
        """Return the place after a chunk, and its valid events of the wanted kinds."""
        if chunk.start != place.offset:
            raise HoleInHistoryError(
                f"expected events of partition {partition} from offset {place.offset} "
                f"on, but {chunk.start}"
            )
        claim, kinds = place.claim, self._kinds
        events: list[FoundEvent] = []
        for record in chunk.records:
            headers = read_event_headers(record, partition)
            if headers.kind == "PartitionClaimed":
                claim = record.offset
            elif headers.claim != claim:
                continue
            if headers.kind in kinds or headers.kind not in KINDS:
                event = decode_record(record, headers, partition)
                events.append(
                    FoundEvent(partition=partition, offset=record.offset, event=event)
                )
        return Place(offset=chunk.end, claim=claim), events


def project(
    backend: Backend | str,
    view: View[T],
    fold: Fold[T],
    *,
    kinds: Iterable[str] = (),
    follow: bool = True,
) -> int:
    """Fold the events of a backend, or of its URL, into a view; see `Projection`.

    Runs until interrupted, or with `follow=False` up to the present end of the log.
    Returns how many events were folded. Inside a running event loop use `Projection`.

    Raises:
        StoreError: if the view was folded from another log.
        FencedError: if another process moves the view.
        LogUnavailableError: if nothing answers.
    """
    log = as_backend(backend).open_log()
    projection = Projection(log, view, fold, kinds=kinds)

    async def body() -> None:
        try:
            await projection.run(follow=follow)
        finally:
            await log.close()

    try:
        asyncio.run(body())
    except BaseExceptionGroup as group:  # of the partitions' tasks; the first is raised
        raise group.exceptions[0] from group
    return projection.events
