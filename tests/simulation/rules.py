"""Rules of the event contract that the topic alone can show, instance by instance.

In addition to those of `tests.kafka.verdict`: timers are never early, nothing moves on
behind a request, a command counts once, nothing follows an end, attempts are numbered
from 1, an end names each task that can be undone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import DelayNode
from tests.kafka.reader import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.graph.graph import Graph
    from tests.kafka.reader import PartitionContent, ReadEvent

MOVES = frozenset({"PositionUpdated", "DeadlineSet", "AttemptRestarted"})
HOLDS = frozenset({"PauseRequested", "CancelRequested", "CompensationRequested"})
AFTER_THE_END = frozenset(
    {
        *("CommandRejected", "CommandAcknowledged", "OutcomeRejected"),
        *("ChildInstanceSent", "ChildInstanceEnded", "ChildCancelSent"),
        *("ChildEndReported", "PermitTaken", "PermitReleased"),
    }
)
ENDS_AN_ATTEMPT = frozenset({"TaskCompleted", "TaskFailed", "RetryRecorded"})


def of_instances(
    partitions: Mapping[int, PartitionContent], graphs: Mapping[str, Graph]
) -> Iterator[str]:
    """The violations in the events of all instances; `graphs` are by instance."""
    histories: dict[str, list[ReadEvent]] = {}
    for content in partitions.values():
        for event in content.valid:
            if event.instance_id:
                histories.setdefault(event.instance_id, []).append(event)
    for instance_id, history in histories.items():
        yield from _of_timers(history)
        if instance_id in graphs:
            yield from _of_lengths(history, graphs[instance_id])
        yield from _of_requests(history)
        yield from _of_commands(history)
        yield from _of_attempts(history)
        yield from _of_compensations(history)


def of_children(partitions: Mapping[int, PartitionContent]) -> Iterator[str]:
    """Each child that was asked for began, as long as it was wanted, and has ended.

    It gives what it was given, and no request began two of its runs.
    """
    given: dict[str, object] = {}
    ended: set[str] = set()
    secrets: Counter[str] = Counter()
    for content in partitions.values():
        for event in content.valid:
            if event.kind == "WorkflowStarted" and event.body["parent"]:
                given[event.instance_id] = event.body["input"]
                ended.discard(event.instance_id)
                secrets[event.text("command_id")] += 1
            elif event.kind in TERMINAL and event.instance_id in given:
                ended.add(event.instance_id)
                output = event.body.get("output")
                expected = given[event.instance_id]
                if event.kind == "WorkflowCompleted" and output != expected:
                    yield f"{event.where}: a child gives {output!r} for {expected!r}"
    yield from (f"child {name} has not ended" for name in sorted({*given} - ended))
    yield from (f"{name} began {n} children" for name, n in secrets.items() if n > 1)


def of_permits(partitions: Mapping[int, PartitionContent]) -> Iterator[str]:
    """Every permit that a limit has lent came back to it."""
    lent: set[tuple[str, int]] = set()
    for content in partitions.values():
        for event in content.valid:
            if event.kind == "PermitGranted":
                lent.add((event.instance_id, int(event.body["sequence"])))
            elif event.kind == "PermitReturned":
                lent.discard((event.instance_id, int(event.body["permit"])))
    yield from (f"permit {permit} of {limit} is out" for limit, permit in sorted(lent))


def handouts_of(
    partitions: Mapping[int, PartitionContent],
) -> Iterator[tuple[str, int, str, int]]:
    """The tokens of the attempts that were handed to executors elsewhere, in order."""
    for content in partitions.values():
        for event in content.valid:
            if event.kind == "AttemptPublished":
                run, attempt = int(event.body["run"]), int(event.body["attempt"])
                yield event.instance_id, run, event.text("path"), attempt


def _of_timers(history: list[ReadEvent]) -> Iterator[str]:
    due: dict[str, int | None] = {}
    is_undone = False
    for event in history:
        if event.kind == "WorkflowStarted":
            is_undone = False
        match event.kind:
            case "DelayStarted":
                due[event.text("path")] = event.body["due_at"]
            case "SignalAwaited":
                due[event.text("path")] = event.body["until_at"]
            case "WorkflowStarted" | "WorkflowRetried" | "InstanceReleased":
                due[""] = event.body["deadline_at"]
            case "WorkflowFailed" | "CompensationRequested" if not event.text("path"):
                # A fork records it again, by the clock of another owner; and behind
                # what was undone it ends so, whenever that is.
                is_said = is_undone or event.cause.startswith("command:")
                if not is_said and (due[""] is None or event.at < due[""]):
                    yield f"{event.where} ran out of time before {due['']}"
                is_undone = event.kind == "CompensationRequested" or is_undone
            case "DelayElapsed" | "SignalTimedOut":
                at_ms = due.pop(event.text("path"), None)
                # A fork records it again, by the clock of another owner.
                is_copied = event.cause.startswith("command:")
                if at_ms is None or (event.at < at_ms and not is_copied):
                    yield f"{event.where} fired at {event.at}, but was due at {at_ms}"
            case _:
                pass


def copies_of(events: list[ReadEvent]) -> set[str]:
    """Where events of a source stand that its fork recorded again."""
    copies: set[str] = set()
    left, fork = 0, ""
    for event in events:
        if event.kind == "WorkflowForked" and not left:
            left, fork = int(event.body["source_sequence"]), event.instance_id
        elif left and event.instance_id == fork:
            copies.add(event.where)
            left -= 1
    return copies


def _of_lengths(history: list[ReadEvent], graph: Graph) -> Iterator[str]:
    copies = copies_of(history)  # their time is the fork's, not that of their source
    for event in history:
        if event.kind == "DelayStarted" and event.where not in copies:
            place = graph.place(event.text("path"))
            node = None if place is None else place.node
            length_ms = int(event.body["due_at"]) - event.at
            if not isinstance(node, DelayNode) or length_ms != node.duration_ms:
                yield f"{event.where} sleeps {length_ms} ms at {node}"


def _of_requests(history: list[ReadEvent]) -> Iterator[str]:
    holding, ended = "", ""
    for event in history:
        if event.kind == "WorkflowMigrated" and ended.startswith("WorkflowF"):
            continue  # to be retried then
        if ended and event.kind not in AFTER_THE_END | {"SignalReceived"}:
            goes_on = event.kind == "WorkflowRetried" and ended.startswith("WorkflowF")
            if event.kind != "WorkflowStarted" and not goes_on:
                yield f"{event.where} stands behind {ended}"
            holding, ended = "", ""
        if holding and event.kind in MOVES:
            yield f"{event.where} moves on behind {holding}"
        if event.kind in HOLDS:
            holding = event.where
        elif event.kind == "CompensationStarted" or (
            event.kind == "WorkflowUnpaused" and holding.startswith("Pause")
        ):
            holding = ""
        elif event.kind in TERMINAL:
            ended = event.where


def _of_commands(history: list[ReadEvent]) -> Iterator[str]:
    times = Counter(
        (event.kind, event.text("command_id"))
        for event in history
        if event.kind in ("WorkflowStarted", "SignalReceived")
    )
    yield from (f"{name} counted {n} times" for name, n in times.items() if n > 1)
    received = Counter[int]()
    for event in history:
        if event.kind == "SignalConsumed":
            received[int(event.body["signal_sequence"])] += 1
    yield from (f"signal {n} consumed {x} times" for n, x in received.items() if x > 1)


def _of_attempts(history: list[ReadEvent]) -> Iterator[str]:
    awaited: dict[tuple[int, str], int] = {}
    for event in history:
        run = int(event.body["run"])
        key = (run, str(event.body.get("path")))
        if event.kind == "WorkflowRetried":
            for before, path in [key for key in awaited if key[0] == run - 1]:
                del awaited[before, path]
                awaited[run, path] = 1
        elif event.kind == "PositionUpdated":
            if int(event.body["attempt"]) != 1:
                yield f"{event.where} begins with attempt {event.body['attempt']}"
            awaited[key] = 1
        elif event.kind in ENDS_AN_ATTEMPT:
            if awaited.get(key) != int(event.body["attempt"]):
                yield f"{event.where} ends an attempt that nobody awaits: {event.body}"
            if event.kind == "RetryRecorded":
                awaited[key] = int(event.body["attempt"]) + 1
            elif event.kind == "TaskCompleted":
                awaited.pop(key, None)
            else:  # only a retry makes it due again
                awaited[key] = 0


def _of_compensations(history: list[ReadEvent]) -> Iterator[str]:
    """Each completed task that can be undone is, or could not be: once."""
    completed: list[str] = []
    for event in history:
        if event.kind == "WorkflowStarted":
            completed = []
        elif event.kind == "TaskCompleted" and event.body["compensable"]:
            completed.append(event.text("path"))
        elif event.kind in ("WorkflowFailed", "WorkflowCancelled"):
            named = [*event.body["compensated"], *event.body["not_compensated"]]
            if sorted(named) != sorted(completed):
                yield f"{event.where} names {named}, but {completed} can be undone"
