"""`Flow` and its builders of branches: a workflow's graph from functions, by steps.

A flow collects steps: nodes of the graph with the functions that run at them, each
under its path below the step. `build` checks the whole, reports everything that is
wrong at once, and gives a `Workflow`. A flow may go on being extended and built again.
`fork` and `route` give a builder of branches; its `join` or `done` gives the flow back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.loop_result import OnMax
from sayiir_es.core.authoring.steps import (
    Function,
    Names,
    Step,
    chain_of_steps,
    functions_of,
)
from sayiir_es.core.authoring.tasks import metadata_of
from sayiir_es.core.authoring.workflow import Workflow as Workflow  # noqa: PLC0414 (its home)
from sayiir_es.core.duration import Duration, duration_ms
from sayiir_es.core.graph.graph import Graph, first_id, inner_chains
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    OnMaxName,
    OnTimeout,
    RouteNode,
    SignalNode,
)
from sayiir_es.core.graph.paths import DEFAULT_BRANCH, encode_segment, join, occurrence
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMPTY_BRANCH = "branch() requires at least one task function"
EMPTY_ROUTE = "Branch must have at least one step"

BRANCH_NAMES_BYTES_MAX = 256 * 1024
"""Names of one fork's branches: they stand in one event, `ForkStarted`."""


