"""The failures of a run without a log, as a handler is told of them.

An error that ends a run carries text only. What a handler needs beside is kept with the
run until the error has passed all that could catch it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.authoring.caught_errors import class_names
from sayiir_es.core.graph.catching import catches
from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.engine.attempts.outcomes import encode_error_text

if TYPE_CHECKING:
    from sayiir_es.core.graph.nodes import TryNode

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleFailure:
    """The failure of the node `task` at `path`, its iterations included."""

    error_type: str
    error: str
    task: str
    path: str
    bases: tuple[str, ...] = ()

    def as_value(self) -> dict[str, str]:
        """What a handler is told of it."""
        begin = f"{self.error_type}: "
        return {
            "type": self.error_type,
            "message": (
                "" if self.error == self.error_type else self.error.removeprefix(begin)
            ),
            "task": self.task,
            "path": self.path,
        }


class SimpleFailures:
    """The latest failure of a run, and the loops around what runs."""

    def __init__(self) -> None:
        self.iterations: list[tuple[str, int]] = []
        """Paths of the loops around what runs, the outermost first, with iterations."""
        self._latest: tuple[Exception, SimpleFailure] | None = None

    def of_node(
        self, raised: E, error_type: str, *, task: str, path: str, error: str = ""
    ) -> E:
        """Keep why `raised` is raised: the engine's word; returns `raised`."""
        failure = SimpleFailure(
            error_type=error_type,
            error=error or str(raised),
            task=task,
            path=self.concrete(path),
        )
        self._latest = (raised, failure)
        return raised

    def of_error(self, raised: E, error: Exception, *, task: str, path: str) -> E:
        """Keep why `raised` is raised: an exception of a task; returns `raised`."""
        failure = SimpleFailure(
            error_type=_type_of(error),
            error=encode_error_text(error),
            task=task,
            path=self.concrete(path),
            bases=class_names(type(error)),
        )
        self._latest = (raised, failure)
        return raised

    def of_child(
        self, raised: E, failures: SimpleFailures, *, task: str, path: str
    ) -> E:
        """Keep why `raised` is raised: the child of a node failed; returns `raised`."""
        latest = failures._latest
        failure = None if latest is None else latest[1]
        here = SimpleFailure(
            error_type="failed" if failure is None else failure.error_type,
            error=str(raised) if failure is None else failure.error,
            task=task,
            path=self.concrete(path),
            bases=() if failure is None else failure.bases,
        )
        self._latest = (raised, here)
        return raised

    def caught_by(self, node: TryNode, raised: Exception) -> SimpleFailure | None:
        """The failure behind an error that a try catches; None if it does not."""
        if self._latest is None or self._latest[0] is not raised:
            return None
        failure = self._latest[1]
        if catches(node.errors, failure.error_type, failure.bases):
            return failure
        return None

    def concrete(self, path: str) -> str:
        """The path of a node with the iterations of the loops around it."""
        for loop, iteration in reversed(self.iterations):
            if path.startswith(f"{loop}/"):
                path = f"{loop}@{iteration}{path[len(loop) :]}"
        return path


def _type_of(error: Exception) -> str:
    if isinstance(error, EncodeError):
        return "encode"
    return "decode" if isinstance(error, DecodeError) else type(error).__name__
