"""I23: which try has to catch a failure, worked out from the graph alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.run_model import RequiredEvent, end_of_failure
from sayiir_es.core.graph.nodes import TryNode

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel

BODY, HANDLER = "@body", "@on_error"

EXCEPTION = "builtins.Exception"

WORDS: dict[str, tuple[str, ...]] = {
    "timeout": ("builtins.TimeoutError", "builtins.OSError", EXCEPTION),
    "worker_lost": (EXCEPTION,),
    "too_large": (EXCEPTION,),
    "encode": (EXCEPTION,),
    "decode": (EXCEPTION,),
    "no_branch": (EXCEPTION,),
    "max_iterations": (EXCEPTION,),
    "bad_loop_result": (EXCEPTION,),
    "signal_timeout": (EXCEPTION,),
    "cancelled": (EXCEPTION,),
    "terminated": (EXCEPTION,),
    "already_exists": (EXCEPTION,),
    "unknown_workflow": (EXCEPTION,),
    "bad_child_id": (EXCEPTION,),
    "process_died": (EXCEPTION,),
    "out_of_memory": (EXCEPTION,),
    "not_importable": (EXCEPTION,),
    "queue_full": (EXCEPTION,),
}
"""The engine's own errors, each with the classes that it counts as; the contract's."""


def catcher_of(
    model: RunModel, path: str, error_type: str, bases: tuple[str, ...] = ()
) -> str | None:
    """The innermost try whose body holds the path, and that wants such an error."""
    assert model.graph is not None
    wanted = set(bases or WORDS.get(error_type, (EXCEPTION,)))
    around, marker, _ = path.rpartition(f"/{BODY}/")
    while marker:
        node = model.graph.node(around)
        if isinstance(node, TryNode):
            is_named = error_type in WORDS and error_type in node.errors
            if not node.errors or is_named or not wanted.isdisjoint(node.errors):
                return around
        around, marker, _ = around.rpartition(f"/{BODY}/")
    return None


def required_behind(
    model: RunModel,
    invariant: str,
    path: str,
    error_type: str,
    bases: tuple[str, ...] = (),
) -> RequiredEvent:
    """What has to follow the failure of a node, in the same decision."""
    around = catcher_of(model, path, error_type, bases)
    if around is None:
        return end_of_failure(model, path, invariant)
    return RequiredEvent("I23", "ErrorCaught", around)
