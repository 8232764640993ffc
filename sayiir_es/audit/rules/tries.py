"""I23: a failure is caught by the innermost try that wants it, and only by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.catching import BODY, HANDLER, catcher_of
from sayiir_es.audit.rules.references import check_reference
from sayiir_es.audit.rules.run_model import Caught, OpenNode
from sayiir_es.audit.rules.runs import check_failure
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import TryNode
from sayiir_es.core.model.events import ErrorCaught, TryCompleted

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event


def check_caught(model: RunModel, event: Event) -> None:
    """A failure ended a body: what stood in it is gone, and the handler may open."""
    body = event.body
    assert isinstance(body, ErrorCaught)
    open_node = _get_try(model, event, body.path)
    if model.cancel is not None:
        raise BreachError("I17", "nothing caught behind CancelRequested", event.kind)
    path, error_type = body.failed_path, body.error_type
    check_failure(model, event, path, (error_type, body.error))
    around = catcher_of(model, path, error_type, model.bases.get(path, ()))
    if around != body.path:
        raise BreachError(
            "I23", f"{error_type} of {path!r} caught at {around!r}", f"{body.path!r}"
        )
    if open_node.branch != BODY:
        raise BreachError("I23", f"one error caught at {body.path!r}", "a second one")
    model.leave(f"{body.path}/{BODY}")
    open_node.branch = HANDLER
    model.caught[body.path] = Caught(path, error_type, body.error, open_node.input)
    assert model.graph is not None
    first = model.graph.firsts(body.path)[HANDLER]
    model.may_open[f"{body.path}/{HANDLER}/{first}"] = f"caught:{body.path}"


def check_try_completed(model: RunModel, event: Event) -> None:
    """The body or the handler ended, and with it the try."""
    body = event.body
    assert isinstance(body, TryCompleted)
    open_node = _get_try(model, event, body.path)
    chain = f"{body.path}/{open_node.branch}"
    expected = model.may_close.pop(chain, None)
    if expected is None:
        raise BreachError("I23", f"the end of {chain!r} before", "it has none")
    check_reference(chain, expected, body.result)
    model.branch_results[body.path] = body.result
    model.end_node(body.path, body.result)


def _get_try(model: RunModel, event: Event, path: str) -> OpenNode:
    open_node = model.open_nodes.get(path)
    if open_node is None or not isinstance(open_node.node, TryNode):
        raise BreachError(
            "I23", f"a try that stands at {path!r}", f"none for {event.kind}"
        )
    return open_node
