"""A workflow's graph with its index: from a path to its node and what follows it.

Deciding, audits and pages need this and no user code. The index is built at first use;
a look-up by a concrete path forgets its iterations and is one dict access.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, assert_never

from sayiir_es.core.graph.hashes import definition_hash, graph_digest
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
    fork_segment,
    is_compensation,
    join,
    occurrence,
    template,
)
from sayiir_es.core.model.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.graph.start_queue import StartQueue

N = TypeVar("N", bound=Node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node stands. Paths are templates; `order` is graph order, from 0.

    `container` is the node around its chain, if any; `successor` what follows it in
    its chain; `joined` the fork whose branches it joins. `ends_loop` says that what it
    returns ends a loop's body; what is behind it passes that on, as delays do.
    """

    node: Node
    path: str
    order: int
    container: str | None
    successor: str | None
    joined: str | None
    ends_loop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A node with chains inside, as seen from one of them.

    `branch` is the segment of the branch of a fork, route or try, `iteration` that of a
    loop, from 0.
    """

    path: str
    node: ForkNode | RouteNode | LoopNode | ChildNode | TryNode
    branch: str
    iteration: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A definition as data: its name and its chain. `metadata` is JSON text.

    Several versions of one name live side by side; None is a version, too.
    A run of it may take `timeout_ms` milliseconds; None: for ever. With a `start_queue`
    only so many of them go on at a time.
    """

    name: str
    chain: tuple[Node, ...]
    metadata: str | None = None
    version: str | None = None
    timeout_ms: int | None = None
    start_queue: StartQueue | None = None

    @property
    def title(self) -> str:
        """Its name and version, for people: `'orders' version '2'`."""
        return title_of(self.name, self.version)

    @cached_property
    def definition_hash(self) -> str:
        """Sayiir's definition hash: 64 hex digits."""
        return definition_hash(self.chain)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical graph with every option: 64 hex digits."""
        return graph_digest(
            self.name,
            self.metadata,
            self.chain,
            self.version,
            self.timeout_ms,
            self.start_queue,
        )

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """Every node's place by its path template, in graph order."""
        places: dict[str, Place] = {}
        _index_chain(self.chain, ("", None, False), places)
        return places

    @cached_property
    def _predecessors(self) -> Mapping[str, str]:
        """By path template, what stands right before a node in its chain."""
        places = self.places.values()
        return {p.successor: p.path for p in places if p.successor is not None}

    def predecessor(self, path: str) -> str | None:
        """The path of what stands right before a node in its chain; None if nothing."""
        place = self.place(path)
        before = None if place is None else self._predecessors.get(place.path)
        if before is None:
            return None
        chain, _, _ = path.rpartition("/")
        return join(chain, before.rpartition("/")[2])

    @cached_property
    def has_compensations(self) -> bool:
        """Whether what any of its tasks did can be undone."""
        return any(is_compensation(path) for path in self.places)

    @cached_property
    def has_limits(self) -> bool:
        """Whether any of its tasks waits for a permit before it runs."""
        return any(
            isinstance(place.node, TaskNode) and place.node.concurrency is not None
            for place in self.places.values()
        )

    @cached_property
    def forks(self) -> frozenset[str]:
        """The path templates of all forks."""
        places = self.places.items()
        return frozenset(p for p, place in places if isinstance(place.node, ForkNode))

    def forks_around(self, path: str) -> list[tuple[str, str]]:
        """The forks around a path, the outermost first, each with the branch it is in.

        Both as paths; the branch is the prefix of its chain.
        """
        around: list[tuple[str, str]] = []
        at = path.find("/") if self.forks else -1
        while at >= 0:
            behind = path.find("/", at + 1)
            if behind >= 0 and template(path[:at]) in self.forks:
                around.append((path[:at], path[:behind]))
            at = behind
        return around

    @cached_property
    def first(self) -> str:
        """The path of the first node."""
        return segment_of(self.chain[0])

    def place(self, path: str) -> Place | None:
        """The place of the node at a path, iterations forgotten; None if none."""
        place = self.places.get(path)
        if place is None and "@" in path:
            return self.places.get(template(path))
        return place

    def order(self, path: str) -> int:
        """Where a path stands in graph order, from 0; −1 if there is no such node."""
        place = self.place(path)
        return -1 if place is None else place.order

    def node(self, path: str, kind: type[N]) -> N:
        """The node at a path, which is of that kind.

        Raises:
            HistoryError: if there is none, or one of another kind.
        """
        place = self.place(path)
        if place is None or not isinstance(place.node, kind):
            seen = "nothing" if place is None else type(place.node).__name__
            raise HistoryError(
                f"expected a {kind.__name__} of workflow {self.name!r} at {path!r}, "
                f"but {seen}"
            )
        return place.node

    def successor(self, path: str) -> str | None:
        """The path of the next node of the same chain, in the same iterations."""
        place = self.place(path)
        if place is None or place.successor is None:
            return None
        if place.path == path:  # in no iteration: the template is the path
            return place.successor
        chain, _, _ = path.rpartition("/")
        return join(chain, place.successor.rpartition("/")[2])

    def joined_fork(self, path: str) -> str | None:
        """The path of the fork that the node at `path` joins; None if it is no join."""
        place = self.place(path)
        if place is None or place.joined is None:
            return None
        chain, _, _ = path.rpartition("/")
        return join(chain, place.joined.rpartition("/")[2])

    def container(self, chain: str) -> Container | None:
        """What a chain is inside of, by the chain's path prefix; None for the root."""
        if not chain:
            return None
        place = self.place(chain)
        if place is not None and isinstance(place.node, LoopNode):
            path, _, iteration = chain.rpartition("@")
            return Container(
                path=path, node=place.node, branch="", iteration=int(iteration)
            )
        if place is not None and isinstance(place.node, ChildNode):
            return Container(path=chain, node=place.node, branch="", iteration=0)
        path, _, branch = chain.rpartition("/")
        place = self.place(path)
        if place is None or not isinstance(place.node, ForkNode | RouteNode | TryNode):
            return None
        return Container(path=path, node=place.node, branch=branch, iteration=0)

    def find(self, task_id: str) -> str | None:
        """The first path in graph order whose last segment is that id."""
        for path in self.places:
            if decode_segment(path.rpartition("/")[2]) == task_id:
                return path
        return None


