"""What the checker knows of a run that undoes what it did.

Theory of operation. `to_undo` are the completed tasks that can be undone, in the order
of their completion. What may be undone next is asked of the *levels* of a path: the
chain of each container around it, a loop being a chain of iterations. In a chain one
node follows another, so the last task of it that is still to be undone stands in the
way of all that are in other nodes; between the branches of a fork none stands in the
way. Each level keeps its tasks in a list of its own, whose end is looked at alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Why: TypeAlias = tuple[str, str]
"""Error type and error of a failure."""

_ITERATION = re.compile(r"(?<=.)@[0-9]+$")


class UndoModel:
    """The compensations of one run."""

    __slots__ = (
        "_is_fork",
        "_levels",
        "completed",
        "failed_at",
        "interrupted_at",
        "may_end",
        "open",
        "reason",
        "to_undo",
        "undone",
        "why",
    )

    def __init__(self, is_fork: Callable[[str], bool]) -> None:
        self.completed: dict[str, int] = {}
        """By path, the sequence of the event that completed it."""
        self.to_undo: dict[str, None] = {}
        self.undone: dict[str, bool] = {}
        """Whether a task is undone, or could not be."""
        self.open: set[str] = set()
        """Tasks whose compensation has opened and not ended."""
        self.may_end: dict[str, bool] = {}
        """Tasks whose compensation has an outcome, which is to be recorded next."""
        self.failed_at: str | None = None
        """Where the run has failed that waits for what runs, or is undone."""
        self.why: Why | None = None
        self.reason: Literal["", "failed", "cancelled"] = ""
        """Why what was done is being undone; empty as long as it is not."""
        self.interrupted_at: tuple[str, ...] = ()
        self._is_fork = is_fork
        self._levels: dict[str, list[str]] = {}

    def add(self, path: str, sequence: int) -> None:
        """A task was completed that can be undone."""
        self.completed[path] = sequence
        self.to_undo[path] = None
        for level, _ in self._levels_of(path):
            self._levels.setdefault(level, []).append(path)

    def in_the_way(self, path: str) -> str | None:
        """A task that is to be undone before that one; None if it may be now."""
        for level, node in self._levels_of(path):
            tasks = self._levels.get(level, [])
            while tasks and tasks[-1] not in self.to_undo:
                tasks.pop()
            last = tasks[-1] if tasks else path
            if last != path and not _is_inside(last, node):
                return last
        return None

    def end(self, path: str, *, undone: bool) -> None:
        """It is undone, or could not be."""
        self.to_undo.pop(path, None)
        self.open.discard(path)
        self.undone[path] = undone

    def try_again(self) -> None:
        """What could not be undone is to be undone after all."""
        again = self.listed(undone=False)
        self._levels = {}
        for path in reversed(again):
            del self.undone[path]
            self.add(path, self.completed[path])

    def move(self, path: Callable[[str], str]) -> None:
        """The run goes on with another graph, in which the tasks have other paths."""
        if self.failed_at is not None:
            self.failed_at = path(self.failed_at)
        left = [path(one) for one in self.to_undo]
        self.undone = {path(one): so for one, so in self.undone.items()}
        self.completed = {path(one): at for one, at in self.completed.items()}
        self.to_undo, self._levels = {}, {}
        for one in left:
            self.add(one, self.completed[one])

    def listed(self, *, undone: bool) -> list[str]:
        """What is undone, or could not be; the one that completed last first."""
        outcomes = self.undone.items()
        return self._last_first(path for path, so in outcomes if so is undone)

    def left(self) -> list[str]:
        """What is still to be undone; the one that completed last first."""
        return self._last_first(self.to_undo)

    def _last_first(self, paths: Iterable[str]) -> list[str]:
        return sorted(paths, key=self.completed.__getitem__, reverse=True)

    def _levels_of(self, path: str) -> Iterator[tuple[str, str]]:
        """The levels around a path, each with what of it the path is in."""
        level = ""
        for segment in path.split("/"):
            node = f"{level}/{segment}" if level else segment
            iteration = _ITERATION.search(segment)
            if iteration is not None:
                loop = node[: -len(iteration.group())]
                yield level, loop
                yield f"{loop}@", node
            elif not self._is_fork(level):
                yield level, node
            level = node


def _is_inside(path: str, node: str) -> bool:
    """Whether a path is that node's or is inside it, in any of its iterations."""
    return path == node or path.startswith((f"{node}/", f"{node}@"))
