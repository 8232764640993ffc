"""The history of one instance: its events, and its snapshot after any of them.

Theory of operation. Everything comes from the log: the valid events of the instance's
partition, and `evolve`, by which owners fold them too. Records of other instances are
skipped by their key, undecoded; a log with an index does not even read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from sayiir_es.audit.snapshot import Snapshot, snapshot_of
from sayiir_es.client.backends import use_backend
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.errors import HoleInHistoryError, NotFoundError
from sayiir_es.core.model.events import WorkflowMigrated, WorkflowStarted
from sayiir_es.core.model.rows import DictRows, get_run
from sayiir_es.core.status.status import status_of
from sayiir_es.engine.valid_events import FoundEvent, events_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.session import Session
    from sayiir_es.core.graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field of a snapshot that is `added`, `changed` or `removed`.

    `before` is None where it is added, `after` where it is removed.
    """

    field: str
    change: Literal["added", "changed", "removed"]
    before: object
    after: object


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The valid events of an instance, in order; `graphs` are those published."""

    instance_id: str
    events: tuple[FoundEvent, ...]
    graphs: Mapping[str, Graph]

    @property
    def last(self) -> int:
        """The sequence of the last event; 0 if none left a trace."""
        return max((entry.event.sequence for entry in self.events), default=0)

    @property
    def graph(self) -> Graph | None:
        """The graph by which it runs now; None where it is not published."""
        for entry in reversed(self.events):
            if isinstance(entry.event.body, WorkflowStarted | WorkflowMigrated):
                return self.graphs.get(entry.event.body.graph_digest)
        return None

    def rows(self, at: int | None = None) -> DictRows:
        """The rows after the event with sequence `at`; after the last by default.

        Raises:
            NotFoundError: if there is no event of that sequence; 0 is before the first.
            HoleInHistoryError: if an event of the instance is missing.
        """
        if at is not None and not 0 <= at <= self.last:
            raise NotFoundError(
                f"expected an event of {self.instance_id!r} with a sequence of 0 to "
                f"{self.last}, but {at}"
            )
        rows = DictRows()
        for _ in self._fold(rows, at):
            pass
        return rows

    def _fold(self, rows: DictRows, at: int | None) -> Iterator[int]:
        """Fold up to `at`, and yield each sequence before its event is folded."""
        before = 0
        for entry in self.events:
            event = entry.event
            if event.sequence == 0:
                continue
            if before == at:
                return
            if event.sequence != before + 1:
                raise HoleInHistoryError(
                    f"expected sequence {before + 1} of {self.instance_id!r} at "
                    f"{entry.partition}@{entry.offset}, but {event.sequence}"
                )
            yield event.sequence
            rows.apply(evolve(rows, event))
            before = event.sequence

    def state(self, at: int | None = None) -> Snapshot:
        """The snapshot after the event with sequence `at`; raises as `rows`."""
        return self._snapshot(self.rows(at))

    def step(self, at: int) -> tuple[Snapshot, list[Change]]:
        """The snapshot after an event, and what that one changed; raises as `rows`.

        As `state(at)` and `diff(at - 1, at)`, by one fold.
        """
        if not 0 < at <= self.last:
            return self.state(at), []
        rows = DictRows()
        before: Snapshot | None = None
        for sequence in self._fold(rows, at):
            if sequence == at:
                before = self._snapshot(rows)
        after = self._snapshot(rows)
        return after, [] if before is None else _changes(before, after)

    def _snapshot(self, rows: DictRows) -> Snapshot:
        run = get_run(rows)
        graph = None if run is None else self.graphs.get(run.graph_digest)
        return snapshot_of(rows, status_of(rows, self.instance_id, graph))

    def diff(self, before: int, after: int | None = None) -> list[Change]:
        """What differs between two snapshots, field by field; raises as `rows`.

        Fields inside of fields are named with dots: `values.result:charge`.
        """
        return _changes(self.state(before), self.state(after))


def history(backend: Backend | str, instance_id: str) -> History:
    """Read the history of an instance from the log of a backend.

    Raises:
        NotFoundError: if there is no event of it.
        LogUnavailableError: if nothing answers.
    """
    with use_backend(backend) as opened_backend:
        return opened_backend.thread.call(
            read_history(opened_backend.session, instance_id)
        )


async def read_history(session: Session, instance_id: str) -> History:
    """As `history`, in a session."""
    await session.open()
    home = partition_of_instance(session.log, instance_id)
    events = await events_of(session.log, home, instance_id)
    if not events:
        raise NotFoundError(f"expected an instance {instance_id!r}, but there is none")
    await session.definitions.refresh()
    graphs = {graph.digest: graph for graph in session.registry.graphs()}
    return History(instance_id=instance_id, events=tuple(events), graphs=graphs)


def _changes(before: Snapshot, after: Snapshot) -> list[Change]:
    old, new = (_flat(snapshot.data()) for snapshot in (before, after))
    return [
        Change(
            field=name,
            change=_change(name, old, new),
            before=old.get(name),
            after=new.get(name),
        )
        for name in {**old, **new}
        # A result of None is there, too.
        if (name in old, old.get(name)) != (name in new, new.get(name))
    ]


def _change(
    name: str, old: Mapping[str, object], new: Mapping[str, object]
) -> Literal["added", "changed", "removed"]:
    if name not in old:
        return "added"
    return "changed" if name in new else "removed"


def _flat(fields: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            inner = cast("dict[str, object]", value)
            flat |= {f"{name}.{key}": one for key, one in inner.items()}
        else:
            flat[name] = value
    return flat
