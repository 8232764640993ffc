"""What a change of each option means: for what runs, what migrates, what starts."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    CommandRefusedError,
    Executor,
    Flow,
    InMemoryBackend,
    Worker,
    WorkflowClient,
    get_task_context,
    task,
)
from sayiir_es.audit import find_stranded, verify
from sayiir_es.audit.history import history
from tests.client.test_changed_workflows import saying, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es import Workflow

LIMIT_S = 10.0


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    made = InMemoryBackend()
    yield made
    made.close()


@pytest.fixture
def client(backend: InMemoryBackend) -> WorkflowClient:
    return WorkflowClient(backend)


def pay(value: object) -> object:
    return value


def paying(
    function: Callable[..., object] = pay, *, version: str | None = None, **options: Any
) -> Workflow:
    """A workflow that waits for a signal, and then runs a task with these options."""
    step: Any = task("pay", **options)(function)
    return Flow("orders", version=version).wait_for_signal("go").then(step).build()


OPTIONS: dict[str, dict[str, Any]] = {
    "execute": {"execute": "remote"},
    "heartbeat_timeout": {"heartbeat_timeout": "1m"},
    "limit": {"concurrency_key": "key", "max_concurrency": 3},
    "another limit": {"concurrency_key": "other", "max_concurrency": 3},
    "max_concurrency": {"concurrency_key": "key", "max_concurrency": 4},
    "fairness_key": {"fairness_key": "{input.tenant}"},
}
BY_CODE: dict[str, dict[str, Any]] = {
    "executor": {"executor": "process"},
    "memory": {"executor": "process", "memory": "1GB"},
}


def test_each_option_is_another_graph_of_the_same_definition() -> None:
    """All but where a process runs it, which is no part of the graph."""
    graphs = [paying(**options).graph for options in OPTIONS.values()]
    plain = paying().graph
    digests = {plain.digest, *(one.digest for one in graphs)}
    assert len(digests) == len(OPTIONS) + 1
    assert {one.definition_hash for one in graphs} == {plain.definition_hash}
    for options in BY_CODE.values():
        assert paying(**options).graph.digest == plain.digest


@pytest.mark.parametrize("changed", OPTIONS)
def test_what_waits_keeps_its_options_and_migrates_to_others(
    backend: InMemoryBackend, client: WorkflowClient, changed: str
) -> None:
    before, after = paying(), paying(**OPTIONS[changed])
    with Worker("old", backend).start([before]):
        for name in ("stays", "migrates"):
            client.submit(before, name, 1)
    assert find_stranded(backend, [after]).nodes == ()
    with (
        Worker("new", backend).start([after]),
        Executor("e", backend).start([after]),
    ):
        client.migrate("migrates", to="latest")
        ran = {}
        for name in ("stays", "migrates"):
            client.send_signal(name, "go", {"tenant": "t"})
            assert client.wait(name, LIMIT_S).output == {"tenant": "t"}
            kinds = [one.event.kind for one in history(backend, name).events]
            ran[name] = "AttemptPublished" in kinds, "PermitTaken" in kinds
    assert ran["stays"] == (False, False)
    assert ran["migrates"] == (
        changed == "execute",
        "limit" in changed or changed == "max_concurrency",
    )
    assert verify(backend).holds


class Holding:
    """A task that begins, and ends when it may."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = threading.Event()

    def __call__(self, value: object) -> object:
        """The task."""
        self.begun.append(get_task_context().instance_id)
        assert self.may_end.wait(LIMIT_S)
        return value


def waits_for_permit(client: WorkflowClient, name: str) -> bool:
    return "waits for a permit" in client.status(name).waiting_for


def limited(
    function: Callable[..., object],
    key: str,
    limit: int = 1,
    version: str | None = None,
) -> Workflow:
    return paying(function, version=version, concurrency_key=key, max_concurrency=limit)


