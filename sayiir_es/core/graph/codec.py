"""A graph's parts as plain JSON data and back.

Every option of every node is there, so that whoever reads it decides the same. `record`
makes a `Graph` of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never, cast

from sayiir_es.core.duration import MAX_MS
from sayiir_es.core.graph.child_ids import wrong_template
from sayiir_es.core.graph.key_templates import LIMIT_MAX, check_template
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    Concurrency,
    DelayNode,
    ForkNode,
    LoopNode,
    Need,
    Node,
    Retry,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)
from sayiir_es.core.graph.start_queue import StartQueue, queue_to_json
from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.core.model.rates import parse_rate

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 1
"""Raised when the meaning of a field changes; an unknown format is refused."""

DEPTH_MAX = 100
"""Containers within containers; beyond it a graph is refused, not recursed into."""


def graph_json(
    name: str,
    metadata: str | None,
    chain: tuple[Node, ...],
    version: str | None,
    timeout_ms: int | None,
    start_queue: StartQueue | None = None,
) -> dict[str, object]:
    """A graph as JSON data; one without a version or time-out says nothing of it."""
    data: dict[str, object] = {
        "format": FORMAT,
        "name": name,
        "metadata": metadata,
        "chain": chain_to_json(chain),
    }
    if version is not None:
        data["version"] = version
    if timeout_ms is not None:  # absent from graphs of before there was one
        data["timeout_ms"] = timeout_ms
    if start_queue is not None:  # as above
        data["start_queue"] = queue_to_json(start_queue)
    return data


def canonical_json(
    name: str,
    metadata: str | None,
    chain: tuple[Node, ...],
    version: str | None,
    timeout_ms: int | None,
    start_queue: StartQueue | None = None,
) -> bytes:
    """A graph as JSON: sorted keys, no blanks, UTF-8."""
    return json.dumps(
        graph_json(name, metadata, chain, version, timeout_ms, start_queue),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


# --- to JSON --------------------------------------------------------------------------


def chain_to_json(chain: tuple[Node, ...]) -> list[dict[str, object]]:
    """A chain as JSON data."""
    return [_node_to_json(node) for node in chain]


def _node_to_json(node: Node) -> dict[str, object]:
    match node:
        case TaskNode():
            return _task_to_json(node)
        case DelayNode():
            return {"kind": "delay", "id": node.id, "duration_ms": node.duration_ms}
        case SignalNode():
            return _signal_to_json(node)
        case ForkNode():
            return {
                "kind": "fork",
                "id": node.id,
                "branches": _branches_to_json(node.branches),
            }
        case RouteNode():
            return {
                "kind": "route",
                "id": node.id,
                "keys": list(node.keys),
                "branches": _branches_to_json(node.branches),
                "default": (
                    None if node.default is None else chain_to_json(node.default)
                ),
            }
        case LoopNode():
            return {
                "kind": "loop",
                "id": node.id,
                "body": chain_to_json(node.body),
                "max_iterations": node.max_iterations,
                "on_max": node.on_max,
            }
        case ChildNode():
            return {
                "kind": "child",
                "id": node.id,
                "workflow": node.workflow,
                "chain": chain_to_json(node.chain),
            }
        case StartChildNode():
            return {
                "kind": "start_child",
                "id": node.id,
                "workflow": node.workflow,
                "version": node.version,
                "child_id": node.child_id,
                "waits": node.waits,
                "on_parent_end": node.on_parent_end,
            }
        case TryNode():
            return {
                "kind": "try",
                "id": node.id,
                "body": chain_to_json(node.body),
                "handler": chain_to_json(node.handler),
                "errors": list(node.errors),
            }
        case _:
            assert_never(node)


def _task_to_json(node: TaskNode) -> dict[str, object]:
    data: dict[str, object] = {
        "kind": "task",
        "id": node.id,
        "timeout_ms": node.timeout_ms,
        "retry": None if node.retry is None else _retry_to_json(node.retry),
        "version": node.version,
        "priority": node.priority,
        "tags": list(node.tags),
    }
    if node.needs:  # absent from graphs of before there were any
        data["needs"] = {need.name: need.path for need in node.needs}
    if node.compensate is not None:  # absent from graphs of before there were any
        data["compensate"] = _task_to_json(node.compensate)
    if node.concurrency is not None:  # absent from graphs of before there was one
        data["concurrency_key"] = node.concurrency.key
        if node.concurrency.limit:
            data["max_concurrency"] = node.concurrency.limit
        if node.concurrency.rate is not None:  # as above
            data["rate"] = node.concurrency.rate
    if node.fairness_key is not None:  # absent from graphs of before there was one
        data["fairness_key"] = node.fairness_key
    if node.execute != "local":  # absent from graphs of before there was a choice
        data["execute"] = node.execute
    if node.heartbeat_timeout_ms is not None:  # as above
        data["heartbeat_timeout_ms"] = node.heartbeat_timeout_ms
    return data


def _signal_to_json(node: SignalNode) -> dict[str, object]:
    data: dict[str, object] = {
        "kind": "signal",
        "id": node.id,
        "signal": node.signal,
        "timeout_ms": node.timeout_ms,
        "on_timeout": node.on_timeout,
    }
    if node.keep_input:  # absent from graphs of before it could be
        data["keep_input"] = True
    return data


def _retry_to_json(retry: Retry) -> dict[str, object]:
    data: dict[str, object] = {
        "max_retries": retry.max_retries,
        "initial_delay_ms": retry.initial_delay_ms,
        "backoff_multiplier": retry.backoff_multiplier,
        "max_delay_ms": retry.max_delay_ms,
        "jitter": retry.jitter,
    }
    if retry.max_elapsed_ms is not None:  # absent from graphs of before there was one
        data["max_elapsed_ms"] = retry.max_elapsed_ms
    return data


def _branches_to_json(branches: tuple[Branch, ...]) -> list[dict[str, object]]:
    return [
        {"name": branch.name, "chain": chain_to_json(branch.chain)}
        for branch in branches
    ]


# --- from JSON ------------------------------------------------------------------------


def chain_from_json(fields: Fields, name: str, depth: int = 0) -> tuple[Node, ...]:
    """The chain in the field `name`, inside `depth` others.

    Raises:
        DecodeError: if there is none, naming where and what was expected.
    """
    if depth > DEPTH_MAX:
        raise DecodeError(f"expected at most {DEPTH_MAX} nested chains, but more")
    nodes: list[Node] = []
    for number, item in enumerate(fields.items(name)):
        inner = Fields(item, f"{fields.where}.{name}[{number}]")
        kind = inner.text("kind")
        read = _NODES.get(kind)
        if read is None:
            raise inner.wrong("kind", f"one of {', '.join(_NODES)}", kind)
        nodes.append(read(inner, depth + 1))
    if not nodes:
        raise fields.wrong(name, "at least one node", [])
    return tuple(nodes)


def _task(fields: Fields, _depth: int) -> Node:
    compensation = fields.data.get("compensate")
    if compensation is None:
        return _one_task(fields)
    inner = Fields(compensation, f"{fields.where}.compensate")
    if inner.text("kind") != "task":
        raise inner.wrong("kind", "task", inner.text("kind"))
    if inner.data.get("compensate") is not None:
        raise inner.wrong(
            "compensate", "none of a compensation", inner.data["compensate"]
        )
    return replace(_one_task(fields), compensate=_one_task(inner))


def _one_task(fields: Fields) -> TaskNode:
    retry = None
    if fields.data.get("retry") is not None:
        inner = Fields(fields.data.get("retry"), f"{fields.where}.retry")
        retry = Retry(
            max_retries=inner.integer("max_retries"),
            initial_delay_ms=inner.integer("initial_delay_ms", MAX_MS),
            backoff_multiplier=inner.number("backoff_multiplier"),
            max_delay_ms=inner.integer_or_none("max_delay_ms", MAX_MS),
            jitter=inner.number("jitter"),
            max_elapsed_ms=inner.integer_or_none("max_elapsed_ms", MAX_MS),
        )
        if retry.jitter > 1:
            raise inner.wrong("jitter", "a share of 0 to 1", retry.jitter)
    execute = fields.text_or_none("execute")
    if execute not in (None, "local", "remote"):
        raise fields.wrong("execute", "local or remote", execute)
    return TaskNode(
        id=fields.text("id"),
        timeout_ms=fields.integer_or_none("timeout_ms", MAX_MS),
        retry=retry,
        version=fields.text_or_none("version"),
        priority=fields.integer_or_none("priority"),
        tags=fields.texts("tags"),
        needs=_needs(fields),
        concurrency=_concurrency(fields),
        fairness_key=_template_or_none(fields, "fairness_key"),
        execute="remote" if execute == "remote" else "local",
        heartbeat_timeout_ms=fields.integer_or_none("heartbeat_timeout_ms", MAX_MS),
    )


def _concurrency(fields: Fields) -> Concurrency | None:
    key = _template_or_none(fields, "concurrency_key")
    if key is None:
        return None
    limit = fields.integer_or_none("max_concurrency", LIMIT_MAX)
    rate = fields.text_or_none("rate")
    if limit == 0 or (limit is None and rate is None):
        raise fields.wrong("max_concurrency", "a number from 1 on", limit)
    if rate is not None:
        try:
            parse_rate(rate)
        except ValueError as error:
            raise DecodeError(f"{error} at {fields.where}") from error
    return Concurrency(key=key, limit=limit or 0, rate=rate)


def _template_or_none(fields: Fields, name: str) -> str | None:
    template = fields.text_or_none(name)
    if template is not None:
        try:
            check_template(template, name)
        except ValueError as error:
            raise DecodeError(f"{error} at {fields.where}") from error
    return template


def _needs(fields: Fields) -> tuple[Need, ...]:
    needs: object = fields.data.get("needs", {})
    if not isinstance(needs, dict):
        raise fields.wrong("needs", "paths by name", needs)
    paths = cast("dict[str, object]", needs)
    inner = Fields(paths, f"{fields.where}.needs")
    return tuple(Need(name=name, path=inner.text(name)) for name in paths)


def _delay(fields: Fields, _depth: int) -> Node:
    return DelayNode(
        id=fields.text("id"), duration_ms=fields.integer("duration_ms", MAX_MS)
    )


def _signal(fields: Fields, _depth: int) -> Node:
    on_timeout = fields.text("on_timeout")
    if on_timeout not in ("null", "fail"):
        raise fields.wrong("on_timeout", "null or fail", on_timeout)
    keep_input: object = fields.data.get("keep_input", False)
    if not isinstance(keep_input, bool):
        raise fields.wrong("keep_input", "true or false", keep_input)
    return SignalNode(
        id=fields.text("id"),
        signal=fields.text("signal"),
        timeout_ms=fields.integer_or_none("timeout_ms", MAX_MS),
        on_timeout="fail" if on_timeout == "fail" else "null",
        keep_input=keep_input,
    )


def _branches(fields: Fields, depth: int) -> tuple[Branch, ...]:
    branches: list[Branch] = []
    for number, item in enumerate(fields.items("branches")):
        inner = Fields(item, f"{fields.where}.branches[{number}]")
        chain = chain_from_json(inner, "chain", depth)
        branches.append(Branch(name=inner.text("name"), chain=chain))
    return tuple(branches)


def _fork(fields: Fields, depth: int) -> Node:
    branches = _branches(fields, depth)
    if not branches:
        raise fields.wrong("branches", "at least one branch", [])
    return ForkNode(id=fields.text("id"), branches=branches)


def _route(fields: Fields, depth: int) -> Node:
    default = None
    if fields.data.get("default") is not None:
        default = chain_from_json(fields, "default", depth)
    return RouteNode(
        id=fields.text("id"),
        keys=fields.texts("keys"),
        branches=_branches(fields, depth),
        default=default,
    )


def _loop(fields: Fields, depth: int) -> Node:
    on_max = fields.text("on_max")
    if on_max not in ("fail", "exit_with_last"):
        raise fields.wrong("on_max", "fail or exit_with_last", on_max)
    return LoopNode(
        id=fields.text("id"),
        body=chain_from_json(fields, "body", depth),
        max_iterations=fields.integer("max_iterations"),
        on_max="fail" if on_max == "fail" else "exit_with_last",
    )


def _child(fields: Fields, depth: int) -> Node:
    return ChildNode(
        id=fields.text("id"),
        workflow=fields.text("workflow"),
        chain=chain_from_json(fields, "chain", depth),
    )


def _start_child(fields: Fields, _depth: int) -> Node:
    on_parent_end = fields.text("on_parent_end")
    if on_parent_end not in ("cancel", "leave"):
        raise fields.wrong("on_parent_end", "cancel or leave", on_parent_end)
    waits: object = fields.data.get("waits")
    if not isinstance(waits, bool):
        raise fields.wrong("waits", "true or false", waits)
    child_id = fields.text("child_id")
    wrong = wrong_template(child_id)
    if wrong is not None:
        raise fields.wrong("child_id", wrong, child_id)
    return StartChildNode(
        id=fields.text("id"),
        workflow=fields.text("workflow"),
        version=fields.text_or_none("version"),
        child_id=child_id,
        waits=waits,
        on_parent_end="cancel" if on_parent_end == "cancel" else "leave",
    )


def _try(fields: Fields, depth: int) -> Node:
    return TryNode(
        id=fields.text("id"),
        body=chain_from_json(fields, "body", depth),
        handler=chain_from_json(fields, "handler", depth),
        errors=fields.texts("errors"),
    )


_NODES: dict[str, Callable[[Fields, int], Node]] = {
    "task": _task,
    "delay": _delay,
    "signal": _signal,
    "fork": _fork,
    "route": _route,
    "loop": _loop,
    "child": _child,
    "start_child": _start_child,
    "try": _try,
}
