"""`Workflow`: a graph and the functions that run at its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NoReturn, assert_never

from sayiir_es.core.authoring.retries import RetryPolicy
from sayiir_es.core.authoring.tasks import TaskMetadata
from sayiir_es.core.authoring.typed import Output_co, Taken_contra
from sayiir_es.core.graph.graph import inner_chains
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
from sayiir_es.core.graph.paths import is_compensation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NodeInfo:
    """A node of a workflow, for people and tools.

    Attributes:
        id: Its id.
        kind: `task`, `fork`, `delay`, `await_signal`, `branch`, `loop`,
            `child_workflow` or, which Sayiir does not have, `start_child` and `try`.
        predecessor_id: The node before it, or around it where it is the first.
        timeout_secs: Of a task or wait; of a delay its length. In seconds.
        retry_policy: Of a task.
        priority: Of a task.
    """

    id: str
    kind: str
    predecessor_id: str | None = None
    timeout_secs: float | None = None
    retry_policy: RetryPolicy | None = None
    priority: int | None = None

    def __repr__(self) -> str:
        return f"NodeInfo(id={self.id!r}, kind={self.kind!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceParameter:
    """A keyword-only parameter of the function at a path that no node gives."""

    path: str
    name: str
    is_required: bool


class UnboundTask:
    """Stands where a function is to come from a registry; fails when it did not."""

    def __init__(self, task_id: str, metadata: TaskMetadata | None = None) -> None:
        self._task_id = task_id
        self._metadata = metadata or TaskMetadata()

    def __call__(self, value: object) -> NoReturn:
        """Say which function is missing.

        Raises:
            KeyError: always.
        """
        del value
        raise KeyError(f"Task '{self._task_id}' not found")


class Workflow(Generic[Taken_contra, Output_co]):
    """What `Flow.build` gives: start it, or hand it to a worker."""

    def __init__(
        self,
        *,
        graph: Graph,
        functions: Mapping[str, Function],
        metadata: Mapping[str, object] | None = None,
        children: tuple[Workflow, ...] = (),
    ) -> None:
        self.graph = graph
        self.functions = functions
        """Path template → function; a route's key function at the route's own path."""
        self.metadata = metadata
        self.children = children
        """Workflows that it starts as instances of their own, as far as they are known
        here: one that was named only is not among them."""
        self.prepared: object = None
        """What an engine made of graph and functions, kept for its next run."""
        self.runnables: object = None
        """What workers of this process made of single functions, kept as that is."""
        self.direct: object = None
        """What runs that nobody else can see keep with it, as `prepared`."""
        self.resource_parameters: tuple[ResourceParameter, ...] | None = None
        """What its functions name that no node gives, once it was looked for."""

    @property
    def workflow_id(self) -> str:
        """The workflow's name."""
        return self.graph.name

    @property
    def version(self) -> str | None:
        """Which one of the workflows of its name it is; None if it has no version."""
        return self.graph.version

    @property
    def definition_hash(self) -> str:
        """What names its exact shape: 64 hex digits."""
        return self.graph.definition_hash

    @property
    def metadata_json(self) -> str | None:
        """The metadata as JSON text, as Sayiir's native object has it."""
        return self.graph.metadata

    def iter_nodes(self) -> list[NodeInfo]:
        """Every node, a container before what is in it."""
        return list(_infos(self.graph.chain, None))

    def with_functions(
        self, registry: Mapping[str, Function] | None
    ) -> Workflow[Taken_contra, Output_co]:
        """The same graph with the functions of a registry by id.

        What the registry has otherwise than `_task_registry` replaces it, and a task
        that the registry lacks fails. None leaves the workflow its own functions.
        """
        own = self._task_registry
        if registry is None or registry == own:
            return self
        functions = dict(self.functions)
        for path, function in self.functions.items():
            task_id = self._id_at(path)
            if task_id not in registry:
                # What undoes a task is no task of a registry of such.
                if not is_compensation(path):
                    functions[path] = UnboundTask(task_id)
            elif function is own[task_id] or isinstance(function, UnboundTask):
                functions[path] = registry[task_id]
        return Workflow(
            graph=self.graph,
            functions=functions,
            metadata=self.metadata,
            children=self.children,
        )

    @property
    def _task_registry(self) -> dict[str, Function]:
        """Id → function, as Sayiir keeps it; of equal ids the first."""
        registry: dict[str, Function] = {}
        for path, function in self.functions.items():
            registry.setdefault(self._id_at(path), function)
        return registry

    def _id_at(self, path: str) -> str:
        node = self.graph.places[path].node
        return f"{node.id}::key_fn" if isinstance(node, RouteNode) else node.id

    @property
    def _inner(self) -> Workflow:
        """Itself: Sayiir's engines take a native object under this name."""
        return self

    @property
    def _builder(self) -> BuiltBuilder:
        """What `FlowBuilder.add_child_workflow` takes of it."""
        return BuiltBuilder(self)

    def __repr__(self) -> str:
        return f"Workflow({self.workflow_id!r}, {self.definition_hash[:12]})"


class BuiltBuilder:
    """The builder of a workflow that is built already."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def build(self) -> Workflow:
        """Give the workflow."""
        return self._workflow


def _infos(chain: tuple[Node, ...], before: str | None) -> Iterator[NodeInfo]:
    for node in chain:
        yield _info(node, before)
        for _, inner in inner_chains(node):
            yield from _infos(inner, node.id)
        before = node.id


def _info(node: Node, before: str | None) -> NodeInfo:
    match node:
        case TaskNode():
            return NodeInfo(
                id=node.id,
                kind="task",
                predecessor_id=before,
                timeout_secs=_seconds(node.timeout_ms),
                retry_policy=None if node.retry is None else RetryPolicy.of(node.retry),
                priority=node.priority,
            )
        case DelayNode():
            return NodeInfo(
                id=node.id,
                kind="delay",
                predecessor_id=before,
                timeout_secs=_seconds(node.duration_ms),
            )
        case SignalNode():
            return NodeInfo(
                id=node.id,
                kind="await_signal",
                predecessor_id=before,
                timeout_secs=_seconds(node.timeout_ms),
            )
        case ForkNode():
            return NodeInfo(id=node.id, kind="fork", predecessor_id=before)
        case RouteNode():
            return NodeInfo(id=node.id, kind="branch", predecessor_id=before)
        case LoopNode():
            return NodeInfo(id=node.id, kind="loop", predecessor_id=before)
        case ChildNode():
            return NodeInfo(id=node.id, kind="child_workflow", predecessor_id=before)
        case StartChildNode():
            return NodeInfo(id=node.id, kind="start_child", predecessor_id=before)
        case TryNode():
            return NodeInfo(id=node.id, kind="try", predecessor_id=before)
        case _:
            assert_never(node)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
