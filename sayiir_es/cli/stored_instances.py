"""Instances from the stores of a state directory, without asking a log.

Several slots may hold a store of the same partition; what is folded furthest counts. A
store that cannot be read is told on stderr, and the others are read all the same; at
the end the command fails.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sayiir_es.cli.output import print_message
from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.status.status import Status, status_of
from sayiir_es.engine.store.rocks.view import StoreView, stores_under
from sayiir_es.operations.text import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sayiir_es.core.model.rows import Rows


class StoredInstances:
    """The instances of the stores in a directory; a context manager.

    Its end raises `StoreError` if a store could not be read.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._unreadable: list[str] = []
        self._stack = ExitStack()
        self._views: list[StoreView] = []

    def __enter__(self) -> Self:
        self._views = self._furthest()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if error is None and self._unreadable:
            raise StoreError(
                f"expected readable stores in {str(self._state_dir)!r}, but these are "
                f"not, and instances may be missing: {', '.join(self._unreadable)}; a "
                "worker that owns their partitions replaces them"
            )

    def all(self) -> Iterator[tuple[str, Rows]]:
        """Every instance with its rows, as far as they can be read."""
        for view in self._views:
            try:
                yield from view.instances()
            except StoreError as error:
                self._tell(view.path, error)

    def status(self, instance_id: str) -> Status | None:
        """An instance, or None."""
        for view in self._views:
            try:
                rows = view.rows(instance_id)
            except StoreError as error:
                self._tell(view.path, error)
                continue
            status = status_of(rows, instance_id, None)
            if status is not None:
                return status
        return None

    def _tell(self, path: Path, error: StoreError) -> None:
        self._unreadable.append(str(path))
        print_message(str(error), "red")

    def _furthest(self) -> list[StoreView]:
        """One view a partition of each log; prints on stderr as of when it is."""
        furthest: dict[tuple[str, int], StoreView] = {}
        for view in self._readable():
            place = (view.identity.events_topic_id, view.identity.partition)
            other = furthest.get(place)
            if other is None or other.position.offset < view.position.offset:
                furthest[place] = view
        views = sorted(furthest.values(), key=lambda one: one.identity.partition)
        for view in views:
            if view.position.offset:
                print_message(
                    f"partition {view.identity.partition} as of offset "
                    f"{view.position.offset}, {format_time(view.position.at)}",
                    "dim",
                )
        return views

    def _readable(self) -> Iterator[StoreView]:
        for path in stores_under(self._state_dir):
            try:
                view = StoreView(path)
            except StoreError as error:
                self._tell(path, error)
                continue
            self._stack.enter_context(view)
            if not view.is_empty:
                yield view
