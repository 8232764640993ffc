"""Which try catches a failure: the innermost one around it that wants such an error.

An error is wanted by the name of its class or of one that it inherits from, module
included, or by the word that the engine has for it. A time-out of an attempt is a
`TimeoutError`, too, and whatever the engine has a word for is an `Exception`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import TryNode
from sayiir_es.core.graph.paths import BODY

if TYPE_CHECKING:
    from collections.abc import Collection

    from sayiir_es.core.graph.graph import Graph

ENGINE_ERRORS = (
    "timeout",
    "worker_lost",
    "too_large",
    "encode",
    "decode",
    "no_branch",
    "max_iterations",
    "bad_loop_result",
    "signal_timeout",
    "cancelled",
    "terminated",
    "already_exists",
    "unknown_workflow",
    "bad_child_id",
    "process_died",
    "out_of_memory",
    "not_importable",
    "queue_full",
)
"""The words that the engine has for errors, as `error_type` of a failure says them."""

_EXCEPTION = "builtins.Exception"
_TIMEOUT = ("builtins.TimeoutError", "builtins.OSError", _EXCEPTION)


def catching_try(
    graph: Graph, path: str, error_type: str, bases: Collection[str]
) -> str | None:
    """The path of the try that catches a failure at `path`; None if none does.

    `bases` are the names of the error's class and those it inherits from; none where
    no exception was raised.
    """
    segments = path.split("/")
    for number in range(len(segments) - 1, 0, -1):
        if segments[number] != BODY:
            continue
        around = "/".join(segments[:number])
        place = graph.place(around)
        node = place.node if place is not None else None
        if isinstance(node, TryNode) and catches(node.errors, error_type, bases):
            return around
    return None


def catches(errors: tuple[str, ...], error_type: str, bases: Collection[str]) -> bool:
    """Whether a try that wants these errors, all if none are named, catches one."""
    if not errors:
        return True
    names = set(bases)
    if error_type in ENGINE_ERRORS:
        names.add(error_type)
    if not bases:
        names.update(_TIMEOUT if error_type == "timeout" else (_EXCEPTION,))
    return not names.isdisjoint(errors)