class Flow:
    """A workflow that is being built.

    Args:
        name: The workflow's name; clients start it by this.
        metadata: A JSON-able mapping that tasks can read in their context.
    """

    def __init__(
        self, name: str = "workflow", *, metadata: Mapping[str, object] | None = None
    ) -> None:
        self.name = name
        self.names = Names()
        self.steps: list[Step] = []
        self._metadata: dict[str, object] | None = None
        self._metadata_json: str | None = None
        self._wrong: list[str] = []
        if metadata is not None:
            self.set_metadata(metadata)

    def then(self, task_func: Function, *, name: str | None = None) -> Flow:
        """Run a function on what flows in; its result flows on."""
        self.steps.append(self.task_step(task_func, name))
        return self

    def delay(self, name: str, duration: Duration) -> Flow:
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
    ) -> Flow:
        """Wait for a signal; its payload flows on instead of what flowed in.

        Args:
            signal_name: What senders call it.
            name: The node's id; the signal's name when left out.
            timeout: How long to wait: seconds, "30s", or a timedelta.
            on_timeout: `null` goes on with None, `fail` fails the workflow.

        Raises:
            ValueError: if an option is out of its range.
        """
        if on_timeout not in ("null", "fail"):
            raise ValueError(f"expected on_timeout null or fail, but {on_timeout!r}")
        limit = None if timeout is None else duration_ms(timeout, what="timeout")
        node = SignalNode(
            id=name or signal_name,
            signal=signal_name,
            timeout_ms=limit,
            on_timeout=on_timeout,
        )
        self.steps.append(Step(node=node))
        return self

    def fork(self) -> ForkBuilder:
        """Run branches side by side; end it with `.join(task_func)`."""
        return ForkBuilder(self)

    def route(self, key_fn: Function, *, keys: Sequence[str]) -> BranchBuilder:
        """Run the one branch whose key `key_fn` returns; end it with `.done()`."""
        return BranchBuilder(self, key_fn, keys=list(keys))

    def loop(
        self,
        task_func: Function | Flow,
        *,
        max_iterations: int = 10,
        on_max: str | OnMax = "fail",
        name: str | None = None,
    ) -> Flow:
        """Run a body until it returns `LoopResult.done(value)`.

        Raises:
            ValueError: if `on_max` is neither `fail` nor `exit_with_last`, or there is
                no iteration.
        """
        policy = on_max.value if isinstance(on_max, OnMax) else on_max
        if policy not in ("fail", "exit_with_last"):
            raise ValueError(
                f"Invalid on_max policy: {on_max!r}. Use 'fail' or 'exit_with_last'."
            )
        on_max_name: OnMaxName = "fail" if policy == "fail" else "exit_with_last"
        body = self.inner_steps([task_func], name)
        loop_id = self.names.next("loop")
        if max_iterations < 1:
            raise ValueError(f"Loop '{loop_id}': max_iterations must be at least 1")
        node = LoopNode(
            id=loop_id,
            body=chain_of_steps(body),
            max_iterations=max_iterations,
            on_max=on_max_name,
        )
        self.steps.append(Step(node=node, functions=functions_of(body)))
        return self

    def then_flow(self, child_workflow: Workflow) -> Flow:
        """Run another workflow's chain in place, under paths of its own."""
        node = ChildNode(
            id=self.names.next("child"),
            workflow=child_workflow.graph.name,
            chain=child_workflow.graph.chain,
        )
        self.steps.append(Step(node=node, functions=dict(child_workflow.functions)))
        return self

    def build(self) -> Workflow:
        """Check the whole and give the workflow.

        Raises:
            ValueError: if anything is wrong with it; all of it is reported at once.
        """
        wrong = list(self._wrong)
        if not self.steps:
            wrong.append("Workflow must have at least one task")
        chain = chain_of_steps(self.steps)
        wrong += _wrong_nodes(chain)
        if wrong:
            raise ValueError("\n".join(wrong))
        graph = Graph(name=self.name, chain=chain, metadata=self._metadata_json)
        return Workflow(
            graph=graph, functions=functions_of(self.steps), metadata=self._metadata
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
        node = metadata_of(function).to_node(self.names.of(function, name))
        return Step(node=node, functions={"": function})

    def inner_steps(
        self, parts: Sequence[Function | Flow], name: str | None
    ) -> list[Step]:
        """The steps of a branch or body: functions, or the steps of other flows.

        `name` renames the first function; a flow keeps its nodes' names.
        """
        steps: list[Step] = []
        for part in parts:
            if isinstance(part, Flow):
                steps += part.steps
            else:
                steps.append(self.task_step(part, name if not steps else None))
        return steps

    def refuse(self, text: str) -> None:
        """Remember what `build` must report."""
        self._wrong.append(text)


class ForkBuilder:
    """Branches that run side by side; `join` gives the flow back."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._branches: list[Branch] = []
        self._functions: dict[str, Function] = {}
        self._seen: dict[str, int] = {}

    def branch(
        self, *task_funcs: Function | Flow, name: str | None = None
    ) -> ForkBuilder:
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

    def join(self, task_func: Function, *, name: str | None = None) -> Flow:
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
        return self._flow


class BranchBuilder:
    """Branches of which one runs; `done` gives the flow back."""

    def __init__(self, flow: Flow, key_fn: Function, *, keys: list[str]) -> None:
        self._flow = flow
        self._keys = keys
        self._id = flow.names.next("branch")
        self._key_fn = key_fn
        self._branches: dict[str, list[Step]] = {}
        self._default: list[Step] | None = None

    def branch(
        self, key: str, *task_funcs: Function | Flow, name: str | None = None
    ) -> BranchBuilder:
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
        self, *task_funcs: Function | Flow, name: str | None = None
    ) -> BranchBuilder:
        """The branch for every key that has none.

        Raises:
            ValueError: if there is nothing in it.
        """
        if not task_funcs:
            raise ValueError(f"default_{EMPTY_BRANCH}")
        self._default = self._inner(task_funcs, name)
        return self

    def done(self) -> Flow:
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
        return self._flow

    def _inner(self, fns: tuple[Function | Flow, ...], name: str | None) -> list[Step]:
        steps = self._flow.inner_steps(fns, name)
        if not steps:
            raise ValueError(EMPTY_BRANCH)
        return steps


def _wrong_nodes(chain: tuple[Node, ...]) -> list[str]:
    """What is wrong with the nodes of a chain and of those inside them."""
    wrong: list[str] = []
    limit = DEFAULT_LIMITS.id_bytes
    for node in chain:
        size = len(node.id.encode())
        if not isinstance(node, ForkNode) and not 0 < size <= limit:
            wrong.append(
                f"expected a node id of 1 to {limit} bytes, but {node.id[:64]!r} has "
                f"{size}"
            )
        if isinstance(node, ForkNode):
            names = sum(len(branch.name.encode()) for branch in node.branches)
            if names > BRANCH_NAMES_BYTES_MAX:
                wrong.append(
                    f"expected branch names of at most {BRANCH_NAMES_BYTES_MAX} bytes "
                    f"in all, but fork {node.id[:64]!r} has {names}"
                )
        for _, inner in inner_chains(node):
            wrong += _wrong_nodes(inner)
    return wrong
