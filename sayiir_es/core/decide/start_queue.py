"""What is decided about run permits: at the start queue, and at who waits or runs.

Theory of operation. The two sides know of each other by commands only, which may come
twice, late, and in any order. Both tell asks apart by (holder, ask), a pair that is
never used again. A queue counts a permit as in use from `RunPermitGranted` to
`RunPermitReturned`. An instance goes on only with a permit of its last ask,
and returns every ask that it gives up, by its end or by a further ask, for good. So
what a queue counts as returned is had by nobody, and what comes too late is returned
again. Each command is owed by a row until the log has it (decision 017).

What was set for a queue is in force in place of what the workflow says; the events have
what the workflow says, so that it is in force again once the setting is taken back.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.basis import draft_in_run
from sayiir_es.core.decide.limits import grant_when_due
from sayiir_es.core.decide.owed import owed_moves
from sayiir_es.core.decide.rejections import acknowledge, reject, reject_not_found
from sayiir_es.core.draft import Recorder, nothing, record
from sayiir_es.core.graph.key_templates import (
    LIMIT_MAX,
    UNREADABLE_KEY,
    UnreadableKeyError,
)
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.graph.start_queue import LENGTH_MAX, QUEUE_KEY_BYTES_MAX
from sayiir_es.core.model.commands import (
    AnswerRunPermit,
    AskRunPermit,
    ReturnRunPermit,
    SetLimit,
)
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.permit_events import LimitSet
from sayiir_es.core.model.run_permit_events import (
    QUEUE_FULL,
    QUEUE_PREFIX,
    RunPermitAsked,
    RunPermitGranted,
    RunPermitMessageSent,
    RunPermitQueued,
    RunPermitRefused,
    RunPermitReturned,
    RunPermitTaken,
    is_queue,
    queue_id,
)
from sayiir_es.core.model.run_permit_rows import (
    get_asked,
    get_message,
    get_queued,
    get_run_permit,
    get_setting,
    get_state,
    length_in_force,
    may_grant,
    message_key,
    most_in_use,
)
from sayiir_es.core.model.waits import AwaitingRunPermit, Failure, HoldingRunPermit
from sayiir_es.core.nodes.failure import fail
from sayiir_es.core.nodes.run_deadline import PATH

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext, Draft
    from sayiir_es.core.model.commands import Command, RunPermitCommand
    from sayiir_es.core.model.inputs import MessageSent, TimerDue
    from sayiir_es.core.model.rows import Rows, RunPermitMessage

GRANTS_MAX = 100
"""Permits granted in one decision: mostly one, more where the limit was raised. What
may be granted beyond is due at once: it comes in the next one."""


# --- the commands ---------------------------------------------------------------------


def wrong_address(command: Command) -> str | None:
    """Why a command may not be sent to its id; None if it may.

    Start queues are asked for run permits, and set, and nothing else; nobody else is
    asked.
    """
    if isinstance(command, SetLimit):
        return None  # `permits.wrong_address` says of it
    is_for_queue = isinstance(command, AskRunPermit | ReturnRunPermit)
    if is_for_queue == is_queue(command.instance_id):
        return None
    wanted = "a start queue" if is_for_queue else "an instance"
    return f"expected the id of {wanted}, but {command.instance_id!r}"


def command_of(instance_id: str, message: RunPermitMessage) -> RunPermitCommand:
    """The command that a row owes; the same one whenever it is sent again."""
    other, ask = message.other, message.ask
    text = f"{message.kind}:{ask}:{instance_id}\0{other}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    command_id = f"run-permit-{message.kind}-{digest[:32]}"
    match message.kind:
        case "ask":
            return AskRunPermit(
                instance_id=queue_id(other),
                command_id=command_id,
                holder=instance_id,
                ask=ask,
                limit=message.limit,
                queue_length=message.queue_length,
                again=message.again,
            )
        case "return":
            return ReturnRunPermit(
                instance_id=queue_id(other),
                command_id=command_id,
                holder=instance_id,
                ask=ask,
            )
        case "grant" | "refusal":
            return AnswerRunPermit(
                instance_id=other,
                command_id=command_id,
                key=instance_id.removeprefix(QUEUE_PREFIX),
                ask=ask,
                granted=message.kind == "grant",
                queue_length=message.queue_length,
            )
        case _:
            assert_never(message.kind)


def record_sent(basis: Basis, sent: MessageSent) -> Decision:
    """The log has a command about a run permit: it is owed no more."""
    message = get_message(basis.rows, sent.name)
    if message is None:
        return nothing(sent.instance_id)
    return record(
        basis,
        RunPermitMessageSent(
            message=message.kind, other=message.other, ask=message.ask
        ),
    )


# --- at the instance ------------------------------------------------------------------


def ask_run_permit(draft: Draft, *, is_bounded: bool) -> bool:
    """Let the run wait for a permit, where its workflow has a start queue.

    What goes on again, behind a retry or as a fork, waits whatever the queue's length:
    then it is not `is_bounded`. True also where the key cannot be made, so that the run
    has failed.
    """
    graph, queue = draft.graph, draft.graph.start_queue
    if queue is None:
        return False
    try:
        key = queue.key_of(graph.name, lambda: resolve(draft.rows, graph, "start"))
    except UnreadableKeyError as error:
        text = clip(str(error), draft.limits.error_bytes)
        fail(
            draft,
            PATH,
            Failure(error_type=UNREADABLE_KEY, error=text, timed_out=False),
        )
        return True
    draft.emit(
        RunPermitAsked(
            holder=draft.instance_id,
            key=key,
            limit=queue.max_running,
            queue_length=queue.length if is_bounded else None,
            again=not is_bounded,
        )
    )
    return True


def handle(basis: Basis, command: RunPermitCommand) -> Decision:
    """Answer what an owner wrote about a run permit."""
    match command:
        case AskRunPermit():
            return _ask(basis, command)
        case AnswerRunPermit():
            return _answer(basis, command)
        case ReturnRunPermit():
            return _return(basis, command)


def _answer(basis: Basis, command: AnswerRunPermit) -> Decision:
    rows, ask, key = basis.rows, command.ask, command.key
    if basis.header.run == 0:
        return reject_not_found(basis, command)
    wait = get_run_permit(rows)
    is_wanted = wait is not None and (wait.key, wait.ask) == (key, ask)
    taken = RunPermitTaken(holder=command.instance_id, key=key, ask=ask)
    is_undone = basis.header.compensation != "none"  # that needs no permit
    if isinstance(wait, AwaitingRunPermit) and is_wanted and not is_undone:
        if not command.granted:
            return _refuse(basis, wait, command.queue_length)
        if basis.header.phase == "quarantined":
            return record(basis, taken)
        draft = draft_in_run(basis)
        draft.emit(taken)
        draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
        advance(draft)
        return draft.decision()
    is_held = isinstance(wait, HoldingRunPermit) and is_wanted
    is_returned = get_message(rows, message_key("return", ask, key)) is not None
    if is_held or is_returned or not command.granted:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    return record(basis, taken)


def _refuse(basis: Basis, wait: AwaitingRunPermit, length: int | None) -> Decision:
    """The run fails; one that stands still in quarantine asks again, to wait."""
    if basis.header.phase == "quarantined":
        asked = RunPermitAsked(
            holder=basis.instance_id, key=wait.key, limit=wait.limit, again=True
        )
        return record(basis, asked)
    draft = draft_in_run(basis)
    most = "fewer" if length is None else f"at most {length}"  # an older owner's answer
    text = (
        f"expected {most} runs of workflow {draft.graph.name!r} to wait for a place, "
        "but as many wait already"
    )
    fail(draft, PATH, Failure(error_type=QUEUE_FULL, error=text, timed_out=False))
    return draft.decision()


# --- at the start queue ---------------------------------------------------------------


def _ask(basis: Basis, command: AskRunPermit) -> Decision:
    holder, ask, limit = command.holder, command.ask, command.limit
    length = command.queue_length
    if (
        not 1 <= limit <= LIMIT_MAX
        or ask < 1
        or (length is not None and length < 0)
        or is_queue(holder)
    ):
        message = (
            f"expected a limit of 1 to {LIMIT_MAX}, an ask from 1 on, a length from 0 "
            f"on and an instance, but {limit}, {ask}, {length} and {holder!r}"
        )
        return reject(basis, command, "bad_request", message)
    if get_asked(basis.rows, holder, ask) is not None:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    state, setting = get_state(basis.rows), get_setting(basis.rows)
    said = state.queue_length if command.again else length
    most = None if command.again else length_in_force(length, setting)
    is_free = state.in_use < most_in_use(limit, setting)
    recorder = Recorder(basis)
    if not is_free and most is not None and state.waiting >= most:
        recorder.emit(
            RunPermitRefused(holder=holder, ask=ask, limit=limit, queue_length=most)
        )
    elif is_free and not state.waiting:
        recorder.emit(
            RunPermitGranted(holder=holder, ask=ask, limit=limit, queue_length=said)
        )
    else:
        recorder.emit(
            RunPermitQueued(holder=holder, ask=ask, limit=limit, queue_length=said)
        )
        _grant_next(recorder)
    return recorder.decision()


def _return(basis: Basis, command: ReturnRunPermit) -> Decision:
    if get_asked(basis.rows, command.holder, command.ask) is None:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    recorder = Recorder(basis)
    recorder.emit(RunPermitReturned(holder=command.holder, ask=command.ask))
    _grant_next(recorder)
    return recorder.decision()


def set_queue(basis: Basis, command: SetLimit) -> Decision:
    """What is in force from now on: with more permits, more runs have one at once.

    With fewer, nobody is stopped: nothing is granted until fewer are in use.
    """
    wrong = _wrong_setting(command)
    if wrong:
        return reject(basis, command, "bad_request", wrong)
    is_set: tuple[int | None, int | None] = (None, None)
    setting = get_setting(basis.rows)
    if setting is not None:
        is_set = (setting.max_running, setting.queue_length)
    if is_set == (command.max_running, command.queue_length):
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    recorder = Recorder(basis)
    recorder.emit(
        LimitSet(
            command_id=command.command_id,
            max_concurrency=None,
            rate=None,
            reason=command.reason,
            requested_by=command.requested_by,
            max_running=command.max_running,
            queue_length=command.queue_length,
        )
    )
    _grant_next(recorder)
    return recorder.decision()


def _wrong_setting(command: SetLimit) -> str:
    """Why that cannot be set for a start queue; empty if it can."""
    key = command.instance_id.removeprefix(QUEUE_PREFIX)
    if not 0 < len(key.encode("utf-8", "surrogatepass")) <= QUEUE_KEY_BYTES_MAX:
        return f"expected a key of 1 to {QUEUE_KEY_BYTES_MAX} bytes, but {key[:64]!r}"
    if command.max_concurrency is not None or command.rate is not None:
        return (
            "expected max_concurrency and rate of a limit of attempts, but "
            f"{command.instance_id!r} is a start queue"
        )
    most, length = command.max_running, command.queue_length
    if most is not None and not 0 <= most <= LIMIT_MAX:
        return f"expected max_running between 0 and {LIMIT_MAX}, but {most}"
    if length is not None and not 0 <= length <= LENGTH_MAX:
        return f"expected queue_length between 0 and {LENGTH_MAX}, but {length}"
    return ""


def grant_due(
    timer: TimerDue, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """Grant what the decision before had no room for."""
    return grant_when_due(timer, rows, context, room, _grant_next)


def _grant_next(recorder: Recorder) -> None:
    """Give permits to who waits longest, as long as there are any."""
    for _ in range(GRANTS_MAX):
        state = get_state(recorder.rows)
        first = get_queued(recorder.rows, state.first)
        if first is None or not may_grant(recorder.rows):
            break
        recorder.emit(
            RunPermitGranted(
                holder=first.holder,
                ask=first.ask,
                limit=state.limit,
                queue_length=state.queue_length,
            )
        )
