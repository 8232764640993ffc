"""The definitions of this process: published graphs, and the functions that it has.

Deciding needs the graph only, so every graph of the definitions topic is held here.
Running needs the function: it is looked up by (graph digest, path) among the workflows
that this process registered, and then by name, version and path in the last one that it
registered of that name and version (`code`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sayiir_es.core.authoring.compensations import takes_both
from sayiir_es.core.authoring.hints import task_hints
from sayiir_es.core.authoring.needs import takes_context
from sayiir_es.core.authoring.takers import takers_of
from sayiir_es.core.authoring.tasks import metadata_of
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.paths import is_compensation, template
from sayiir_es.core.graph.record import graph_of_record
from sayiir_es.core.graph.same_place import same_place
from sayiir_es.core.graph.versions import version_order
from sayiir_es.engine.definitions.capabilities import Capabilities
from sayiir_es.engine.definitions.code import Code, Stranding
from sayiir_es.engine.definitions.job import KEY_SUFFIX, Job, find_job, is_remote
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.authoring.hints import TaskHints
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.authoring.takers import Taker
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.definitions.accepted_loss import AcceptedLoss
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.definitions.code import Elsewhere

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What is needed to run the node at a path: a task, or the key of a route.

    `graph` and the options of `node` are those of the run. With `is_of_another` the
    function is that of another graph, and needs what `node` says: a run of its own
    graph may lack it. `takers` are the tasks that surely get its result, where they ask
    for a type. `takes_both` says of a compensation that it takes the task's input and
    its result as two arguments. With `in_process` it runs in a process of its own,
    which may have `memory` bytes. `workflow` is the one that the function is of, and
    `code_path` where it is in there. `is_key` says that it is the key function of a
    route.
    """

    graph: Graph
    node: TaskNode
    function: Callable[..., object]
    is_async: bool
    takes_context: bool
    takes_both: bool
    ends_loop: bool
    hints: TaskHints
    takers: tuple[Taker, ...]
    is_of_another: bool = False
    in_process: bool = False
    memory: int | None = None
    workflow: Workflow | None = None
    code_path: str = ""
    is_key: bool = False


def _readable_hints(
    graph: Graph, node: TaskNode, function: Callable[..., object]
) -> TaskHints:
    """The hints of a function; those that cannot be read are told of, once."""
    hints = task_hints(function)
    for name in hints.unreadable:
        logger.warning(
            "task.hint_ignored",
            workflow=graph.name,
            task_id=node.id,
            reason=f"expected an annotation of {name!r} that can be read at run time, "
            "but a name in it is imported for type checkers only, or not at all: its "
            "value stays as JSON has it",
        )
    return hints


class _Kept(NamedTuple):
    """What is kept with a workflow: made of this graph and these functions, by path."""

    graph: Graph
    functions: Mapping[str, Function]
    runnables: dict[str, Runnable]


def _kept_runnables(workflow: Workflow) -> dict[str, Runnable]:
    """What was made of a workflow's functions: their signatures are read once."""
    kept = workflow.runnables
    if (
        not isinstance(kept, _Kept)
        or kept.graph is not workflow.graph
        or kept.functions is not workflow.functions
    ):
        kept = workflow.runnables = _Kept(workflow.graph, workflow.functions, {})
    return kept.runnables


Versions: TypeAlias = "dict[str | None, Graph]"
"""Graphs of one name, by version."""


def _no_watchers() -> set[Callable[[], None]]:
    return set()


