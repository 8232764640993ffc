"""I12–I14: what routes, forks, loops and children record when one ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.attempts import get_due_attempt
from sayiir_es.audit.rules.catching import required_behind
from sayiir_es.audit.rules.references import check_bytes, check_reference
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import ChildNode, ForkNode, LoopNode, RouteNode
from sayiir_es.core.graph.paths import DEFAULT_BRANCH, encode_segment
from sayiir_es.core.model.events import (
    BranchCompleted,
    ChildCompleted,
    LoopIterated,
    RouteChosen,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import OpenNode, RunModel
    from sayiir_es.core.model.events import Event


def check_route_chosen(model: RunModel, event: Event) -> None:
    """The key function chose the branch that opens."""
    body = event.body
    assert isinstance(body, RouteChosen)
    open_node = get_due_attempt(model, event, body.path, 1, "I12")
    node = open_node.node
    if not isinstance(node, RouteNode):
        raise BreachError("I12", f"a route at {body.path!r}", type(node).__name__)
    names = {branch.name for branch in node.branches}
    branch: str | None = None
    if body.key in names:
        branch = encode_segment(body.key)
    elif node.default is not None:
        branch = DEFAULT_BRANCH
    if branch != body.branch:
        raise BreachError(
            "I12",
            f"key {body.key!r} to take branch {branch!r} of {body.path!r}",
            f"{body.branch!r}",
        )
    assert model.graph is not None
    first = model.graph.firsts(body.path)[body.branch]
    open_node.attempt, open_node.branch = 0, body.branch
    model.keys[body.path] = body.key
    model.may_open[f"{body.path}/{body.branch}/{first}"] = open_node.input


def check_branch_completed(model: RunModel, event: Event) -> None:
    """A branch of a fork or route ended; the last one ends its container."""
    body = event.body
    assert isinstance(body, BranchCompleted)
    open_node = model.open_nodes.get(body.path)
    if open_node is None or not isinstance(open_node.node, ForkNode | RouteNode):
        raise BreachError(
            "I13", f"a fork or route that stands at {body.path!r}", "none"
        )
    of_fork = isinstance(open_node.node, ForkNode)
    chain = f"{body.path}/{body.branch}"
    expected = model.may_close.pop(chain, None)
    if expected is None:
        raise BreachError(
            "I13" if of_fork else "I12",
            f"the end of branch {body.branch!r} of {body.path!r} before",
            "it has none, or was recorded already",
        )
    check_reference(chain, expected, body.result)
    if not of_fork:
        model.branch_results[body.path] = body.result
        model.end_node(body.path, f"routed:{body.path}")
        return
    model.branch_results[chain] = body.result
    open_node.left -= 1
    if not open_node.left:
        model.end_node(body.path, f"joined:{body.path}")


def check_loop_iterated(model: RunModel, event: Event) -> None:
    """An iteration ended: the next one opens, or the loop is over."""
    body = event.body
    assert isinstance(body, LoopIterated)
    open_node, node = _get_loop(model, body)
    chain = f"{body.path}@{body.iteration}"
    result = model.may_close.pop(chain, None)
    if result is None:
        raise BreachError("I14", f"the end of {chain!r} before", "it has none")
    expected = _outcome_of(node, body.iteration, model.marks.get(result, "none"))
    if body.outcome != expected:
        raise BreachError("I14", f"{chain!r} to end as {expected}", body.outcome)
    check_bytes(model, result, body.value, f"the value of {chain!r}")
    model.forget_iteration(chain)
    model.values.pop(f"value:{body.path}@{body.iteration - 1}", None)
    reference = f"value:{body.path}@{body.iteration}"
    model.keep(reference, body.value, body.path)
    if body.outcome == "again":
        assert model.graph is not None
        first = model.graph.firsts(body.path)[""]
        open_node.iteration += 1
        model.may_open[f"{body.path}@{open_node.iteration}/{first}"] = reference
    elif body.outcome == "exceeded":
        model.may_fail[body.path] = None
        model.required = required_behind(model, "I14", body.path, "max_iterations")
    else:
        model.end_node(body.path, reference)


def check_child_completed(model: RunModel, event: Event) -> None:
    """A child's chain ended with its result."""
    body = event.body
    assert isinstance(body, ChildCompleted)
    open_node = model.open_nodes.get(body.path)
    expected = model.may_close.pop(body.path, None)
    if (
        open_node is None
        or not isinstance(open_node.node, ChildNode)
        or expected is None
    ):
        raise BreachError("I11", f"the end of child {body.path!r} before", "none")
    check_reference(body.path, expected, body.result)
    model.end_node(body.path, body.result)


def _get_loop(model: RunModel, body: LoopIterated) -> tuple[OpenNode, LoopNode]:
    open_node = model.open_nodes.get(body.path)
    if open_node is None or not isinstance(open_node.node, LoopNode):
        raise BreachError("I14", f"a loop that stands at {body.path!r}", "none")
    if body.iteration != open_node.iteration:
        raise BreachError(
            "I14",
            f"iteration {open_node.iteration} of {body.path!r}",
            f"iteration {body.iteration}",
        )
    return open_node, open_node.node


def _outcome_of(node: LoopNode, iteration: int, mark: str) -> str:
    if mark == "none":
        return "a failure: its body has no mark"
    if mark == "done":
        return "done"
    if iteration + 1 < node.max_iterations:
        return "again"
    return "last" if node.on_max == "exit_with_last" else "exceeded"
