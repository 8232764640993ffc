"""One populated and one minimal example of every kind, command and snapshot."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model import commands as c
from sayiir_es.core.model import events as e
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.child_events import (
    ChildCancelSent,
    ChildEndReported,
    ChildInstanceEnded,
    ChildInstanceRequested,
    ChildInstanceSent,
    ChildStartRefused,
)
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
    CompensationStarted,
)
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitGranted,
    PermitQueued,
    PermitReleased,
    PermitReturned,
    PermitTaken,
)
from sayiir_es.core.status.instance_summary import InstanceSummary
from sayiir_es.wire.attempts import (
    AttemptCancelled,
    AttemptRecord,
    PublishedAttempt,
    encode_attempt,
)
from sayiir_es.wire.commands import encode_command_avro
from sayiir_es.wire.events import COMMON_FIELDS, KINDS, encode_event
from sayiir_es.wire.schema import (
    ATTEMPT_NAMESPACE,
    COMMAND_NAMESPACE,
    EVENT_NAMESPACE,
    SNAPSHOT_NAMESPACE,
    RecordSchema,
    load_schemas,
    schema_directory,
)
from sayiir_es.wire.snapshots import encode_snapshot
from tests.wire.waiting_examples import ABOUT_WAITING_RUNS, WAITING_RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping

AT = 1_753_000_000_123
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PATH = "eu||us/eu/charge%2F1#2"

EVENT_SCHEMAS = load_schemas(EVENT_NAMESPACE)
COMMAND_SCHEMAS = load_schemas(COMMAND_NAMESPACE)

BODIES: tuple[e.Body, ...] = (
    e.PartitionClaimed(
        owner="w1",
        build="0.1.0",
        next_command=70_000,
        digest_end=2**40,
        digest=bytes(range(32)),
        signature=bytes(range(64)),
    ),
    e.CommandForwarded(
        forwarded_instance_id="order-7", to_partition=5, to_offset=2**40
    ),
    e.CommandDeadLettered(reason="expected a command, but null", dead_letter="3@12"),
    e.CommandDeferred(
        command="ForkWorkflow",
        command_id="3@48",
        deferred_instance_id="order-7",
        source_instance_id="order-6",
        source_sequence=2**40,
    ),
    e.CommandsLost(
        first_offset=70_000,
        end_offset=2**40,
        accepted_by="ana@ops-1",
        reason="the topic was cut",
    ),
    e.CommandRejected(
        command="StartWorkflow",
        command_id="3@41",
        code="already_exists",
        message="expected no instance 'order-7', but it exists",
    ),
    e.CommandAcknowledged(
        command="SendSignal", command_id="mail-81", code="duplicate", answered_by=9
    ),
    e.WorkflowStarted(
        command_id="3@41",
        workflow="orders",
        definition_hash="ab" * 32,
        graph_digest="cd" * 32,
        input=b'{"amount":5}',
        conflict_policy="terminate_existing",
        attributes={"customer": "ana", "región": "eu"},
        deadline_at=AT + 60_000,
        traceparent=TRACEPARENT,
        version="2",
        parent="batch-1",
        parent_run=2,
        parent_path=PATH,
        parent_secret="0f" * 16,
    ),
    e.CancelRequested(command_id="3@42", reason="too late", requested_by="ana"),
    e.PauseRequested(command_id="3@43", reason="stock", requested_by="bo"),
    e.WorkflowUnpaused(command_id="3@44", reason="stock is back", requested_by="bo"),
    e.WorkflowTerminated(command_id="3@45", reason="terminate_existing"),
    e.WorkflowPaused(reason="stock", requested_by="bo"),
    e.WorkflowCompleted(output='{"ok":"✓"}'.encode()),
    e.WorkflowFailed(
        path=PATH,
        error_type="ValueError",
        error="ValueError: no",
        compensated=("charge", PATH),
        not_compensated=("réserve",),
    ),
    e.WorkflowCancelled(
        reason="too late",
        requested_by="ana",
        interrupted_at=(PATH, "ship"),
        compensated=("charge",),
        not_compensated=(PATH, "reserve"),
    ),
    CompensationRequested(path=PATH, error_type="ValueError", error="ValueError: no"),
    CompensationStarted(reason="cancelled", interrupted_at=(PATH, "ship")),
    CompensationEnded(path=PATH, undone=True),
    e.WorkflowRetried(
        command_id="3@46",
        input=b'{"card":"4242"}',
        reason="another card",
        requested_by="ana",
        deadline_at=AT + 60_000,
    ),
    e.WorkflowForked(
        command_id="3@48",
        source_instance_id="order-6",
        source_run=2,
        source_sequence=300,
    ),
    e.WorkflowMigrated(
        command_id="3@50",
        graph_digest="ef" * 32,
        definition_hash="ab" * 32,
        version="3",
        mapping={"eu||us/eu/charge": "eu||us/eu/pay", "ship": "ship#2"},
        reason="renamed",
        requested_by="ana",
    ),
    e.InstanceQuarantined(
        error_type="RecursionError",
        error="RecursionError: maximum recursion depth exceeded",
        decided_on="the outcome of 'charge', attempt 1",
    ),
    e.InstanceReleased(
        command_id="3@49",
        reason="mended",
        requested_by="bo",
        deadline_at=AT + 60_000,
    ),
    e.PositionUpdated(path=PATH, attempt=1, input="start"),
    e.DelayStarted(path="wait", due_at=AT + 30_000, input="result:charge"),
    e.SignalAwaited(
        path="ok", signal="approval", until_at=AT + 1, input="result:charge"
    ),
    e.ForkStarted(path="eu||us", branches=("eu", "us"), input="start"),
    e.LoopStarted(path="loop_0", input="value:loop_0@3"),
    e.ChildStarted(path="child_0", input="null"),
    e.TryStarted(path="attempt_0", input="result:charge"),
    e.TaskCompleted(
        path=PATH,
        attempt=2,
        output=b'{"amount":5}',
        loop="again",
        worker="w1",
        compensable=True,
    ),
    e.RetryRecorded(
        path=PATH,
        attempt=1,
        error_type="timeout",
        error="expected an outcome in 2 s, but none",
        timed_out=True,
        next_retry_at=AT + 500,
        worker="w1",
        error_class="shop.errors.Slow",
        source_line="/shop/orders.py:17 in charge",
        causes=("OSError: gone",),
        traceback="Traceback (most recent call last):\n",
    ),
    e.TaskFailed(
        path=PATH,
        attempt=3,
        error_type="KeyError",
        error="KeyError: 'amount'",
        timed_out=True,
        worker="w2",
        error_class="builtins.KeyError",
        source_line="/shop/orders.py:21 in price",
        causes=("ValueError: no amount", "TypeError: é"),
        traceback="Traceback …\nKeyError: 'amount'\n",
        error_bases=("builtins.KeyError", "builtins.LookupError", "builtins.Exception"),
    ),
    e.DeadlineSet(path=PATH, attempt=1, deadline_at=AT + 2_000, timeout_ms=2_000),
    e.DeadlineCleared(path=PATH, attempt=1),
    e.AttemptWithdrawn(path=PATH, attempt=128),
    e.AttemptRestarted(path=PATH, attempt=1, restarts=10),
    AttemptPublished(
        path=PATH,
        attempt=1,
        secret_hash=bytes(range(32)),
        executor="gpu-1",
        lease_ms=10_000,
    ),
    e.OutcomeRejected(path=PATH, attempt=1, reason="late"),
    e.DelayElapsed(path="wait"),
    e.SignalReceived(
        command_id="3@47",
        signal="approval",
        signal_id="mail-81",
        payload=b"true",
        traceparent=TRACEPARENT,
    ),
    e.SignalConsumed(path="ok", signal_sequence=300),
    e.SignalTimedOut(path="ok", error="Signal 'approval' did not come within 1000ms"),
    e.RouteChosen(path="route_0", key="express", branch="@default"),
    e.BranchCompleted(path="eu||us", branch="eu", result=f"result:{PATH}"),
    e.LoopIterated(path="loop_0", iteration=4, value=b"[1,2]", outcome="exceeded"),
    e.ChildCompleted(path="child_0", result="result:child_0/charge"),
    e.ErrorCaught(
        path="attempt_0",
        failed_path="attempt_0/@body/charge",
        error_type="KeyError",
        error="KeyError: 'amount'",
    ),
    e.TryCompleted(path="attempt_0", result="result:attempt_0/@on_error/refund"),
    ChildInstanceRequested(
        path=PATH,
        child_id="order-7/eu",
        workflow="ship",
        version="2",
        input="routed:route",
        value=b'{"branch":"eu","result":5}',
        secret="0f" * 16,
        waits=True,
        on_parent_end="leave",
    ),
    ChildInstanceSent(path=PATH, child_id="order-7/eu"),
    ChildInstanceEnded(
        command_id="child-end-" + "ab" * 16,
        path=PATH,
        child_id="order-7/eu",
        child_run=2,
        end="failed",
        output=b"null",
        error_type="CardDeclined",
        error="CardDeclined: no funds",
        error_bases=("shop.errors.CardDeclined", "builtins.Exception"),
    ),
    ChildCancelSent(path=PATH, child_id="order-7/eu"),
    ChildStartRefused(
        parent="batch-1",
        parent_run=2,
        parent_path=PATH,
        parent_secret="0f" * 16,
        error_type="already_exists",
        error="expected no instance 'order-7', but it exists",
    ),
    ChildEndReported(parent="batch-1", parent_path=PATH, child_run=2),
    PermitQueued(holder="order-7", path=PATH, ask=17, limit=3, rate="5/h"),
    PermitGranted(holder="order-7", path=PATH, ask=17, limit=0, rate="5/h burst 2"),
    PermitReturned(permit=301),
    LimitSet(
        command_id="3@47",
        max_concurrency=5,
        rate="10/s burst 20",
        reason="their API is slow",
        requested_by="ana",
        max_running=5,
        queue_length=1_000,
    ),
    PermitTaken(holder="order-7", path=PATH, ask=17, key="tenant:42", permit=301),
    PermitReleased(holder="order-7", key="tenant:42", permit=301),
    *WAITING_RUNS,
)

COMMANDS: tuple[c.Command, ...] = (
    c.StartWorkflow(
        instance_id="order-7",
        command_id="3@41",
        workflow="orders",
        input=b'{"amount":5}',
        definition_hash="ab" * 32,
        conflict_policy="use_existing",
        attributes={"customer": "ana"},
        traceparent=TRACEPARENT,
        version="2",
        parent="batch-1",
        parent_run=2,
        parent_path=PATH,
        parent_secret="0f" * 16,
    ),
    c.SendSignal(
        instance_id="order-7",
        command_id="3@42",
        signal="approval",
        payload=b'{"ok":true}',
        signal_id="mail-81",
    ),
    c.CancelWorkflow(
        instance_id="order-7", command_id="x", reason="late", requested_by="ana"
    ),
    c.PauseWorkflow(
        instance_id="order-7", command_id="y", reason="stock", requested_by="bo"
    ),
    c.UnpauseWorkflow(
        instance_id="order-7", command_id="z", reason="stock", requested_by="bo"
    ),
    c.RetryWorkflow(
        instance_id="order-7",
        command_id="r",
        input=b'{"card":"4242"}',
        reason="another card",
        requested_by="ana",
    ),
    c.MigrateWorkflow(
        instance_id="order-7",
        command_id="m",
        to="abababab",
        mapping={"charge": "pay"},
        reason="renamed",
        requested_by="ana",
    ),
    c.ForkWorkflow(
        instance_id="order-7",
        command_id="f",
        source_instance_id="order-6",
        source_sequence=300,
    ),
    c.AskPermit(
        instance_id="$limit/tenant:42",
        command_id="3@44",
        holder="order-7",
        path=PATH,
        ask=17,
        limit=3,
        rate="10/s",
    ),
    c.SetLimit(
        instance_id="$limit/tenant:42",
        command_id="3@47",
        max_concurrency=0,
        rate="10/s",
        reason="their API is slow",
        requested_by="ana",
        max_running=5,
        queue_length=1_000,
    ),
    c.GrantPermit(
        instance_id="order-7",
        command_id="3@45",
        key="tenant:42",
        path=PATH,
        ask=17,
        permit=301,
    ),
    c.ReturnPermit(
        instance_id="$limit/tenant:42",
        command_id="3@46",
        holder="order-7",
        permit=301,
    ),
    *ABOUT_WAITING_RUNS,
    c.RecordOutcome(
        instance_id="order-7",
        command_id="3@43",
        run=2,
        path=PATH,
        attempt=3,
        result="failed",
        output=b"null",
        loop="done",
        error_type="ValueError",
        error="ValueError: no",
        retriable=False,
        worker="w9",
        secret=bytes(range(16)),
        error_class="builtins.ValueError",
        source_line="/shop/orders.py:21 in price",
        causes=("OSError: gone", "TypeError: é"),
        traceback="Traceback …\nValueError: no\n",
        error_bases=("builtins.ValueError", "builtins.Exception"),
    ),
    c.RecordChildEnd(
        instance_id="batch-1",
        command_id="child-end-" + "ab" * 16,
        run=2,
        path=PATH,
        child_id="order-7",
        child_run=3,
        end="completed",
        secret="0f" * 16,
        output=b'{"ok":true}',
        error_type="CardDeclined",
        error="CardDeclined: no funds",
        error_bases=("shop.errors.CardDeclined", "builtins.Exception"),
    ),
)

_EMPTY: Mapping[str, object] = {
    "int": 0,
    "long": 0,
    "string": "",
    "bytes": b"",
    "boolean": False,
    "[string]": (),
    "{string}": {},
    "{bytes}": {},
}


def empty_values(schema: RecordSchema) -> dict[str, Any]:
    """Return the smallest value of each field."""
    return {field.name: _EMPTY.get(field.shape) for field in schema.fields}


def event_of(schema: RecordSchema, values: Mapping[str, Any]) -> e.Event:
    """Return the event that has these values in its fields."""
    common = {name: values[name] for name in COMMON_FIELDS}
    own = {f.name: values[f.name] for f in schema.fields[len(COMMON_FIELDS) :]}
    build: Any = KINDS[schema.name]
    return e.Event(**common, body=build(**own))


def populated_event(body: e.Body) -> e.Event:
    return e.Event(
        claim=1_001,
        instance_id="order-7é",
        run=1,
        sequence=65,
        at=AT,
        cause=f"outcome:{PATH}#1",
        body=body,
    )


def minimal_event(kind: str) -> e.Event:
    schema = EVENT_SCHEMAS[kind]
    return event_of(schema, {**empty_values(schema), "claim": -1})


def minimal_command(name: str) -> c.Command:
    schema = COMMAND_SCHEMAS[name]
    values_of_field: dict[str, Any] = {
        "conflict_policy": "fail",
        "result": "completed",
        "loop": "none",
        "end": "completed",
        "instance_id": "",
        "command_id": "",
    }
    values = empty_values(schema)
    values.update(
        (field, values_of_field[field])
        for field in values_of_field.keys() & values.keys()
    )
    build: Any = {type(command).__name__: type(command) for command in COMMANDS}[name]
    command: c.Command = build(**values)
    return command


def minimal_snapshot() -> InstanceSummary:
    schema = load_schemas(SNAPSHOT_NAMESPACE)["InstanceSnapshot"]
    values = empty_values(schema)
    values["status"] = "in_progress"
    return InstanceSummary(**values)


SNAPSHOT = InstanceSummary(
    claim=1_001,
    instance_id="order-7é",
    run=2,
    sequence=65,
    offset=2**40,
    complete_before=70_000,
    workflow="orders",
    definition_hash="ab" * 32,
    graph_digest="cd" * 32,
    status="waiting",
    waiting_for="delay 'cool' until 2025-07-20T08:26:40.123Z",
    output=b'{"amount":5}',
    error="ValueError: no",
    error_type="ValueError",
    reason="too late",
    requested_by="ana",
    wake_at=AT,
    node_id="cool",
    signal="approval",
    started_at=AT - 1,
    updated_at=AT,
    attributes={"customer": "ana", "región": "eu"},
)
"""No real instance has all of these at once."""


EVENTS: tuple[e.Event, ...] = tuple(populated_event(body) for body in BODIES)


PUBLISHED = PublishedAttempt(
    executor="gpu-1",
    instance_id="order-7é",
    run=2,
    path=PATH,
    attempt=3,
    secret=bytes(range(16)),
    partition=5,
    workflow="orders",
    definition_hash="ab" * 32,
    graph_digest="cd" * 32,
    task_id="charge/1",
    input=b'{"amount":5}',
    named={"workflow_input": b'{"amount":5}', "prüfen": b"true"},
    tags=("eu", "gpu"),
    timeout_ms=30_000,
    heartbeat_timeout_ms=5_000,
    lease_ms=7_000,
    idempotency_key="0f" * 16,
    lineage=1,
    ends_loop=True,
    is_key=True,
    traceparent=TRACEPARENT,
    payload_limit=1_000,
)
CANCELLED = AttemptCancelled(
    executor="gpu-1",
    instance_id="order-7é",
    run=2,
    path=PATH,
    attempt=3,
    reason="pause",
    grace_ms=5_000,
)
ATTEMPTS: tuple[AttemptRecord, ...] = (PUBLISHED, CANCELLED)


def attempt_name(record: AttemptRecord) -> str:
    """The name of an attempt record's schema."""
    return "AttemptCancelled" if isinstance(record, AttemptCancelled) else "Attempt"


