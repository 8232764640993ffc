"""Instances from the stores of a state directory, without asking a log.

Several slots may hold a store of the same partition; what is folded furthest counts.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sayiir_es.cli.output import print_message
from sayiir_es.cli.text import format_time
from sayiir_es.core.status.status import Status, status_of
from sayiir_es.engine.store.rocks.view import views_under

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.store.rocks.view import StoreView


def stored_instances(state_dir: Path) -> Iterator[tuple[str, Rows]]:
    """Every instance of the stores in a directory, with its rows."""
    with ExitStack() as stack:
        for view in _furthest(state_dir, stack):
            yield from view.instances()


def stored_status(state_dir: Path, instance_id: str) -> Status | None:
    """An instance of the stores in a directory, or None."""
    with ExitStack() as stack:
        for view in _furthest(state_dir, stack):
            status = status_of(view.rows(instance_id), instance_id, None)
            if status is not None:
                return status
    return None


def _furthest(state_dir: Path, stack: ExitStack) -> list[StoreView]:
    """One view a partition of each log; prints on stderr as of when it is."""
    furthest: dict[tuple[str, int], StoreView] = {}
    for view in views_under(state_dir):
        stack.enter_context(view)
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