def title_of(workflow: str, version: str | None) -> str:
    """A workflow's name and version, for people."""
    return repr(workflow) if version is None else f"{workflow!r} version {version!r}"


def first_path(prefix: str, chain: tuple[Node, ...]) -> str:
    """The path of the first node of a chain, by the chain's path prefix."""
    return join(prefix, segment_of(chain[0]))


def segments(chain: tuple[Node, ...]) -> list[str]:
    """The segments of a chain's nodes; a second node of one name gets `#2`."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for node in chain:
        segment = segment_of(node)
        counts[segment] = counts.get(segment, 0) + 1
        names.append(occurrence(segment, counts[segment]))
    return names


def segment_of(node: Node) -> str:
    """The segment of a node, before occurrences are told apart."""
    if isinstance(node, ForkNode):
        return fork_segment(node.id, first_id(node.branches[0].chain))
    return encode_segment(node.id)


def first_id(chain: tuple[Node, ...]) -> str:
    """The id of the first task of a chain, looking into containers (Sayiir's rule)."""
    node = chain[0]
    match node:
        case TaskNode() | DelayNode() | SignalNode() | RouteNode() | StartChildNode():
            return node.id
        case ForkNode():
            return first_id(node.branches[0].chain)
        case LoopNode():
            return first_id(node.body)
        case ChildNode():
            return first_id(node.chain)
        case TryNode():
            return first_id(node.body)
        case _:
            assert_never(node)


def inner_chains(node: Node) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """The chains inside a node, each with its own segment (empty: none)."""
    match node:
        case TaskNode() | DelayNode() | SignalNode() | StartChildNode():
            return
        case ForkNode():
            names: dict[str, int] = {}
            for branch in node.branches:
                segment = encode_segment(branch.name)
                names[segment] = names.get(segment, 0) + 1
                yield occurrence(segment, names[segment]), branch.chain
        case RouteNode():
            for branch in node.branches:
                yield encode_segment(branch.name), branch.chain
            if node.default is not None:
                yield DEFAULT_BRANCH, node.default
        case LoopNode():
            yield "", node.body
        case ChildNode():
            yield "", node.chain
        case TryNode():
            yield BODY, node.body
            yield ON_ERROR, node.handler
        case _:
            assert_never(node)


def count_nodes(chain: tuple[Node, ...]) -> int:
    """How many nodes a chain has, those inside others too, and compensations."""
    return sum(
        1
        + (isinstance(node, TaskNode) and node.compensate is not None)
        + sum(count_nodes(inner) for _, inner in inner_chains(node))
        for node in chain
    )


def _passes_on(node: Node) -> bool:
    """Whether what flows in flows on: of a delay, and of a wait that keeps it."""
    return isinstance(node, DelayNode) or (
        isinstance(node, SignalNode) and node.keep_input
    )


def _index_chain(
    chain: tuple[Node, ...],
    around: tuple[str, str | None, bool],
    places: dict[str, Place],
) -> None:
    """Index a chain; `around`: its prefix, its container, whether it ends a loop."""
    prefix, container, ends = around
    paths = [join(prefix, name) for name in segments(chain)]
    last = len(chain) - 1
    while last > 0 and _passes_on(chain[last]):
        last -= 1
    for number, node in enumerate(chain):
        before = chain[number - 1] if number else None
        places[paths[number]] = Place(
            node=node,
            path=paths[number],
            order=len(places),
            container=container,
            successor=paths[number + 1] if number + 1 < len(chain) else None,
            joined=paths[number - 1] if isinstance(before, ForkNode) else None,
            ends_loop=ends and number == last,
        )
        if isinstance(node, TaskNode) and node.compensate is not None:
            undo = compensation_path(paths[number])
            places[undo] = Place(
                node=node.compensate,
                path=undo,
                order=len(places),
                container=paths[number],
                successor=None,
                joined=None,
                ends_loop=False,
            )
        inner_ends = isinstance(node, LoopNode) or (
            isinstance(node, ChildNode | TryNode) and ends and number == last
        )
        for segment, inner in inner_chains(node):
            inside = (join(paths[number], segment), paths[number], inner_ends)
            _index_chain(inner, inside, places)
