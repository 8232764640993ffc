"""What the simple engine makes of a workflow once: its steps with their functions.

A step is a node with all that does not change from run to run: its path, its function,
and whether that must be called on an event loop.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from sayiir_es.core.authoring.compensations import takes_both
from sayiir_es.core.authoring.hints import task_hints
from sayiir_es.core.authoring.needs import takes_context
from sayiir_es.core.authoring.takers import takers_of
from sayiir_es.core.graph.graph import inner_chains, segments
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)
from sayiir_es.core.graph.paths import (
    BODY,
    DEFAULT_BRANCH,
    ON_ERROR,
    compensation_path,
    decode_segment,
    encode_segment,
    is_compensation,
    join,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.authoring.hints import TaskHints
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.authoring.takers import Taker
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep:
    """One call of a user's function; also a route's key function.

    Attributes:
        node: Its options.
        path: Its template.
        function: What is called.
        is_async: Whether it is a coroutine function.
        is_plain: Whether it may be called in the caller's thread: it is no coroutine
            function, and there is no time-out, of it or the run, at which its thread is
            left behind.
        seconds: Its time-out.
        takes_context: Whether its function is given its context by name.
        hints: What its parameters are annotated with.
        takers: The tasks that surely get its result, where they ask for a type.
        ends_loop: Whether its result ends a loop's body.
        idempotency_key: As its context has it.
        takes_both: Of a compensation: whether its function takes two arguments.
        compensation: What undoes it.
    """

    node: TaskNode
    path: str
    function: Function
    is_async: bool
    is_plain: bool
    seconds: float | None
    takes_context: bool
    hints: TaskHints
    takers: tuple[Taker, ...]
    ends_loop: bool
    idempotency_key: str
    takes_both: bool = False
    compensation: TaskStep | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayStep:
    """A pause, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalStep:
    """A wait for a signal, which cannot come."""

    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkStep:
    """Branches by the key that each has in the join's input."""

    branches: tuple[tuple[str, Steps], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStep:
    """A key function, and the branches by key."""

    node_id: str
    key: TaskStep
    branches: Mapping[str, Steps]
    default: Steps | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStep:
    """A body that is repeated."""

    node: LoopNode
    path: str
    body: Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStep:
    """Another workflow's steps, in place."""

    steps: Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChildStep:
    """Another workflow, run in place of an instance of its own.

    `workflow` is None where only its name is known.
    """

    node: StartChildNode
    path: str
    workflow: Workflow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryStep:
    """A body, and what goes on where it fails."""

    node: TryNode
    path: str
    body: Steps
    handler: Steps


Step: TypeAlias = (
    TaskStep
    | DelayStep
    | SignalStep
    | ForkStep
    | RouteStep
    | LoopStep
    | ChildStep
    | StartChildStep
    | TryStep
)
Steps: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleWorkflow:
    """All steps of a workflow.

    Attributes:
        graph: What it was made of.
        functions: The other half of that.
        steps: The outermost chain.
        has_needs: Whether a task is given values by name.
        is_async: Whether it has functions, and each is a coroutine function.
    """

    graph: Graph
    functions: Mapping[str, Function]
    steps: Steps
    has_needs: bool
    is_async: bool


def simple_workflow_of(workflow: Workflow) -> SimpleWorkflow:
    """What a workflow is made into, made at its first run and kept with it.

    Raises:
        KeyError: if the workflow lacks the function of a path.
    """
    simple = workflow.prepared
    if (
        isinstance(simple, SimpleWorkflow)
        and simple.graph is workflow.graph
        and simple.functions is workflow.functions
    ):
        return simple
    graph, functions = workflow.graph, workflow.functions
    simple = SimpleWorkflow(
        graph=graph,
        functions=functions,
        steps=_Compiler(workflow).chain(graph.chain, ""),
        has_needs=any(
            isinstance(place.node, TaskNode) and bool(place.node.needs)
            for place in graph.places.values()
        ),
        is_async=bool(functions)
        and all(map(inspect.iscoroutinefunction, functions.values())),
    )
    workflow.prepared = simple
    return simple


class _Compiler:
    """Makes the steps of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._graph = workflow.graph
        self._functions = workflow.functions
        self._children = workflow.children

    def chain(self, chain: tuple[Node, ...], prefix: str) -> Steps:
        """The steps of a chain, by its path prefix."""
        return tuple(
            self._step(node, join(prefix, segment))
            for node, segment in zip(chain, segments(chain), strict=True)
        )

    def _step(self, node: Node, path: str) -> Step:
        match node:
            case TaskNode():
                return self._task(node, path)
            case DelayNode():
                return DelayStep(seconds=node.duration_ms / 1000)
            case SignalNode():
                return SignalStep(node_id=node.id)
            case ForkNode():
                return self._fork(node, path)
            case RouteNode():
                return self._route(node, path)
            case LoopNode():
                body = self.chain(node.body, path)
                return LoopStep(node=node, path=path, body=body)
            case ChildNode():
                return ChildStep(steps=self.chain(node.chain, path))
            case StartChildNode():
                named = (w for w in self._children if w.graph.name == node.workflow)
                return StartChildStep(node=node, path=path, workflow=next(named, None))
            case TryNode():
                return TryStep(
                    node=node,
                    path=path,
                    body=self.chain(node.body, join(path, BODY)),
                    handler=self.chain(node.handler, join(path, ON_ERROR)),
                )
            case _:
                assert_never(node)

    def _task(self, node: TaskNode, path: str) -> TaskStep:
        function = self._functions[path]
        is_async = inspect.iscoroutinefunction(function)
        seconds = None if node.timeout_ms is None else node.timeout_ms / 1000
        place = self._graph.place(path)
        return TaskStep(
            node=node,
            path=path,
            function=function,
            is_async=is_async,
            is_plain=not is_async
            and seconds is None
            and self._graph.timeout_ms is None,
            seconds=seconds,
            takes_context=takes_context(function),
            hints=task_hints(function),
            takers=takers_of(self._graph, self._functions, path),
            ends_loop=place is not None and place.ends_loop,
            idempotency_key=f"{self._graph.name}/{node.id}",
            takes_both=is_compensation(path) and takes_both(function),
            compensation=(
                None
                if node.compensate is None
                else self._task(node.compensate, compensation_path(path))
            ),
        )

    def _fork(self, node: ForkNode, path: str) -> ForkStep:
        branches: list[tuple[str, Steps]] = []
        for segment, chain in inner_chains(node):
            name, mark, number = segment.rpartition("#")
            key = decode_segment(name if mark else segment) + mark + number * bool(mark)
            branches.append((key, self.chain(chain, join(path, segment))))
        return ForkStep(branches=tuple(branches))

    def _route(self, node: RouteNode, path: str) -> RouteStep:
        branches: dict[str, Steps] = {}
        for branch in node.branches:
            prefix = join(path, encode_segment(branch.name))
            branches.setdefault(branch.name, self.chain(branch.chain, prefix))
        default = node.default
        return RouteStep(
            node_id=node.id,
            key=self._task(TaskNode(id=f"{node.id}::key_fn"), path),
            branches=branches,
            default=(
                None
                if default is None
                else self.chain(default, join(path, DEFAULT_BRANCH))
            ),
        )
