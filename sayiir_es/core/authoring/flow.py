"""`Flow` and its builders of branches: a workflow's graph from functions, by steps.

A flow collects steps: nodes of the graph with the functions that run at them, each
under its path below the step. `build` checks the whole, reports everything that is
wrong at once, and gives a `Workflow`. A flow may go on being extended and built again.
`fork` and `route` give a builder of branches; its `join` or `done` gives the flow back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from sayiir_es.core.authoring.caught_errors import CaughtErrors, caught_names
from sayiir_es.core.authoring.compensations import wrong_compensation
from sayiir_es.core.authoring.needs import with_needs
from sayiir_es.core.authoring.node_limits import check_paths, wrong_nodes, wrong_size
from sayiir_es.core.authoring.start_queues import start_queue_of, wrong_in
from sayiir_es.core.authoring.step_nodes import (
    loop_node,
    on_max_name,
    signal_node,
    start_child_node,
)
from sayiir_es.core.authoring.steps import (
    Function,
    Names,
    Step,
    chain_of_steps,
    functions_of,
)
from sayiir_es.core.authoring.tasks import metadata_of
from sayiir_es.core.authoring.typed import (
    AsyncTask,
    Fields,
    In,
    LoopOptions,
    Out,
    Record,
    Result,
    SyncTask,
)
from sayiir_es.core.authoring.workflow import Workflow as Workflow  # noqa: PLC0414 (its home)
from sayiir_es.core.duration import Duration, duration_ms, long_duration_ms
from sayiir_es.core.graph.child_ids import DEFAULT_CHILD_ID
from sayiir_es.core.graph.graph import Graph, first_id
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    DelayNode,
    ForkNode,
    Node,
    OnTimeout,
    RouteNode,
    TryNode,
)
from sayiir_es.core.graph.paths import (
    BODY,
    COMPENSATION,
    DEFAULT_BRANCH,
    ON_ERROR,
    encode_segment,
    join,
    occurrence,
)
from sayiir_es.core.graph.versions import checked_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from sayiir_es.core.authoring.loop_result import LoopResult, OnMax
    from sayiir_es.core.authoring.start_queues import StartQueueOptions
    from sayiir_es.core.model.child_records import OnParentEnd

EMPTY_BRANCH = "branch() requires at least one task function"
EMPTY_ROUTE = "Branch must have at least one step"


class Flow(Generic[In, Out]):
    """A workflow that is being built.

    `Flow[Order]("orders")` says what the workflow takes, so that type checkers see
    whether its steps fit; without it the first step may take anything.

    Args:
        name: The workflow's name; clients start it by this.
        version: Several versions of one name live at once, each with its own code; a
            start that names none takes the greatest one.
        metadata: A JSON-able mapping that tasks can read in their context.
        timeout: How long a run may take before it fails: seconds, "30s", "2d", or a
            timedelta. A retry of it has as long again.
        start_queue: How many runs go on at a time: see `StartQueueOptions`.

    Raises:
        ValueError: if the time-out, or what is said of the queue, is out of range.
    """

    def __init__(
        self,
        name: str = "workflow",
        *,
        version: str | None = None,
        metadata: Mapping[str, object] | None = None,
        timeout: Duration | None = None,
        **start_queue: Unpack[StartQueueOptions],
    ) -> None:
        self.name = name
        self.version = checked_version(version)
        self.names = Names()
        self.steps: list[Step] = []
        self._metadata: dict[str, object] | None = None
        self._metadata_json: str | None = None
        self._wrong: list[str] = []
        self.unhandled: list[tuple[Node, ...]] = []
        """Bodies of attempts that no `on_error` has ended yet."""
        self.children: list[Workflow[Any, Any]] = []
        """What it starts as instances of their own."""
        self.timeout_ms = (
            None if timeout is None else long_duration_ms(timeout, what="timeout")
        )
        self.start_queue = start_queue_of(name, **start_queue)
        if metadata is not None:
            self.set_metadata(metadata)

    @overload
    def then(
        self, task_func: AsyncTask[Out, Result], *, name: str | None = None
    ) -> Flow[In, Result]: ...
    @overload
    def then(
        self, task_func: SyncTask[Out, Result], *, name: str | None = None
    ) -> Flow[In, Result]: ...
    @overload
    def then(
        self: Flow[In, Fields],
        task_func: AsyncTask[Record, Result],
        *,
        name: str | None = None,
    ) -> Flow[In, Result]: ...
    @overload
    def then(
        self: Flow[In, Fields],
        task_func: SyncTask[Record, Result],
        *,
        name: str | None = None,
    ) -> Flow[In, Result]: ...
    def then(self, task_func: Function, *, name: str | None = None) -> Flow[In, Any]:
        """Run a function on what flows in; its result flows on."""
        self.steps.append(self.task_step(task_func, name))
        return self._now()

    def delay(self, name: str, duration: Duration) -> Flow[In, Out]:
        """Sleep, durably: nothing runs, nothing is held. The value passes through.

        Raises:
            ValueError: if the duration (seconds, "30s", timedelta) is negative.
        """
        length = duration_ms(duration, what="delay duration")
        self.steps.append(Step(node=DelayNode(id=name, duration_ms=length)))
        return self

    def wait_for_signal(
        self,
        signal_name: str,
        *,
        name: str | None = None,
        timeout: Duration | None = None,
        on_timeout: OnTimeout = "null",
        keep_input: bool = False,
    ) -> Flow[In, Any]:
        """Wait for a signal; its payload flows on instead of what flowed in.

        Args:
            signal_name: What senders call it.
            name: The node's id; the signal's name when left out.
            timeout: How long to wait: seconds, "30s", or a timedelta.
            on_timeout: `null` goes on with None, `fail` fails the workflow.
            keep_input: What flowed in flows on; tasks behind the wait get the payload
                by a keyword-only parameter of the node's id.

        Raises:
            ValueError: if an option is out of its range.
        """
        node = signal_node(signal_name, name, timeout, on_timeout, keep=keep_input)
        self.steps.append(Step(node=node))
        return self._now()

    def fork(self) -> ForkBuilder[In, Out]:
        """Run branches side by side; end it with `.join(task_func)`."""
        return ForkBuilder(self)

    def route(
        self, key_fn: SyncTask[Out, object], *, keys: Sequence[str]
    ) -> BranchBuilder[In, Out]:
        """Run the one branch whose key `key_fn` returns; end it with `.done()`."""
        return BranchBuilder(self, key_fn, keys=list(keys))

    def attempt(
        self, *task_funcs: Function | Flow[Any, Any], name: str | None = None
    ) -> AttemptBuilder[In, Out]:
        """Run functions, or a flow's nodes; end it with `.on_error(handler)`.

        `name` is the node's id, by which steps behind it get what flowed on.

        Raises:
            ValueError: if there is nothing in it.
        """
        return AttemptBuilder(self, task_funcs, name)

    @overload
    def loop(
        self, task_func: Flow[Out, Any], **options: Unpack[LoopOptions]
    ) -> Flow[In, Any]: ...
    @overload
    def loop(
        self,
        task_func: AsyncTask[Out, LoopResult[Result]],
        **options: Unpack[LoopOptions],
    ) -> Flow[In, Result]: ...
    @overload
    def loop(
        self,
        task_func: SyncTask[Out, LoopResult[Result]],
        **options: Unpack[LoopOptions],
    ) -> Flow[In, Result]: ...
    @overload
    def loop(
        self: Flow[In, Fields],
        task_func: SyncTask[Record, LoopResult[Result]],
        **options: Unpack[LoopOptions],
    ) -> Flow[In, Result]: ...
    def loop(
        self,
        task_func: Function | Flow[Any, Any],
        *,
        max_iterations: int = 10,
        on_max: str | OnMax = "fail",
        name: str | None = None,
    ) -> Flow[In, Any]:
        """Run a body until it returns `LoopResult.done(value)`.

        Raises:
            ValueError: if `on_max` is neither `fail` nor `exit_with_last`, or there is
                no iteration.
        """
        policy = on_max_name(on_max)
        body = self.inner_steps([task_func], name)
        node = loop_node(
            self.names.next("loop"), chain_of_steps(body), max_iterations, policy
        )
        self.steps.append(Step(node=node, functions=functions_of(body)))
        return self._now()

    def then_flow(self, child_workflow: Workflow[Out, Result]) -> Flow[In, Result]:
        """Run another workflow's chain in place, under paths of its own."""
        self.refuse_inside(child_workflow.graph)
        graph, child_id = child_workflow.graph, self.names.next("child")
        node = ChildNode(id=child_id, workflow=graph.name, chain=graph.chain)
        self.steps.append(Step(node=node, functions=dict(child_workflow.functions)))
        self.children += child_workflow.children
        return self._now()

    def start_child(
        self,
        workflow: Workflow[Out, Any] | str,
        *,
        name: str | None = None,
        id: str = DEFAULT_CHILD_ID,  # noqa: A002 (as people name it)
        wait: bool = True,
        on_parent_end: OnParentEnd = "cancel",
    ) -> Flow[In, Any]:
        """Start another workflow as an instance of its own, with what flows in.

        Its output flows on, or with `wait=False`, at once, its instance id. That is
        `id` with `{instance_id}`, `{path}` and `{iteration}` of the node filled in, at
        most 256 bytes. When this run ends first, the child is cancelled, or left
        running. `name` is the node's id.

        Raises:
            TypeError: if the workflow is something else.
            ValueError: if an option is out of its range.
        """
        node = start_child_node(
            workflow, name=name, child_id=id, waits=wait, on_parent_end=on_parent_end
        )
        if isinstance(workflow, Workflow):
            self.children.append(workflow)
        self.steps.append(Step(node=node))
        return self._now()

    def build(self) -> Workflow[In, Out]:
        """Check the whole and give the workflow.

        Raises:
            ValueError: if anything is wrong with it; all of it is reported at once.
        """
        wrong = self.wrong
        if not self.steps:
            wrong.append("Workflow must have at least one task")
        functions = functions_of(self.steps)
        chain, unknown = with_needs(chain_of_steps(self.steps), functions)
        wrong += wrong_nodes(chain)
        wrong += unknown
        wrong += wrong_size(chain)
        if wrong:
            raise ValueError("\n".join(wrong))
        graph = Graph(
            name=self.name,
            chain=chain,
            metadata=self._metadata_json,
            version=self.version,
            timeout_ms=self.timeout_ms,
            start_queue=self.start_queue,
        )
        check_paths(graph)
        children, metadata = tuple(self.children), self._metadata
        return Workflow(
            graph=graph, functions=functions, metadata=metadata, children=children
        )

    # --- for the builders of branches -------------------------------------------------

    def set_metadata(self, metadata: Mapping[str, object]) -> None:
        """What tasks can read of the workflow in their context, as JSON has it."""
        text = json.dumps(dict(metadata), allow_nan=False)
        self._metadata, self._metadata_json = json.loads(text), text

    def task_step(self, function: Function, name: str | None) -> Step:
        """A step that runs a function.

        Raises:
            TypeError: if it is not callable.
        """
        if not callable(function):
            raise TypeError(
                f"expected a function, but {type(function).__name__}: {function!r}"
            )
        metadata, task_id = metadata_of(function), self.names.of(function, name)
        functions: dict[str, Function] = {"": function}
        if metadata.compensate is not None:
            self._wrong += wrong_compensation(task_id, metadata.compensate)
            functions[COMPENSATION] = metadata.compensate
        return Step(node=metadata.to_node(task_id), functions=functions)

    def inner_steps(
        self, parts: Sequence[Function | Flow[Any, Any]], name: str | None
    ) -> list[Step]:
        """The steps of a branch or body: functions, or the steps of other flows.

        `name` renames the first function; a flow keeps its nodes' names.
        """
        steps: list[Step] = []
        for part in parts:
            if isinstance(part, Flow):
                self._wrong += wrong_in(part.name, part.timeout_ms, part.start_queue)
                self._wrong += part.wrong
                self.children += part.children
                steps += part.steps
            else:
                steps.append(self.task_step(part, name if not steps else None))
        return steps

    def refuse_inside(self, graph: Graph) -> None:
        """Have `build` report what a workflow inside has that is of whole runs."""
        self._wrong += wrong_in(graph.name, graph.timeout_ms, graph.start_queue)

    def refuse(self, text: str) -> None:
        """Remember what `build` must report."""
        self._wrong.append(text)

    @property
    def wrong(self) -> list[str]:
        """What is wrong with the steps so far."""
        return self._wrong + [
            f"expected on_error(…) behind attempt(…) of {first_id(chain)!r}, but none"
            for chain in self.unhandled
        ]

    def _now(self) -> Flow[In, Any]:
        """Itself, out of which something else flows now."""
        return cast("Flow[In, Any]", self)


