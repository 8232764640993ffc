"""What is decided about permits: at the limit that grants them, and at who holds them.

Theory of operation. The two sides know of each other by commands only, which may come
twice, late, and in any order. A limit tells asks apart by (holder, path, ask), permits
by their number; a holder accepts a permit for the one wait that asked for it, and owes
the return of every other. `permit_rows` says why that never lets an attempt have a
permit that the limit has back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.basis import basis_of
from sayiir_es.core.decide.rejections import acknowledge, reject, reject_not_found
from sayiir_es.core.draft import Recorder, nothing, record
from sayiir_es.core.graph.key_templates import (
    LIMIT_MAX,
    READ_BYTES_MAX,
    UnreadableKeyError,
    render,
)
from sayiir_es.core.graph.references import resolve, size_of
from sayiir_es.core.model.commands import AskPermit, GrantPermit, ReturnPermit
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.permit_events import (
    PermitGranted,
    PermitQueued,
    PermitReleased,
    PermitReturned,
    PermitTaken,
    is_limit,
    permit_name,
)
from sayiir_es.core.model.permit_rows import (
    answered_key,
    get_granted,
    get_limit,
    get_permit,
    get_queued,
    is_held,
)

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import Command, PermitCommand
    from sayiir_es.core.model.inputs import PermitReturnSent
    from sayiir_es.core.model.rows import Cursor, Rows


GRANTS_MAX = 100
"""Permits granted behind one return: mostly one, more where asks differ in their limit.
They are never cut from it, for nothing else would grant them; where even more could be
granted, others are in use by then, and their returns go on."""


def wrong_address(command: Command) -> str | None:
    """Why a command may not be sent to its id; None if it may.

    Limits are asked for permits and nothing else, and nobody else is.
    """
    is_for_limit = isinstance(command, AskPermit | ReturnPermit)
    if is_for_limit == is_limit(command.instance_id):
        return None
    wanted = "a limit" if is_for_limit else "an instance"
    return f"expected the id of {wanted}, but {command.instance_id!r}"


def handle(basis: Basis, command: PermitCommand) -> Decision:
    """Answer what an owner wrote about a permit."""
    match command:
        case AskPermit():
            return _ask(basis, command)
        case GrantPermit():
            return _take(basis, command)
        case ReturnPermit():
            return _return(basis, command)


def _ask(basis: Basis, command: AskPermit) -> Decision:
    rows, state = basis.rows, get_limit(basis.rows)
    if not 1 <= command.limit <= LIMIT_MAX or command.ask < 1:
        message = (
            f"expected a limit of 1 to {LIMIT_MAX} and an ask from 1 on, but "
            f"{command.limit} and {command.ask}"
        )
        return reject(basis, command, "bad_request", message)
    key = answered_key(command.holder, command.path, command.ask)
    if rows.get(key) is not None:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    is_free = state.in_use < command.limit and state.head == state.tail
    kind = PermitGranted if is_free else PermitQueued
    asked = kind(
        holder=command.holder,
        path=command.path,
        ask=command.ask,
        limit=command.limit,
    )
    return record(basis, asked)


def _return(basis: Basis, command: ReturnPermit) -> Decision:
    granted = get_granted(basis.rows, command.permit)
    if granted is None or granted.holder != command.holder:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    recorder = Recorder(basis)
    recorder.emit(PermitReturned(permit=command.permit))
    for _ in range(GRANTS_MAX):
        state = get_limit(recorder.rows)
        first = get_queued(recorder.rows, state.head)
        if first is None or state.in_use >= first.limit:
            break
        recorder.emit(
            PermitGranted(
                holder=first.holder, path=first.path, ask=first.ask, limit=first.limit
            )
        )
    return recorder.decision()


def _take(basis: Basis, command: GrantPermit) -> Decision:
    if basis.header.run == 0:
        return reject_not_found(basis, command)
    name = permit_name(command.key, command.permit)
    if get_permit(basis.rows, name) is not None:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    taken = PermitTaken(
        holder=command.instance_id,
        path=command.path,
        ask=command.ask,
        key=command.key,
        permit=command.permit,
    )
    return record(basis, taken)


def release(
    sent: PermitReturnSent, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """The log has the command that returns a permit: the instance owes it no more."""
    name = permit_name(sent.key, sent.permit)
    permit = get_permit(rows, name)
    if permit is None or is_held(rows, name, permit):
        return nothing(sent.instance_id)
    cause = f"owed:{header_of(rows).sequence}"
    released = PermitReleased(holder=sent.instance_id, key=sent.key, permit=sent.permit)
    return record(basis_of(sent.instance_id, cause, rows, context, room), released)


def key_of(
    template: str, workflow: str, rows: Rows, graph: Graph, cursor: Cursor
) -> str:
    """The key that a template makes for the attempt that a cursor awaits.

    Raises:
        UnreadableKeyError: if a value is not what a key can be made of.
        HistoryError: if no event recorded a value that it names.
    """

    def read(source: str) -> bytes:
        reference = "start" if source == "workflow_input" else cursor.input
        size = size_of(rows, graph, reference)
        if size > READ_BYTES_MAX:
            raise UnreadableKeyError(
                f"expected a value of at most {READ_BYTES_MAX} bytes in a key, but "
                f"{size} bytes"
            )
        return resolve(rows, graph, reference)

    return render(template, workflow, read)
