"""The workflow graph as data: nodes, chains, and where a path stands in them.

A *chain* is a tuple of nodes that follow one another. A fork is always followed by its
join, an ordinary task node. Nothing here holds a function: functions are looked up by
(definition, path) where they run, so deciding, audits and pages need the graph only.

Theory of operation: a *path* names a node from the root (`fork/branch/task`); inside a
loop's body the loop's segment carries the iteration (`loop_0@3/step`). `Graph.place`
takes such a path, forgets the iterations, and answers with the node and its
neighbourhood. Durations are whole milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from sayiir_es.core.model.child_records import OnParentEnd

OnMaxName: TypeAlias = Literal["fail", "exit_with_last"]
Execute: TypeAlias = Literal["local", "remote"]
"""Where attempts may run: anywhere, or with executors elsewhere only."""
OnTimeout: TypeAlias = Literal["null", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a failed attempt is tried again: at most `max_retries` times.

    The delay before retry k (k = 1, 2, …) is
    `floor(initial_delay_ms × backoff_multiplier^(k−1))`, at most `max_delay_ms`;
    `jitter` (0 … 1) shortens it by up to that share. No attempt is due later than
    `max_elapsed_ms` after the first one was; None: no limit.
    """

    max_retries: int
    initial_delay_ms: int = 1000
    backoff_multiplier: float = 2.0
    max_delay_ms: int | None = None
    jitter: float = 0.0
    max_elapsed_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A value that a task is given by name, beside its input.

    `path` is that of the node whose result it is, as the graph has it; empty: it is the
    input of the run.
    """

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """At most `limit` attempts run at a time under one key; 0 for any number.

    And no more begin in a time than `rate` says, such as `10/s`, if there is one. `key`
    is a template (`key_templates`); all tasks whose keys are the same share the limit,
    of whatever workflow they are.
    """

    key: str
    limit: int
    rate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNode:
    """One call of a user function; also the join behind a fork.

    `needs` are the values that its function names by keyword-only parameters.
    `compensate` undoes what it did, when its run fails or is cancelled behind it. An
    attempt fails whose function tells no heartbeat for `heartbeat_timeout_ms`. Slots
    are given in turn to the keys that `fairness_key` makes, a template; None: as
    `concurrency` does, if there is one.
    """

    id: str
    timeout_ms: int | None = None
    retry: Retry | None = None
    version: str | None = None
    priority: int | None = None
    tags: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    compensate: TaskNode | None = None
    concurrency: Concurrency | None = None
    fairness_key: str | None = None
    execute: Execute = "local"
    heartbeat_timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayNode:
    """A durable pause of `duration_ms`; its input passes through."""

    id: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalNode:
    """A wait for a signal by name; `timeout_ms` None waits for ever.

    With `keep_input` what flows in flows on, else the payload does.
    """

    id: str
    signal: str
    timeout_ms: int | None = None
    on_timeout: OnTimeout = "null"
    keep_input: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A chain with the name it has in its container: join key or route key."""

    name: str
    chain: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkNode:
    """Branches that run side by side; the next node of the chain is the join."""

    id: str
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteNode:
    """One of `branches` runs, chosen by a key function; `default` takes the rest."""

    id: str
    keys: tuple[str, ...]
    branches: tuple[Branch, ...]
    default: tuple[Node, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopNode:
    """`body` runs until it says done, at most `max_iterations` times."""

    id: str
    body: tuple[Node, ...]
    max_iterations: int = 10
    on_max: OnMaxName = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildNode:
    """Another workflow's chain, run in place; `workflow` is its name."""

    id: str
    workflow: str
    chain: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChildNode:
    """Another workflow, started as an instance of its own with what flows in.

    `child_id` is a text with `{instance_id}`, `{path}` and `{iteration}`. A node that
    waits goes on with the child's output, one that does not with the child's id.
    `version` None starts the greatest one.
    """

    id: str
    workflow: str
    version: str | None = None
    child_id: str = "{instance_id}/{path}"
    waits: bool = True
    on_parent_end: OnParentEnd = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class TryNode:
    """`body` runs; where it fails with one of `errors`, `handler` goes on instead.

    An error is named by its class, with the module, or by the engine's word for it;
    without any name all are caught.
    """

    id: str
    body: tuple[Node, ...]
    handler: tuple[Node, ...]
    errors: tuple[str, ...] = ()


NODES_MAX = 20_000
"""Nodes of one graph, those inside others too. What is owed of an instance is looked
for in all of its branches."""

Node: TypeAlias = (
    TaskNode
    | DelayNode
    | SignalNode
    | ForkNode
    | RouteNode
    | LoopNode
    | ChildNode
    | StartChildNode
    | TryNode
)
"""Closed: `match` over it ends in `assert_never`."""
