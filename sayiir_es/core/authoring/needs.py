"""What tasks name by keyword-only parameters: values that surely are there before.

Theory of operation. A task may name the input of the run, the results of nodes that ran
before it on every way to it, and its context. A chain is walked in its order; what has
run grows on the way: a node of the chain, the nodes of all branches behind their fork,
those of a child behind it. What is inside a route, a loop or a try may not have run, or
ran more than once: there only the route, the loop or the try itself is named.

A name that no node has is that of a resource, which a worker gives: see `resources`.
One that is close to a name that could be meant is refused, for it is a slip.
"""

from __future__ import annotations

import inspect
from collections import ChainMap
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.graph.graph import inner_chains, segments
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Need,
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
    encode_segment,
    join,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.graph.nodes import Branch, Node

WORKFLOW_INPUT, CONTEXT = "workflow_input", "context"
"""What a parameter of that name is given: the run's input, the context of the task."""

CLOSE = 0.8
"""How much of a name must be that of another to be taken for a slip of it: "chrage" is
taken for "charge", "charges_db" is not."""

Known: TypeAlias = ChainMap[str, str]
"""What has surely run: id → path; an empty path stands for several of one id.

What is inside a container adds to a map of its own: with ten thousand branches a copy
for each would cost a hundred million entries.
"""


def with_needs(
    chain: tuple[Node, ...], functions: Mapping[str, Function]
) -> tuple[tuple[Node, ...], list[str]]:
    """The chain with what its tasks need, and what is wrong with what they name."""
    walk = _Walk(functions=functions, ids=frozenset(_ids_of(chain)), wrong=[])
    return walk.chain(chain, "", ChainMap()), walk.wrong


def takes_context(function: Callable[..., object]) -> bool:
    """Whether a function has a keyword-only parameter `context`."""
    return CONTEXT in keyword_only(function)


def keyword_only(function: Callable[..., object]) -> dict[str, bool]:
    """The names of its keyword-only parameters; whether each must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}  # of a built-in: it has none that we could name
    return {
        one.name: one.default is one.empty
        for one in parameters
        if one.kind is one.KEYWORD_ONLY
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    functions: Mapping[str, Function]
    ids: frozenset[str]
    wrong: list[str]

    def chain(
        self, chain: tuple[Node, ...], prefix: str, known: Known
    ) -> tuple[Node, ...]:
        """The nodes with their needs; `known` has what ran before, and grows."""
        nodes: list[Node] = []
        for node, segment in zip(chain, segments(chain), strict=True):
            path = join(prefix, segment)
            nodes.append(self._node(node, path, known))
        return tuple(nodes)

    def _node(self, node: Node, path: str, known: Known) -> Node:
        changed: Node = node
        match node:
            case TaskNode():
                undo = node.compensate
                if undo is not None:
                    below = compensation_path(path)
                    undo = replace(undo, needs=self._needs(undo.id, below, known))
                needs = self._needs(node.id, path, known)
                changed = replace(node, needs=needs, compensate=undo)
                known[node.id] = path
            case SignalNode() | StartChildNode():
                known[node.id] = path
            case LoopNode():
                changed = replace(
                    node, body=self.chain(node.body, path, known.new_child())
                )
                known[node.id] = path
            case RouteNode():
                changed = self._route(node, path, known)
                known[node.id] = path
            case ForkNode():
                changed = self._fork(node, path, known)
            case ChildNode():
                changed = replace(node, chain=self.chain(node.chain, path, known))
            case TryNode():
                changed = replace(
                    node,
                    body=self.chain(node.body, join(path, BODY), known.new_child()),
                    handler=self.chain(
                        node.handler, join(path, ON_ERROR), known.new_child()
                    ),
                )
                known[node.id] = path
            case DelayNode():
                pass
        return changed

    def _route(self, node: RouteNode, path: str, known: Known) -> RouteNode:
        self._refuse_named_keys(node, path)
        default = node.default
        if default is not None:
            inside = known.new_child()
            default = self.chain(default, join(path, DEFAULT_BRANCH), inside)
        branches = tuple(
            self._branch(branch, path, encode_segment(branch.name), known.new_child())
            for branch in node.branches
        )
        return replace(node, branches=branches, default=default)

    def _fork(self, node: ForkNode, path: str, known: Known) -> ForkNode:
        branches: list[Branch] = []
        ended: dict[str, str] = {}
        for branch, (segment, _) in zip(node.branches, inner_chains(node), strict=True):
            inside = known.new_child()
            branches.append(self._branch(branch, path, segment, inside))
            for node_id, inner in inside.maps[0].items():
                ended[node_id] = "" if node_id in ended else inner
        known.update(ended)
        return replace(node, branches=tuple(branches))

    def _branch(self, branch: Branch, path: str, segment: str, known: Known) -> Branch:
        chain = self.chain(branch.chain, join(path, segment), known)
        return replace(branch, chain=chain)

    def _needs(self, node_id: str, path: str, known: Known) -> tuple[Need, ...]:
        needs: list[Need] = []
        function = self.functions.get(path)
        names = {} if function is None else keyword_only(function)
        for name, is_required in names.items():
            if name == WORKFLOW_INPUT:
                needs.append(Need(name=name, path=""))
            elif known.get(name):
                needs.append(Need(name=name, path=known[name]))
            elif name != CONTEXT and is_required:
                self._refuse_if_no_resource(node_id, name, known)
        return tuple(needs)

    def _refuse_if_no_resource(self, node_id: str, name: str, known: Known) -> None:
        """Refuse what names a node that may not have run, or is close to a name."""
        if name in known:
            hint = ", which several branches have"
        elif name in self.ids:
            hint = ""
        else:
            names = [*known, WORKFLOW_INPUT, CONTEXT]
            close = get_close_matches(name, names, n=1, cutoff=CLOSE)
            if not close:
                return
            hint = f"; is {close[0]!r} meant? (a resource needs another name)"
        self.wrong.append(
            f"expected the keyword-only parameters of {node_id!r} to name what "
            f"surely ran before it ({_listed(known)}), {WORKFLOW_INPUT} or "
            f"{CONTEXT}, but {name!r}{hint}"
        )

    def _refuse_named_keys(self, node: RouteNode, path: str) -> None:
        function = self.functions.get(path)
        names = {} if function is None else keyword_only(function)
        for name, is_required in names.items():
            is_of_run = name == WORKFLOW_INPUT or name in self.ids
            if is_required and is_of_run:
                self.wrong.append(
                    f"expected the key function of {node.id!r} to take its input and "
                    f"resources, but it needs {name!r} too"
                )


def _ids_of(chain: tuple[Node, ...]) -> Iterator[str]:
    for node in chain:
        yield node.id
        for _, inner in inner_chains(node):
            yield from _ids_of(inner)


def _listed(known: Known) -> str:
    names = sorted(name for name, path in known.items() if path and name.isidentifier())
    return ", ".join(names) or "none did"
