"""Steps of a flow: nodes with the functions that run at and below them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, TypeAlias

from sayiir_es.core.graph.graph import segments
from sayiir_es.core.graph.paths import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.core.graph.nodes import Node

Function: TypeAlias = Callable[[Any], object] | Callable[Concatenate[Any, ...], object]
"""A user's function: one argument, a result, sync or async.

Beside the argument it may have keyword-only ones, which name what it needs. The first
form lets type checkers read a lambda.

Of any type: a user's own annotations say which, and a lambda has none.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A node; `functions` maps paths below it (empty: its own) to functions."""

    node: Node
    functions: Mapping[str, Function] = field(default_factory=dict[str, Function])


def chain_of_steps(steps: Sequence[Step]) -> tuple[Node, ...]:
    """The nodes of the steps."""
    return tuple(step.node for step in steps)


def functions_of(steps: Sequence[Step]) -> dict[str, Function]:
    """The functions of a chain of steps, by path from the chain's root."""
    functions: dict[str, Function] = {}
    for step, segment in zip(steps, segments(chain_of_steps(steps)), strict=True):
        for below, function in step.functions.items():
            functions[join(segment, below)] = function
    return functions


@dataclass(slots=True)
class Names:
    """Counts the ids that a flow makes up, such as `lambda_0` and `loop_1`."""

    counts: dict[str, int] = field(default_factory=dict[str, int])

    def next(self, kind: str) -> str:
        """The next id of that kind."""
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        return f"{kind}_{number}"

    def of(self, function: Function, name: str | None) -> str:
        """The id of a task: `name`, the decorator's id, or the function's name."""
        task_id = name or getattr(function, "_task_id", None)
        if not task_id:
            task_id = getattr(function, "__name__", None)
        if not task_id or task_id == "<lambda>":
            return self.next("lambda")
        return str(task_id)