@dataclass(slots=True)
class Registry:
    """Graphs by name, version and digest, functions by these and path.

    With `tags` this process runs only tasks whose tags are all among them; with None it
    runs tasks of any tags.
    """

    tags: frozenset[str] | None = None
    elsewhere: Elsewhere | None = None
    """The executors elsewhere that this process knows; None: it asks for none."""
    _split: set[str] = field(default_factory=set[str])
    """Digests of own graphs of which none but executors elsewhere run a task."""
    _graphs: dict[str, Graph] = field(default_factory=dict[str, "Graph"])
    _latest: dict[str, Versions] = field(default_factory=dict[str, "Versions"])
    """By name and version, the graph that was published last."""
    _own: dict[str, Versions] = field(default_factory=dict[str, "Versions"])
    """By name and version, the graph that this process registered last."""
    _default: dict[str, Graph] = field(default_factory=dict[str, "Graph"])
    """By name, what a start takes that says no more; made as it is asked for."""
    _workflows: dict[str, Workflow] = field(default_factory=dict[str, "Workflow"])
    _runnable: dict[tuple[str, str], Runnable | None] = field(
        default_factory=dict[tuple[str, str], "Runnable | None"]
    )
    _jobs: dict[tuple[str, str], Job | None] = field(
        default_factory=dict[tuple[str, str], "Job | None"]
    )
    _workers: dict[str, Capabilities] = field(default_factory=dict[str, "Capabilities"])
    _losses: dict[int, AcceptedLoss] = field(default_factory=dict[int, "AcceptedLoss"])
    _watchers: set[Callable[[], None]] = field(default_factory=_no_watchers)

    def register(self, workflow: Workflow) -> None:
        """Add a workflow whose code this process has; starts by name take its graph.

        And those that it starts as instances of their own.
        """
        for child in workflow.children:
            self.register(child)
        graph = workflow.graph
        own = self._own.setdefault(graph.name, {})
        is_known = self._workflows.get(graph.digest) is workflow
        if is_known and own.get(graph.version) is graph:
            return
        # With another graph of a name and version, runs of others may go on, too.
        before = own.get(graph.version)
        is_new = before is None or before.digest != graph.digest
        self._graphs[graph.digest] = graph
        own[graph.version] = graph
        self._workflows[graph.digest] = workflow
        if any(is_remote(place.node) for place in graph.places.values()):
            self._split.add(graph.digest)
        self._runnable.clear()
        self._default.pop(graph.name, None)
        if is_new:
            for notify in tuple(self._watchers):
                notify()

    def watch(self, notify: Callable[[], None]) -> None:
        """From now on, call `notify` when code comes that this process did not have."""
        self._watchers.add(notify)

    def unwatch(self, notify: Callable[[], None]) -> None:
        """Call `notify` no more."""
        self._watchers.discard(notify)

    def publish(self, value: bytes) -> Graph:
        """Add the graph in the value of a record of the definitions topic.

        Raises:
            DecodeError: if there is no graph in it.
        """
        # What this process has under its digest is not decoded once more.
        graph = self._graphs.get(sha256(value).hexdigest()) or graph_of_record(value)
        registered = self._graphs.setdefault(graph.digest, graph)
        self._latest.setdefault(graph.name, {})[graph.version] = registered
        self._default.pop(graph.name, None)
        return registered

    def by_name(
        self, workflow: str, definition_hash: str | None, version: str | None = None
    ) -> Graph | None:
        """The graph that a start takes; None if there is none.

        With a definition hash it has that hash, with a version that version (empty: the
        one without a version). Else it is of the greatest version. Of several graphs it
        is the one that this process registered, else the latest published one.
        """
        if definition_hash is None and version is None:
            graph = self._default.get(workflow)
            if graph is None and (first := self._in_order(workflow)):
                graph = self._default[workflow] = first[0]
            return graph
        for graph in self._in_order(workflow, version):
            if definition_hash in (None, graph.definition_hash):
                return graph
        earlier = (
            graph
            for graph in self._graphs.values()
            if graph.name == workflow
            and graph.definition_hash == definition_hash
            and version in (None, graph.version or "")
        )
        return max(earlier, key=lambda one: version_order(one.version), default=None)

    def _in_order(self, workflow: str, version: str | None = None) -> list[Graph]:
        """The graphs of a name that starts take, the greatest version first."""
        own, latest = self._own.get(workflow, {}), self._latest.get(workflow, {})
        if version is not None:
            found = [own.get(version or None), latest.get(version or None)]
            return [graph for graph in found if graph is not None]
        versions = sorted(
            {*own, *latest},
            key=lambda one: (version_order(one), one or ""),
            reverse=True,
        )
        found = [graph for one in versions for graph in (own.get(one), latest.get(one))]
        return [graph for graph in found if graph is not None]

    def find_graphs(self, workflow: str, beginning: str) -> list[Graph]:
        """The graphs of a name whose digest or definition hash begins so.

        Of several that have one definition hash, the one that a start with that hash
        takes, unless its digest is meant.
        """
        named = [graph for graph in self._graphs.values() if graph.name == workflow]
        found = [graph for graph in named if graph.digest.startswith(beginning)]
        digests = {graph.digest for graph in found}
        for definition_hash in sorted({graph.definition_hash for graph in named}):
            if definition_hash.startswith(beginning):
                graph = self.by_name(workflow, definition_hash)
                if graph is not None and graph.digest not in digests:
                    found.append(graph)
        return found

    def is_latest(self, graph: Graph) -> bool:
        """Whether no other graph of its name and version was published behind it."""
        latest = self._latest.get(graph.name, {}).get(graph.version)
        return latest is not None and latest.digest == graph.digest

    def today(self, workflow: str, version: str | None) -> Graph | None:
        """The last graph of a name and version whose code came to this process."""
        return self._own.get(workflow, {}).get(version)

    def by_digest(self, graph_digest: str) -> Graph | None:
        """The graph of that digest, or None."""
        return self._graphs.get(graph_digest)

    def by_hash(self, definition_hash: str) -> Graph | None:
        """Any graph of that definition hash, or None."""
        for graph in self._graphs.values():
            if graph.definition_hash == definition_hash:
                return graph
        return None

    def runnable(self, graph_digest: str, path: str) -> Runnable | None:
        """How to run the node at a path; None without its code, or its tags."""
        key = (graph_digest, template(path))
        try:
            return self._runnable[key]
        except KeyError:
            runnable = self._runnable[key] = self._look_up(*key)
            return runnable

    def _look_up(self, graph_digest: str, path: str) -> Runnable | None:
        graph = self._graphs.get(graph_digest)
        if graph is None:
            return None
        workflow = self._workflows.get(graph_digest)
        if workflow is not None:
            if workflow.graph is not graph or self.tags is not None:
                return self._make_runnable(graph, path, workflow)
            kept = _kept_runnables(workflow)
            runnable = kept.get(path)
            if runnable is None:
                runnable = self._make_runnable(graph, path, workflow)
                if runnable is not None:
                    kept[path] = runnable
            return runnable
        today = self.today(graph.name, graph.version)
        if today is None:
            return None
        workflow = self._workflows[today.digest]
        return self._make_runnable(graph, path, workflow, is_of_another=True)

    def _make_runnable(
        self,
        graph: Graph,
        path: str,
        workflow: Workflow,
        *,
        is_of_another: bool = False,
    ) -> Runnable | None:
        place = graph.place(path)
        there = same_place(graph, path, workflow.graph)
        function = workflow.functions.get(path)
        if place is None or there is None or function is None:
            return None
        node = place.node
        if isinstance(node, TaskNode) and isinstance(there.node, TaskNode):
            node = replace(node, needs=there.node.needs) if is_of_another else node
        if isinstance(node, RouteNode):
            node = TaskNode(id=node.id + KEY_SUFFIX)
        elif not isinstance(node, TaskNode) or (
            self.tags is not None and not self.tags.issuperset(node.tags)
        ):
            return None
        metadata = metadata_of(function)
        return Runnable(
            graph=graph,
            node=node,
            function=function,
            is_async=inspect.iscoroutinefunction(function),
            takes_context=takes_context(function),
            takes_both=is_compensation(path) and takes_both(function),
            ends_loop=place.ends_loop,
            hints=_readable_hints(graph, node, function),
            takers=takers_of(graph, workflow.functions, path),
            is_of_another=is_of_another,
            in_process=metadata.executor == "process",
            memory=metadata.memory,
            workflow=workflow,
            code_path=path,
            is_key=node.id.endswith(KEY_SUFFIX),
        )

    def job(self, graph_digest: str, path: str) -> Job | None:
        """What an attempt at a path runs, wherever that is; None: none is made."""
        key = (graph_digest, template(path))
        if key not in self._jobs:
            graph = self._graphs.get(graph_digest)
            if graph is None:
                return None
            self._jobs[key] = find_job(graph, path)
        return self._jobs[key]

    def workflow(self, graph_digest: str) -> Workflow | None:
        """The registered workflow of a graph, or None."""
        return self._workflows.get(graph_digest)

    def get_own_capabilities(self, refusals: Mapping[int, Refusal]) -> Capabilities:
        """What this process can run, and what it refuses."""
        return Capabilities(
            graphs=frozenset(self._workflows), tags=self.tags, refusals=refusals
        )

    def own_names(self) -> list[str]:
        """The names of the workflows whose code this process has, in order."""
        return sorted(self._own)

    def get_own_code(self) -> Code:
        """The code of this process, and what executors elsewhere run beside it."""
        digests = self._workflows.keys()
        return Code(
            digests=digests if self.elsewhere is None else digests - self._split,
            today=self.today,
            tags=self.tags,
            elsewhere=self.elsewhere,
        )

    def code_of(self, capabilities: Capabilities) -> Code:
        """The code of a worker, as far as its graphs were read."""

        def today(workflow: str, version: str | None) -> Graph | None:
            for digest in capabilities.graphs:
                graph = self._graphs.get(digest)
                if graph and (graph.name, graph.version) == (workflow, version):
                    return graph
            return None

        return Code(digests=capabilities.graphs, today=today, tags=capabilities.tags)

    def stranding(self, code: Code | None = None) -> Stranding:
        """Says which instances are stranded with some code, or that of this process."""
        code = self.get_own_code() if code is None else code
        return Stranding(code=code, by_digest=self.by_digest)

    def is_complete(self, workflow: str, code: Code) -> bool:
        """Whether that code runs every graph of a name that was published."""
        return all(
            code.is_complete(graph)
            for graph in self._graphs.values()
            if graph.name == workflow
        )

    def set_capabilities(
        self, owner_id: str, capabilities: Capabilities | None
    ) -> None:
        """Set what a worker can run, as the topic says; None: it has left."""
        if capabilities is None:
            self._workers.pop(owner_id, None)
        else:
            self._workers[owner_id] = capabilities

    def knows(self, owner_id: str, graph_digest: str) -> bool:
        """Whether both that graph and the capabilities of that worker are here."""
        return graph_digest in self._graphs and owner_id in self._workers

    def announced(self) -> frozenset[str]:
        """The owner ids of the workers whose capabilities are here."""
        return frozenset(self._workers)

    def get_capabilities(self, owner_id: str) -> Capabilities | None:
        """What that worker can run, as far as the topic was read; None: unknown."""
        return self._workers.get(owner_id)

    def workers(self) -> Mapping[str, Capabilities]:
        """What every worker announces, by owner id, as far as the topic was read."""
        return self._workers

    def set_accepted_loss(self, partition: int, loss: AcceptedLoss) -> None:
        """Let a partition be served without commands that it has lost."""
        self._losses[partition] = loss

    def get_accepted_loss(self, partition: int) -> AcceptedLoss | None:
        """The last loss of commands of a partition that somebody accepted, if any."""
        return self._losses.get(partition)

    def graphs(self) -> Iterator[Graph]:
        """Every graph."""
        return iter(tuple(self._graphs.values()))