class ForkBuilder(Generic[In, Out]):
    """Branches that run side by side; `join` gives the flow back."""

    def __init__(self, flow: Flow[In, Out]) -> None:
        self._flow = flow
        self._branches: list[Branch] = []
        self._functions: dict[str, Function] = {}
        self._seen: dict[str, int] = {}

    @overload
    def branch(
        self, task_func: SyncTask[Out, object] | Flow[Out, Any], /, *, name: str = ...
    ) -> ForkBuilder[In, Out]: ...
    @overload
    def branch(
        self,
        first: SyncTask[Out, object] | Flow[Out, Any],
        second: Function | Flow[Any, Any],
        /,
        *others: Function | Flow[Any, Any],
        name: str | None = None,
    ) -> ForkBuilder[In, Out]: ...
    def branch(
        self, *task_funcs: Function | Flow[Any, Any], name: str | None = None
    ) -> ForkBuilder[In, Out]:
        """Add a branch of one or more functions, or of a flow's nodes.

        `name` is the branch's key in what the join gets; the first node's id when left
        out.

        Raises:
            ValueError: if there is nothing in it.
        """
        steps = self._flow.inner_steps(task_funcs, name)
        if not steps:
            raise ValueError(EMPTY_BRANCH)
        chain = chain_of_steps(steps)
        key = name or first_id(chain)
        segment = encode_segment(key)
        self._seen[segment] = self._seen.get(segment, 0) + 1
        segment = occurrence(segment, self._seen[segment])
        for path, function in functions_of(steps).items():
            self._functions[join(segment, path)] = function
        self._branches.append(Branch(name=key, chain=chain))
        return self

    @overload
    def join(
        self, task_func: AsyncTask[Fields, Result], *, name: str | None = None
    ) -> Flow[In, Result]: ...
    @overload
    def join(
        self, task_func: SyncTask[Fields, Result], *, name: str | None = None
    ) -> Flow[In, Result]: ...
    @overload
    def join(
        self, task_func: AsyncTask[Record, Result], *, name: str | None = None
    ) -> Flow[In, Result]: ...
    @overload
    def join(
        self, task_func: SyncTask[Record, Result], *, name: str | None = None
    ) -> Flow[In, Result]: ...
    def join(self, task_func: Function, *, name: str | None = None) -> Flow[In, Any]:
        """Give the branches' results to a function, as a dict by branch name.

        Raises:
            ValueError: if there is no branch.
        """
        if not self._branches:
            raise ValueError("Fork must have at least one branch")
        firsts = [first_id(branch.chain) for branch in self._branches]
        node = ForkNode(id="||".join(firsts), branches=tuple(self._branches))
        self._flow.steps.append(Step(node=node, functions=dict(self._functions)))
        self._flow.steps.append(self._flow.task_step(task_func, name))
        return cast("Flow[In, Any]", self._flow)


