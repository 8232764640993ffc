"""Attempts with handlers: how they are built, and which errors they name."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.caught_errors import (
    BASES_MAX,
    caught_names,
    class_name,
    class_names,
)
from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.graph.nodes import TaskNode, TryNode
from sayiir_es.core.graph.record import canonical_graph, graph_from_json

if TYPE_CHECKING:
    from sayiir_es.core.authoring.workflow import Workflow


def charge(order: object) -> object:
    return order


def refund(problem: object) -> object:
    return problem


def ship(order: object, *, pay: object) -> object:
    return order, pay


class DeclinedError(LookupError):
    """An error of a user."""


def test_a_body_and_a_handler_become_one_node() -> None:
    flow = Flow("w").attempt(charge, charge).on_error(refund, errors=DeclinedError)
    workflow = flow.build()
    [node] = workflow.graph.chain
    assert node == TryNode(
        id="attempt_0",
        body=(TaskNode(id="charge"), TaskNode(id="charge")),
        handler=(TaskNode(id="refund"),),
        errors=(f"{__name__}.DeclinedError",),
    )
    assert dict(workflow.functions) == {
        "attempt_0/@body/charge": charge,
        "attempt_0/@body/charge#2": charge,
        "attempt_0/@on_error/refund": refund,
    }
    assert graph_from_json(canonical_graph(workflow.graph)) == workflow.graph
    kinds = [
        (info.id, info.kind, info.predecessor_id) for info in workflow.iter_nodes()
    ]
    assert kinds[0] == ("attempt_0", "try", None)
    assert kinds[-1] == ("refund", "task", "attempt_0")


def test_body_and_handler_may_be_flows_and_names_are_counted() -> None:
    inner = Flow().then(charge).delay("nap", 1)
    flow = Flow("w").attempt(inner).on_error(Flow().delay("rest", 1).then(refund))
    flow = flow.attempt(charge, name="again").on_error(refund, name="mend")
    assert list(flow.build().graph.places) == [
        "attempt_0",
        "attempt_0/@body/charge",
        "attempt_0/@body/nap",
        "attempt_0/@on_error/rest",
        "attempt_0/@on_error/refund",
        "again",
        "again/@body/charge",
        "again/@on_error/mend",
    ]


def test_the_errors_are_of_the_digest_and_not_of_the_hash() -> None:
    def built(errors: type[Exception] | tuple[()]) -> Workflow:
        return Flow("w").attempt(charge).on_error(refund, errors=errors).build()

    assert built(()).definition_hash == built(KeyError).definition_hash
    assert built(()).graph.digest != built(KeyError).graph.digest


def test_what_stands_in_an_attempt_is_named_as_a_whole() -> None:
    flow = Flow("w").attempt(charge, name="pay").on_error(refund).then(ship)
    ship_node = flow.build().graph.chain[1]
    assert isinstance(ship_node, TaskNode)
    assert [(need.name, need.path) for need in ship_node.needs] == [("pay", "pay")]

    def need(problem: object, *, charge: object) -> object:
        return problem, charge

    for wrong in (
        Flow("w").attempt(charge).on_error(need),
        Flow("w").attempt(charge).on_error(refund).then(need),
    ):
        with pytest.raises(ValueError, match="name what surely ran before it"):
            wrong.build()


def test_an_attempt_without_on_error_is_reported_at_build() -> None:
    flow = Flow("w").then(charge)
    flow.attempt(refund)
    text = r"expected on_error\(…\) behind attempt\(…\) of 'refund', but none"
    with pytest.raises(ValueError, match=text):
        flow.build()
    with pytest.raises(ValueError, match=text):
        Flow("outer").attempt(flow).on_error(refund).build()


def test_what_is_empty_or_no_error_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attempt\(\) requires at least one"):
        Flow().attempt()
    with pytest.raises(ValueError, match=r"on_error\(\) requires at least one"):
        Flow().attempt(charge).on_error(Flow())
    with pytest.raises(ValueError, match=r"one of timeout, worker_lost.*but 'late'"):
        Flow().attempt(charge).on_error(refund, errors=("timeout", "late"))
    with pytest.raises(TypeError, match="expected exception classes for errors, but 3"):
        Flow().attempt(charge).on_error(refund, errors=(3,))  # type: ignore[arg-type]


def test_a_flow_with_a_time_out_is_refused_inside_another() -> None:
    timed = Flow("timed", timeout="2d").then(charge)
    text = "expected no timeout of a flow inside another.*172800000 ms"
    for flow in (
        Flow().attempt(timed).on_error(refund),
        Flow().attempt(charge).on_error(timed),
        Flow().then_flow(timed.build()),
        Flow().loop(timed),
    ):
        with pytest.raises(ValueError, match=text):
            flow.build()


# --- names ----------------------------------------------------------------------------


def test_base_exception_names_all() -> None:
    assert caught_names((KeyError, BaseException)) == ()
    assert caught_names((KeyError, "timeout", KeyError)) == (
        "builtins.KeyError",
        "timeout",
    )


def test_an_error_has_the_names_of_all_its_classes() -> None:
    assert class_names(DeclinedError) == (
        f"{__name__}.DeclinedError",
        "builtins.LookupError",
        "builtins.Exception",
    )
    assert class_names(asyncio.CancelledError) == ("asyncio.exceptions.CancelledError",)


def test_of_many_classes_the_nearest_are_kept_and_what_all_have_in_common() -> None:
    error: type[Exception] = Exception
    for number in range(30):
        deeper = type(f"E{number}", (error,), {})
        assert issubclass(deeper, Exception)
        error = deeper
    names = class_names(error)
    assert len(names) == BASES_MAX
    assert names[0].endswith(".E29")
    assert names[-1] == "builtins.Exception"


def test_a_class_of_the_started_program_is_named_as_others_import_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = ModuleType("__main__")
    started.__file__ = "/somewhere/shop.py"
    monkeypatch.setitem(sys.modules, "__main__", started)
    kind = type("Odd", (Exception,), {"__module__": "__main__"})
    assert class_name(kind) == "shop.Odd"
