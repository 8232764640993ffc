"""What is decided on a command: the table of commands × states.

Checks in this order: bounds, duplicates, then the command's own. Every command is
answered by exactly one decision: accepted, acknowledged or rejected, with a reason that
reads `expected X, but Y`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.attempts import handle_outcome
from sayiir_es.core.decide.commands import control, fork_instance, retry, start
from sayiir_es.core.decide.rejections import (
    acknowledge,
    existing,
    load_graph,
    not_terminal,
    reject,
)
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    ForkWorkflow,
    PauseWorkflow,
    RecordOutcome,
    RetryWorkflow,
    SendSignal,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import SignalReceived
from sayiir_es.core.model.inputs import Outcome, SourceHistory
from sayiir_es.core.model.rows import (
    TERMINAL,
    chain_of,
    get_forked_by,
    get_remembered_command,
    get_remembered_signal,
)
from sayiir_es.core.nodes import signal

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.inputs import Commanded
    from sayiir_es.core.model.limits import Limits


NOTHING = SourceHistory()


def handle_command(draft: Draft, asked: Commanded, definitions: Definitions) -> None:
    """Decide on one command."""
    command = asked.command
    draft.cause = asked.position.cause()
    wrong = _out_of_bounds(draft, command)
    if wrong is not None:
        if not 0 < len(command.instance_id.encode()) <= draft.limits.id_bytes:
            draft.instance_id = ""
        reject(draft, command, *wrong)
        return
    known_answer = _answered_already(draft, asked)
    if known_answer is not None:
        acknowledge(draft, command, "duplicate", known_answer)
        return
    match command:
        case StartWorkflow():
            start.start(draft, command, definitions)
        case SendSignal():
            _signal(draft, command, definitions)
        case RecordOutcome():
            _record_outcome(draft, command, definitions)
        case ForkWorkflow():
            fork_instance.fork_instance(
                draft, command, asked.source or NOTHING, definitions
            )
        case _:
            _steer(draft, command, definitions)


def _steer(
    draft: Draft,
    command: CancelWorkflow | PauseWorkflow | UnpauseWorkflow | RetryWorkflow,
    definitions: Definitions,
) -> None:
    match command:
        case CancelWorkflow():
            control.cancel(draft, command, definitions)
        case PauseWorkflow():
            control.pause(draft, command, definitions)
        case UnpauseWorkflow():
            control.unpause(draft, command, definitions)
        case RetryWorkflow():
            retry.retry(draft, command, definitions)
        case _:
            assert_never(command)


def _out_of_bounds(draft: Draft, command: Command) -> tuple[str, str] | None:
    """What of a command is larger than events may carry: its answer has to fit, too."""
    limits = draft.limits
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
    for what, size, limit in _sizes(command, limits):
        if size > limit:
            return (
                "too_large",
                f"expected {what} of at most {limit} bytes, but {size} bytes",
            )
    return None


def _names(command: Command) -> list[tuple[str, str]]:
    """What is a name or an id; one that was left out counts as one that does."""
    found = [("instance_id", command.instance_id), ("command_id", command.command_id)]
    match command:
        case StartWorkflow():
            found.append(("workflow", command.workflow))
            found.append(("definition_hash", command.definition_hash or "-"))
        case SendSignal():
            found.append(("signal", command.signal))
            found.append(("signal_id", command.signal_id or "-"))
        case CancelWorkflow() | PauseWorkflow() | UnpauseWorkflow():
            found.append(("requested_by", command.requested_by or "-"))
        case RecordOutcome():
            found.append(("worker", command.worker or "-"))
            found.append(("error_type", command.error_type or "-"))
        case ForkWorkflow():
            found.append(("source_instance_id", command.source_instance_id))
        case RetryWorkflow():
            pass
        case _:
            assert_never(command)
    return found


def _sizes(command: Command, limits: Limits) -> list[tuple[str, int, int]]:
    """What a command carries: what, how many bytes, and how many it may be."""
    match command:
        case StartWorkflow():
            texts = [text for pair in command.attributes.items() for text in pair]
            return [
                ("a payload", len(command.input), limits.payload_bytes),
                ("attributes", sum(map(_size, texts)), limits.attributes_bytes),
            ]
        case SendSignal():
            return [("a payload", len(command.payload), limits.payload_bytes)]
        case CancelWorkflow() | PauseWorkflow() | UnpauseWorkflow():
            return [("a reason", _size(command.reason or ""), limits.error_bytes)]
        case RecordOutcome():
            return [
                ("a payload", len(command.output or b""), limits.payload_bytes),
                ("a path", _size(command.path), limits.payload_bytes),
            ]
        case RetryWorkflow() | ForkWorkflow():
            return []
        case _:
            assert_never(command)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _answered_already(draft: Draft, asked: Commanded) -> int | None:
    command = asked.command
    answered = get_remembered_command(draft.rows, command.command_id)
    if answered is None and isinstance(command, SendSignal) and command.signal_id:
        answered = get_remembered_signal(draft.rows, command.signal_id)
    if (
        answered is None
        and isinstance(command, ForkWorkflow)
        and command.command_id == get_forked_by(draft.rows)
    ):
        answered = 1
    if answered is None and asked.known_origin:
        return 0
    return answered


def _signal(draft: Draft, command: SendSignal, definitions: Definitions) -> None:
    header = draft.header
    if header is not None and header.phase in TERMINAL:
        reject(draft, command, "terminal", not_terminal(command, header))
        return
    if header is not None and header.buffered >= draft.limits.buffered_signals:
        reject(
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
        load_graph(draft, definitions)
        draft.touched.append(chain_of(waiting))
        advance(draft)


def _record_outcome(
    draft: Draft, command: RecordOutcome, definitions: Definitions
) -> None:
    if existing(draft, command) is None:
        return
    handle_outcome(
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