def minimal_attempt(record: AttemptRecord) -> AttemptRecord:
    schema = load_schemas(ATTEMPT_NAMESPACE)[attempt_name(record)]
    values = empty_values(schema)
    least: dict[str, Any] = {"reason": "lost", "secret": bytes(16)}
    values.update((name, least[name]) for name in least.keys() & values.keys())
    return replace(record, **values)


def golden_bytes() -> dict[str, dict[str, str]]:
    """Return what today's code writes for the examples, in hex, by full name."""
    golden: dict[str, dict[str, str]] = {}
    for event in EVENTS:
        golden[f"{EVENT_NAMESPACE}.{event.kind}"] = {
            "populated": encode_event(event).hex(),
            "minimal": encode_event(minimal_event(event.kind)).hex(),
        }
    for command in COMMANDS:
        name = type(command).__name__
        golden[f"{COMMAND_NAMESPACE}.{name}"] = {
            "populated": encode_command_avro(command).hex(),
            "minimal": encode_command_avro(minimal_command(name)).hex(),
        }
    golden[f"{SNAPSHOT_NAMESPACE}.InstanceSnapshot"] = {
        "populated": encode_snapshot(SNAPSHOT).hex(),
        "minimal": encode_snapshot(minimal_snapshot()).hex(),
    }
    for record in ATTEMPTS:
        golden[f"{ATTEMPT_NAMESPACE}.{attempt_name(record)}"] = {
            "populated": encode_attempt(record).hex(),
            "minimal": encode_attempt(minimal_attempt(record)).hex(),
        }
    return golden


def avro_json(full_name: str) -> dict[str, Any]:
    """Return a schema as its file has it."""
    text = (schema_directory() / f"{full_name}.avsc").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
