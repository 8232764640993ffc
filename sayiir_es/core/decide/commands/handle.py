"""What is decided on a command: the table of commands × states.

Checks in this order: bounds, duplicates, then the command's own. Every command is
answered by exactly one decision: accepted, acknowledged or rejected, with a reason that
reads `expected X, but Y`. A fork may be deferred before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide import debounce, permits, start_queue
from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.basis import basis_of, draft_in_run
from sayiir_es.core.decide.commands import (
    child_end,
    control,
    fork_instance,
    migrate,
    record_outcome,
    retry,
    start,
)
from sayiir_es.core.decide.rejections import (
    acknowledge,
    reject,
    reject_quarantined,
    reject_terminal,
)
from sayiir_es.core.draft import record
from sayiir_es.core.model.commands import (
    AnswerRunPermit,
    AskPermit,
    AskRunPermit,
    CancelWorkflow,
    Command,
    DebounceStart,
    ForkWorkflow,
    GrantPermit,
    MigrateWorkflow,
    PauseWorkflow,
    RecordChildEnd,
    RecordOutcome,
    RetryWorkflow,
    ReturnPermit,
    ReturnRunPermit,
    SendSignal,
    SetLimit,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import SignalReceived
from sayiir_es.core.model.rows import (
    TERMINAL,
    Rows,
    chain_of,
    get_forked_by,
    get_remembered_command,
    get_remembered_signal,
)
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.nodes import signal

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.model.commands import PermitCommand, RunPermitCommand
    from sayiir_es.core.model.inputs import Commanded
    from sayiir_es.core.model.limits import Limits


def handle_command(
    commanded: Commanded, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """Decide on one command."""
    command, limits = commanded.command, context.limits
    wrong = _out_of_bounds(command, limits)
    instance_id = command.instance_id
    if wrong is not None and not 0 < len(instance_id.encode()) <= limits.id_bytes:
        instance_id = ""
    basis = basis_of(instance_id, commanded.position.cause(), rows, context, room)
    if wrong is not None:
        return reject(basis, command, *wrong)
    answered_by = _answered_by(rows, commanded)
    if answered_by is not None:
        return acknowledge(basis, command, "duplicate", answered_by)
    match command:
        case StartWorkflow() | DebounceStart():
            return _start(basis, command, commanded.traceparent)
        case SendSignal():
            return _signal(basis, command, commanded.traceparent)
        case RecordChildEnd() | RecordOutcome():
            return _record(basis, command)
        case MigrateWorkflow():
            return migrate.migrate(basis, command, commanded.running)
        case ForkWorkflow():
            if commanded.source is None:
                return fork_instance.defer_fork(basis, commanded, command)
            return fork_instance.fork_instance(basis, command, commanded.source)
        case _:
            return _control(basis, command)


def _start(
    basis: Basis, command: StartWorkflow | DebounceStart, traceparent: str | None
) -> Decision:
    if isinstance(command, DebounceStart):
        return debounce.debounce(basis, command, traceparent)
    return start.start(basis, command, traceparent)


def _record(basis: Basis, command: RecordChildEnd | RecordOutcome) -> Decision:
    """What another process reports, which brings a secret."""
    if isinstance(command, RecordChildEnd):
        return child_end.child_ended(basis, command)
    return record_outcome.handle_record_outcome(basis, command)


def _control(
    basis: Basis,
    command: CancelWorkflow
    | PauseWorkflow
    | UnpauseWorkflow
    | RetryWorkflow
    | PermitCommand
    | RunPermitCommand,
) -> Decision:
    match command:
        case CancelWorkflow():
            return control.cancel(basis, command)
        case PauseWorkflow():
            return control.pause(basis, command)
        case UnpauseWorkflow():
            return control.unpause(basis, command)
        case RetryWorkflow():
            return retry.retry(basis, command)
        case SetLimit() if is_queue(command.instance_id):
            return start_queue.set_queue(basis, command)
        case AskPermit() | GrantPermit() | ReturnPermit() | SetLimit():
            return permits.handle(basis, command)
        case AskRunPermit() | AnswerRunPermit() | ReturnRunPermit():
            return start_queue.handle(basis, command)
        case _:
            assert_never(command)


def _out_of_bounds(command: Command, limits: Limits) -> tuple[str, str] | None:
    """What of a command is larger than events may carry: its answer has to fit, too."""
    if not command.instance_id:
        return "bad_request", "expected an instance_id or a record key, but neither"
    for name, text in _names(command):
        size = _size(text)
        if not 0 < size <= limits.id_bytes:
            return (
                "bad_request",
                f"expected a {name} of 1 to {limits.id_bytes} bytes, but {size} bytes",
            )
    if isinstance(command, ForkWorkflow) and command.source_sequence < 1:
        return (
            "bad_request",
            f"expected a source_sequence from 1 on, but {command.source_sequence}",
        )
    wrong = (
        permits.wrong_address(command)
        or start_queue.wrong_address(command)
        or debounce.wrong_address(command)
    )
    if wrong is not None:
        return "bad_request", wrong
    for what, size, limit in _sizes(command, limits):
        if size > limit:
            return (
                "too_large",
                f"expected {what} of at most {limit} bytes, but {size} bytes",
            )
    return None


def _names(command: Command) -> list[tuple[str, str]]:
    """What is a name or an id; one that was left out counts as one that does."""
    names = [("instance_id", command.instance_id), ("command_id", command.command_id)]
    match command:
        case StartWorkflow() | DebounceStart():
            names += _names_of_start(command)
        case SendSignal():
            names.append(("signal", command.signal))
            names.append(("signal_id", command.signal_id or "-"))
        case (
            CancelWorkflow()
            | PauseWorkflow()
            | UnpauseWorkflow()
            | RetryWorkflow()
            | SetLimit()
        ):
            names.append(("requested_by", command.requested_by or "-"))
        case MigrateWorkflow():
            names.append(("requested_by", command.requested_by or "-"))
            names.append(("to", command.to))
        case RecordOutcome():
            names.append(("worker", command.worker or "-"))
            names.append(("error_type", command.error_type or "-"))
        case RecordChildEnd():
            names.append(("child_id", command.child_id))
            names.append(("error_type", command.error_type or "-"))
            names.append(("secret", command.secret))
        case ForkWorkflow():
            names.append(("source_instance_id", command.source_instance_id))
        case AskPermit() | ReturnPermit() | AskRunPermit() | ReturnRunPermit():
            names.append(("holder", command.holder))
        case GrantPermit() | AnswerRunPermit():
            names.append(("key", command.key))
        case _:
            assert_never(command)
    return names


def _names_of_start(command: StartWorkflow | DebounceStart) -> list[tuple[str, str]]:
    names = [
        ("workflow", command.workflow),
        ("definition_hash", command.definition_hash or "-"),
        ("version", command.version or "-"),
    ]
    if isinstance(command, DebounceStart):
        return [*names, ("start_id", command.start_id)]
    names.append(("parent", command.parent or "-"))
    return [*names, ("parent_secret", command.parent_secret or "-")]


def _sizes(command: Command, limits: Limits) -> list[tuple[str, int, int]]:
    """What a command carries: what, how many bytes, and how many it may be."""
    match command:
        case StartWorkflow() | DebounceStart():
            texts = [text for pair in command.attributes.items() for text in pair]
            path = command.parent_path if isinstance(command, StartWorkflow) else ""
            return [
                ("a payload", len(command.input), limits.payload_bytes),
                ("attributes", sum(map(_size, texts)), limits.attributes_bytes),
                ("a path", _size(path), limits.payload_bytes),
            ]
        case SendSignal():
            return [("a payload", len(command.payload), limits.payload_bytes)]
        case CancelWorkflow() | PauseWorkflow() | UnpauseWorkflow() | SetLimit():
            return [("a reason", _size(command.reason or ""), limits.error_bytes)]
        case RecordOutcome():
            return [
                ("a payload", len(command.output or b""), limits.payload_bytes),
                ("a path", _size(command.path), limits.payload_bytes),
            ]
        case RecordChildEnd():
            bases = sum(map(_size, command.error_bases))
            return [
                ("a payload", len(command.output or b""), limits.payload_bytes),
                ("a path", _size(command.path), limits.payload_bytes),
                ("names of error classes", bases, limits.payload_bytes),
            ]
        case RetryWorkflow():
            return [
                ("a payload", len(command.input or b""), limits.payload_bytes),
                ("a reason", _size(command.reason or ""), limits.error_bytes),
            ]
        case MigrateWorkflow():
            texts = [text for pair in command.mapping.items() for text in pair]
            return [
                ("a mapping", sum(map(_size, texts)), limits.payload_bytes),
                ("a reason", _size(command.reason or ""), limits.error_bytes),
            ]
        case AskPermit() | GrantPermit():
            return [("a path", _size(command.path), limits.payload_bytes)]
        case _:  # what holds names and numbers only
            return []


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _answered_by(rows: Rows, commanded: Commanded) -> int | None:
    """The sequence of the event that answered the command before; 0 if it is unknown.

    None for a command that is new.
    """
    command = commanded.command
    answered = get_remembered_command(rows, command.command_id)
    if answered is None and isinstance(command, SendSignal) and command.signal_id:
        answered = get_remembered_signal(rows, command.signal_id)
    if (
        answered is None
        and isinstance(command, ForkWorkflow)
        and command.command_id == get_forked_by(rows)
    ):
        answered = 1
    if answered is None and commanded.known_origin:
        return 0
    return answered


def _signal(basis: Basis, command: SendSignal, traceparent: str | None) -> Decision:
    header, limit = basis.header, basis.context.limits.buffered_signals
    if header.phase in TERMINAL:
        return reject_terminal(basis, command)
    if header.phase == "quarantined":
        return reject_quarantined(basis, command)
    if header.buffered >= limit:
        message = (
            f"expected at most {limit} buffered signals, but they are as many already"
        )
        return reject(basis, command, "too_many_signals", message)
    received = SignalReceived(
        command_id=command.command_id,
        signal=command.signal,
        signal_id=command.signal_id,
        payload=command.payload,
        traceparent=traceparent,
    )
    path = signal.oldest_wait(basis.rows, command.signal)
    if path is None:  # before a first start, too, where there is no graph yet
        return record(basis, received)
    draft = draft_in_run(basis)
    draft.emit(received)
    draft.touched.append(chain_of(path))
    advance(draft)
    return draft.decision()
