"""What is decided on a command: the table of commands × states.

Checks in this order: bounds, duplicates, then the command's own. Every command is
answered by exactly one decision: accepted, acknowledged or rejected, with a reason that
reads `expected X, but Y`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.attempts import answer_outcome
from sayiir_es.core.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    RecordOutcome,
    SendSignal,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.definitions import Definitions, graph_of
from sayiir_es.core.events import (
    CancelRequested,
    CommandAcknowledged,
    CommandRejected,
    PauseRequested,
    SignalReceived,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowUnpaused,
)
from sayiir_es.core.nodes import signal
from sayiir_es.core.outcomes import Outcome
from sayiir_es.core.rows import (
    TERMINAL,
    Header,
    chain_of,
    remembered_command,
    remembered_signal,
    run,
)
from sayiir_es.core.settle import open_node, owed_moves, settle, unsupported

if TYPE_CHECKING:
    from sayiir_es.core.definition import Graph
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.outcomes import Commanded

NOT_FOUND = "expected an instance {!r}, but there is none"
"""The text of every `not_found`."""


def answer(draft: Draft, asked: Commanded, definitions: Definitions) -> None:
    """Decide on one command."""
    command = asked.command
    draft.cause = asked.position.cause()
    wrong = _out_of_bounds(draft, command)
    if wrong is not None:
        if not 0 < len(command.instance_id.encode()) <= draft.limits.id_bytes:
            draft.instance_id = ""
        _reject(draft, command, *wrong)
        return
    known_answer = _answered_already(draft, asked)
    if known_answer is not None:
        _acknowledge(draft, command, "duplicate", known_answer)
        return
    match command:
        case StartWorkflow():
            _start(draft, command, definitions)
        case SendSignal():
            _signal(draft, command, definitions)
        case CancelWorkflow():
            _cancel(draft, command, definitions)
        case PauseWorkflow():
            _pause(draft, command, definitions)
        case UnpauseWorkflow():
            _unpause(draft, command, definitions)
        case RecordOutcome():
            _record_outcome(draft, command, definitions)
        case _:
            assert_never(command)


def _out_of_bounds(draft: Draft, command: Command) -> tuple[str, str] | None:
    limit = draft.limits.id_bytes
    if not command.instance_id:
        return "bad_request", "expected an instance_id or a record key, but neither"
    names = [("instance_id", command.instance_id), ("command_id", command.command_id)]
    payload = b""
    if isinstance(command, StartWorkflow):
        names.append(("workflow", command.workflow))
        payload = command.input
    elif isinstance(command, SendSignal):
        names += [("signal", command.signal), ("signal_id", command.signal_id or "-")]
        payload = command.payload
    elif isinstance(command, RecordOutcome):
        payload = command.output or b""
    for name, text in names:
        size = len(text.encode("utf-8", "surrogatepass"))
        if not 0 < size <= limit:
            return (
                "bad_request",
                f"expected a {name} of 1 to {limit} bytes, but {size} bytes",
            )
    if len(payload) > draft.limits.payload_bytes:
        limit = draft.limits.payload_bytes
        return (
            "too_large",
            f"expected a payload of at most {limit} bytes, but {len(payload)} bytes",
        )
    return None


def _answered_already(draft: Draft, asked: Commanded) -> int | None:
    command = asked.command
    answered = remembered_command(draft.rows, command.command_id)
    if answered is None and isinstance(command, SendSignal) and command.signal_id:
        answered = remembered_signal(draft.rows, command.signal_id)
    if answered is None and asked.known_origin:
        return 0
    return answered


# --- start ----------------------------------------------------------------------------


def _start(draft: Draft, command: StartWorkflow, definitions: Definitions) -> None:
    graph = definitions.by_name(command.workflow, command.definition_hash)
    if graph is None:
        wanted = (
            f" with definition hash {command.definition_hash!r}"
            if command.definition_hash
            else ""
        )
        _reject(
            draft,
            command,
            "unknown_workflow",
            f"expected a published workflow {command.workflow!r}{wanted}, but there "
            "is none",
        )
        return
    known, started = draft.header, run(draft.rows)
    policy = command.conflict_policy
    if known is not None and started is not None:
        found_hash = graph.definition_hash
        if policy != "terminate_existing" and started.definition_hash != found_hash:
            _reject(
                draft,
                command,
                "definition_mismatch",
                f"expected hash '{started.definition_hash}', found '{found_hash}'",
            )
            return
        if policy == "fail":
            _reject(
                draft,
                command,
                "already_exists",
                f"expected no instance {command.instance_id!r}, but it exists",
            )
            return
        if policy == "use_existing":
            _acknowledge(draft, command, "unchanged", known.sequence)
            return
    _run(draft, command, graph, known)


def _run(
    draft: Draft, command: StartWorkflow, graph: Graph, known: Header | None
) -> None:
    odd = unsupported(graph.chain)
    if odd is not None:
        _reject(
            draft,
            command,
            "bad_request",
            "expected a chain of tasks, delays and signals, but "
            f"{odd.id!r} is a {type(odd).__name__}",
        )
        return
    draft.graph = graph
    if known is not None and known.run > 0 and known.phase not in TERMINAL:
        draft.emit(
            WorkflowTerminated(
                command_id=command.command_id, reason="terminate_existing"
            )
        )
    draft.emit(
        WorkflowStarted(
            command_id=command.command_id,
            workflow=command.workflow,
            definition_hash=graph.definition_hash,
            graph_digest=graph.digest,
            input=command.input,
            conflict_policy=command.conflict_policy,
            attributes=dict(command.attributes),
        ),
        run=(known.run if known is not None else 0) + 1,
    )
    open_node(draft, graph.first, "start")
    settle(draft)


# --- signals --------------------------------------------------------------------------


def _signal(draft: Draft, command: SendSignal, definitions: Definitions) -> None:
    known = draft.header
    if known is not None and known.phase in TERMINAL:
        _reject(draft, command, "terminal", _not_terminal(command, known))
        return
    if known is not None and known.buffered >= draft.limits.buffered_signals:
        _reject(
            draft,
            command,
            "too_many_signals",
            f"expected at most {draft.limits.buffered_signals} buffered signals, but "
            "they are as many already",
        )
        return
    draft.emit(
        SignalReceived(
            command_id=command.command_id,
            signal=command.signal,
            signal_id=command.signal_id,
            payload=command.payload,
        )
    )
    waiting = signal.oldest_wait(draft.rows, command.signal)
    if waiting is not None:
        _load_graph(draft, definitions)
        draft.touched.append(chain_of(waiting))
        settle(draft)


# --- control --------------------------------------------------------------------------


def _cancel(draft: Draft, command: CancelWorkflow, definitions: Definitions) -> None:
    known = _existing(draft, command)
    if known is None:
        return
    if known.phase == "cancelled" or known.cancel is not None:
        _acknowledge(draft, command, "unchanged", known.sequence)
    elif known.phase in TERMINAL:
        _reject(draft, command, "terminal", _not_terminal(command, known))
    else:
        draft.emit(
            CancelRequested(
                command_id=command.command_id,
                reason=command.reason,
                requested_by=command.requested_by,
            )
        )
        _load_graph(draft, definitions)
        settle(draft)


def _pause(draft: Draft, command: PauseWorkflow, definitions: Definitions) -> None:
    known = _existing(draft, command)
    if known is None:
        return
    if known.phase in TERMINAL:
        _reject(draft, command, "terminal", _not_terminal(command, known))
    elif known.pause is not None or known.cancel is not None:
        _acknowledge(draft, command, "unchanged", known.sequence)
    else:
        draft.emit(
            PauseRequested(
                command_id=command.command_id,
                reason=command.reason,
                requested_by=command.requested_by,
            )
        )
        _load_graph(draft, definitions)
        settle(draft)


def _unpause(draft: Draft, command: UnpauseWorkflow, definitions: Definitions) -> None:
    known = _existing(draft, command)
    if known is None:
        return
    if known.pause is None or known.cancel is not None or known.phase in TERMINAL:
        seen = "cancel requested" if known.cancel is not None else known.phase
        _reject(
            draft,
            command,
            "not_paused",
            f"expected a paused instance, but it is {seen}",
        )
        return
    draft.emit(
        WorkflowUnpaused(
            command_id=command.command_id,
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    graph = _load_graph(draft, definitions)
    draft.touched.extend(reversed(owed_moves(draft.rows, graph)))
    settle(draft)


def _record_outcome(
    draft: Draft, command: RecordOutcome, definitions: Definitions
) -> None:
    if _existing(draft, command) is None:
        return
    answer_outcome(
        draft,
        Outcome(
            instance_id=command.instance_id,
            run=command.run,
            path=command.path,
            attempt=command.attempt,
            result=command.result,
            output=command.output,
            loop=command.loop,
            error_type=command.error_type or "",
            error=command.error or "",
            retriable=command.retriable,
            worker=command.worker,
        ),
        definitions,
    )


# --- answers --------------------------------------------------------------------------


def _existing(draft: Draft, command: Command) -> Header | None:
    known = draft.header
    if known is None or known.run == 0:
        _reject(draft, command, "not_found", NOT_FOUND.format(command.instance_id))
        return None
    return known


def _load_graph(draft: Draft, definitions: Definitions) -> Graph:
    draft.graph = graph_of(draft.rows, definitions)
    return draft.graph


def _not_terminal(command: Command, known: Header) -> str:
    return (
        f"expected an instance that has not ended, but {command.instance_id!r} is "
        f"{known.phase}"
    )


def _reject(draft: Draft, command: Command, code: str, message: str) -> None:
    draft.answer(
        CommandRejected(
            command=type(command).__name__,
            command_id=command.command_id[: draft.limits.id_bytes],
            code=code,
            message=message,
        )
    )


def _acknowledge(draft: Draft, command: Command, code: str, answered_by: int) -> None:
    draft.answer(
        CommandAcknowledged(
            command=type(command).__name__,
            command_id=command.command_id,
            code="duplicate" if code == "duplicate" else "unchanged",
            answered_by=answered_by,
        )
    )