class BranchBuilder(Generic[In, Out]):
    """Branches of which one runs; `done` gives the flow back."""

    def __init__(
        self, flow: Flow[In, Out], key_fn: Function, *, keys: list[str]
    ) -> None:
        self._flow = flow
        self._keys = keys
        self._id = flow.names.next("branch")
        self._key_fn = key_fn
        self._branches: dict[str, list[Step]] = {}
        self._default: list[Step] | None = None

    def branch(
        self, key: str, *task_funcs: Function | Flow[Any, Any], name: str | None = None
    ) -> BranchBuilder[In, Out]:
        """The branch for a key: one or more functions, or a flow's nodes.

        Raises:
            ValueError: if the key was not declared, or there is nothing in it.
        """
        if not task_funcs:
            raise ValueError(EMPTY_BRANCH)
        if key not in self._keys:
            raise ValueError(
                f"Branch key {key!r} is not in the declared keys: {self._keys!r}"
            )
        self._branches[key] = self._inner(task_funcs, name)
        return self

    def default_branch(
        self, *task_funcs: Function | Flow[Any, Any], name: str | None = None
    ) -> BranchBuilder[In, Out]:
        """The branch for every key that has none.

        Raises:
            ValueError: if there is nothing in it.
        """
        if not task_funcs:
            raise ValueError(f"default_{EMPTY_BRANCH}")
        self._default = self._inner(task_funcs, name)
        return self

    def done(self) -> Flow[In, Fields]:
        """Give the flow back; what flows on is `{"branch": key, "result": …}`.

        Raises:
            ValueError: if a declared key has no branch, and there is no default.
        """
        missing = sorted(set(self._keys) - self._branches.keys())
        if missing and self._default is None:
            raise ValueError(f"Route: missing branches for keys: {', '.join(missing)}")
        if not self._branches:
            self._flow.refuse(EMPTY_ROUTE)
        functions: dict[str, Function] = {"": self._key_fn}
        named = [(encode_segment(key), steps) for key, steps in self._branches.items()]
        if self._default is not None:
            named.append((DEFAULT_BRANCH, self._default))
        for segment, steps in named:
            for path, function in functions_of(steps).items():
                functions[join(segment, path)] = function
        node = RouteNode(
            id=self._id,
            keys=tuple(self._keys),
            branches=tuple(
                Branch(name=key, chain=chain_of_steps(steps))
                for key, steps in self._branches.items()
            ),
            default=None if self._default is None else chain_of_steps(self._default),
        )
        self._flow.steps.append(Step(node=node, functions=functions))
        return cast("Flow[In, Fields]", self._flow)

    def _inner(
        self, fns: tuple[Function | Flow[Any, Any], ...], name: str | None
    ) -> list[Step]:
        steps = self._flow.inner_steps(fns, name)
        if not steps:
            raise ValueError(EMPTY_BRANCH)
        return steps


