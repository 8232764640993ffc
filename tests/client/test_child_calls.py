"""Children in calls of one process: without a log, owning one, and in scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    TaskError,
    run_durable_workflow,
    run_workflow,
)
from sayiir_es.client.backends.embedded import EmbeddedBackend
from sayiir_es.testing import given

if TYPE_CHECKING:
    from pathlib import Path


def double(value: int) -> int:
    return value * 2


def fails(value: object) -> None:
    raise LookupError(f"not {value}")


def told(caught: dict[str, dict[str, str]]) -> str:
    return f"{caught['error']['type']} at {caught['error']['path']}"


def named(value: object, *, start_child: object) -> object:
    return [value, start_child]


CHILD = Flow[int]("child").then(double).delay("nap", 0.01).build()
FAILING = Flow("failing").then(fails).build()
PARENT = Flow[int]("parent").start_child(CHILD).start_child(CHILD).build()
ASIDE = Flow("aside").start_child(CHILD, wait=False, id="{path}!").then(named).build()
CAUGHT = (
    Flow("caught")
    .attempt(Flow("in").start_child(FAILING))
    .on_error(told, errors=LookupError)
    .build()
)


def test_the_simple_engine_runs_a_child_in_place() -> None:
    assert run_workflow(PARENT, 3) == 12
    assert run_workflow(ASIDE, 3) == ["start_child!", "start_child!"]
    assert run_workflow(CAUGHT, 3) == "LookupError at attempt_0/@body/start_failing"


def test_the_simple_engine_fails_where_only_the_name_of_a_child_is_known() -> None:
    with pytest.raises(TaskError, match="give start_child the workflow"):
        run_workflow(Flow("w").start_child("somewhere").build(), 1)


def test_the_simple_engine_goes_on_where_it_does_not_wait_for_what_fails() -> None:
    flow = Flow("w").start_child(FAILING, wait=False, id="kid").build()
    assert run_workflow(flow, 1) == "kid"


def test_a_call_that_owns_the_log_runs_the_children_of_its_instance() -> None:
    backend = InMemoryBackend()
    status = run_durable_workflow(PARENT, "i", 3, backend=backend)
    assert (status.status, status.output) == ("completed", 12)
    status = run_durable_workflow(CAUGHT, "c", 3, backend=backend)
    assert status.output == "LookupError at attempt_0/@body/start_failing"


def test_a_call_on_a_file_runs_the_children_of_its_instance(tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "app.db")
    status = run_durable_workflow(PARENT, "i", 3, backend=backend)
    assert (status.status, status.output) == ("completed", 12)


def test_a_scenario_runs_children_through_crashes() -> None:
    assert given(PARENT, 3).result.output == 12
    assert given(PARENT, 3).survives_crashes() > 5
