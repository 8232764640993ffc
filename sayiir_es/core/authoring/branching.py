"""The builders of forks and routes: branches, then `join` or `done`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.authoring.steps import Function, Step, chain_of_steps, functions_of
from sayiir_es.core.graph.graph import first_id
from sayiir_es.core.graph.nodes import Branch, ForkNode, RouteNode
from sayiir_es.core.graph.paths import DEFAULT_BRANCH, encode_segment, join, occurrence

if TYPE_CHECKING:
    from sayiir_es.core.authoring.flow import Flow

EMPTY_BRANCH = "branch() requires at least one task function"
EMPTY_ROUTE = "Branch must have at least one step"


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