class AttemptBuilder(Generic[In, Out]):
    """A body whose errors are caught; `on_error` gives the flow back."""

    def __init__(
        self,
        flow: Flow[In, Out],
        task_funcs: Sequence[Function | Flow[Any, Any]],
        name: str | None,
    ) -> None:
        self._flow = flow
        self._body = flow.inner_steps(task_funcs, None)
        if not self._body:
            raise ValueError("attempt() requires at least one task function")
        self._id = name or flow.names.next("attempt")
        self._chain = chain_of_steps(self._body)
        flow.unhandled.append(self._chain)

    def on_error(
        self,
        handler: Function | Flow[Any, Any],
        *,
        errors: CaughtErrors = (),
        name: str | None = None,
    ) -> Flow[In, Any]:
        """Run a function, or a flow's nodes, where the body fails.

        It gets `{"error": {"type", "message", "task", "path"}, "input": …}`, where the
        input is what had flowed into the body; its result flows on. Retries of a task
        come first. What a handler raises is not caught here.

        Args:
            handler: A function or a flow.
            errors: An exception class, a word such as "timeout", or a tuple of them;
                subclasses count. Every error when left out.
            name: The id of the handler's first function.

        Raises:
            TypeError: if `errors` has something else.
            ValueError: if a word is none of the engine's, or the flow is empty.
        """
        names = caught_names(errors)
        steps = self._flow.inner_steps([handler], name)
        if not steps:
            raise ValueError("on_error() requires at least one task function")
        functions: dict[str, Function] = {}
        for segment, inside in ((BODY, self._body), (ON_ERROR, steps)):
            for path, function in functions_of(inside).items():
                functions[join(segment, path)] = function
        node = TryNode(
            id=self._id,
            body=self._chain,
            handler=chain_of_steps(steps),
            errors=names,
        )
        self._flow.unhandled.remove(self._chain)
        self._flow.steps.append(Step(node=node, functions=functions))
        return self._flow