def test_a_limit_changes_only_where_no_permit_is_asked_for(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    """Else an attempt would begin with the permit of one limit under another."""
    holding = Holding()
    old = limited(holding, "a")
    new = limited(holding, "b", version="2")
    free = paying(holding, version="3")
    with Worker("w", backend).start([old, new, free]):
        for name in ("x", "y", "z"):
            client.submit(old, name, 1)
            client.send_signal(name, "go", 1)
            until(lambda: bool(holding.begun))
        for name in ("y", "z"):
            until(partial(waits_for_permit, client, name))
        for name in ("x", "y"):
            with pytest.raises(CommandRefusedError, match="pause it first") as caught:
                client.migrate(name, to=new)
            assert "expected the concurrency_key 'a' at 'pay'" in str(caught.value)
        client.pause("y")
        client.migrate("y", to=new)
        client.unpause("y")
        client.migrate("z", to=free)
        until(lambda: sorted(holding.begun) == ["x", "y", "z"])
        holding.may_end.set()
        for name in ("x", "y", "z"):
            assert client.wait(name, LIMIT_S).status == "completed"
        client.submit(old, "last", 1)
        client.send_signal("last", "go", 1)
        assert client.wait("last", LIMIT_S).status == "completed", "all came back"
    assert verify(backend).holds


def test_a_larger_limit_holds_behind_what_waits_already(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    holding = Holding()
    old, new = limited(holding, "a"), limited(holding, "a", 2, version="2")

    def start(workflow: Workflow, name: str) -> None:
        client.submit(workflow, name, 1)
        client.send_signal(name, "go", 1)

    with Worker("w", backend).start([old, new]):
        start(old, "x")
        until(lambda: holding.begun == ["x"])
        start(old, "y")
        until(lambda: waits_for_permit(client, "y"))
        client.migrate("y", to=new)
        assert waits_for_permit(client, "y")
        holding.may_end.set()
        for name in ("x", "y"):
            assert client.wait(name, LIMIT_S).status == "completed"
        holding.may_end.clear()
        for name in ("p", "q", "r"):
            start(new, name)
        until(lambda: len(holding.begun) == 4)
        until(lambda: client.count(waiting_for="task:pay") == 3)
        assert len(holding.begun) == 4, "two at a time"
        holding.may_end.set()
        for name in ("p", "q", "r"):
            assert client.wait(name, LIMIT_S).status == "completed"
    assert verify(backend).holds


def test_what_nobody_runs_elsewhere_migrates_to_a_limit_here(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    holding = Holding()
    old = paying(holding, execute="remote")
    new = limited(holding, "a", version="2")
    with Worker("w", backend).start([old, new]):
        client.submit(new, "x", 1)
        client.send_signal("x", "go", 1)
        until(lambda: holding.begun == ["x"])
        client.submit(old, "i", 1)
        client.send_signal("i", "go", 1)
        until(lambda: client.count(waiting_for="executor:pay") == 1)
        client.migrate("i", to=new)
        until(lambda: waits_for_permit(client, "i"))
        holding.may_end.set()
        assert client.wait("i", LIMIT_S).status == "completed"
        assert holding.begun == ["x", "i"]
    assert verify(backend).holds


def test_what_runs_elsewhere_goes_on_where_it_is(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    holding = Holding()
    old = paying(holding, execute="remote")
    new = paying(holding, version="2")
    beating = paying(holding, execute="remote", heartbeat_timeout="1m", version="3")
    flows = [old, new, beating]
    with Worker("w", backend).start(flows), Executor("e", backend).start(flows):
        client.submit(old, "i", 1)
        client.send_signal("i", "go", 1)
        until(lambda: holding.begun == ["i"])
        with pytest.raises(CommandRefusedError, match="no heartbeat_timeout and would"):
            client.migrate("i", to=beating)
        client.migrate("i", to=new)
        holding.may_end.set()
        assert client.wait("i", LIMIT_S).output == 1
    assert holding.begun == ["i"]
    assert verify(backend).holds


def parent(version: str | None = None, **options: Any) -> Workflow:
    child = Flow("child").wait_for_signal("go").then(saying("done"), name="say").build()
    flow = Flow("parent", version=version).start_child(child, id="c", **options)
    return flow.then(pay).build()


@pytest.mark.parametrize(
    ("before", "after", "child_ends"),
    [
        ({"on_parent_end": "leave"}, {"on_parent_end": "cancel"}, False),
        ({"on_parent_end": "cancel"}, {"on_parent_end": "leave"}, True),
    ],
)
def test_an_open_child_keeps_what_it_was_started_with(
    backend: InMemoryBackend,
    client: WorkflowClient,
    before: dict[str, Any],
    after: dict[str, Any],
    child_ends: bool,  # noqa: FBT001 (one of the cases)
) -> None:
    old, new = parent(**before), parent("2", **after)
    assert old.graph.definition_hash != new.graph.definition_hash
    with Worker("w", backend).start([old, new]):
        client.submit(old, "p", 1)
        until(lambda: client.count(workflow="child", waiting_for="signal:go") == 1)
        client.migrate("p", to=new)
        client.cancel("p")
        assert client.wait("p", LIMIT_S).status == "cancelled"
        if child_ends:
            assert client.wait("c", LIMIT_S).status == "cancelled"
        else:
            client.send_signal("c", "go", None)
            assert client.wait("c", LIMIT_S).output == "done"
    assert verify(backend).holds


def test_a_start_that_waits_no_more_is_waited_for_where_it_has_begun(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    old, new = parent(wait=True), parent("2", wait=False)
    with Worker("w", backend).start([old, new]):
        client.submit(old, "p", 1)
        until(lambda: client.count(workflow="child", waiting_for="signal:go") == 1)
        client.migrate("p", to=new)
        assert client.status("p").status != "completed"
        client.send_signal("c", "go", None)
        assert client.wait("p", LIMIT_S).output == "done"
    assert verify(backend).holds
