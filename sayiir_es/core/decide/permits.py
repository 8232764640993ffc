"""What is decided about permits at who holds them, and which command goes to whom.

Theory of operation. The two sides know of each other by commands only, which may come
twice, late, and in any order. A limit tells asks apart by (holder, path, ask), permits
by their number; a holder accepts a permit for the one wait that asked for it, and owes
the return of every other. `permit_rows` says why that never lets an attempt have a
permit that the limit has back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide import limits
from sayiir_es.core.decide.basis import basis_of
from sayiir_es.core.decide.rejections import acknowledge, reject_not_found
from sayiir_es.core.draft import nothing, record
from sayiir_es.core.graph.key_templates import (
    READ_BYTES_MAX,
    UnreadableKeyError,
    render,
)
from sayiir_es.core.graph.references import resolve, size_of
from sayiir_es.core.model.commands import (
    AskPermit,
    GrantPermit,
    ReturnPermit,
    SetLimit,
)
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.permit_events import (
    PermitReleased,
    PermitTaken,
    is_limit,
    permit_name,
)
from sayiir_es.core.model.permit_rows import (
    get_permit,
    is_held,
)
from sayiir_es.core.model.run_permit_events import is_queue

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import Command, PermitCommand
    from sayiir_es.core.model.inputs import PermitReturnSent
    from sayiir_es.core.model.rows import Cursor, Rows


def wrong_address(command: Command) -> str | None:
    """Why a command may not be sent to its id; None if it may.

    Limits are asked for permits, and set, and nothing else; nobody else is, but that
    start queues are set, too.
    """
    is_for_limit = isinstance(command, AskPermit | ReturnPermit | SetLimit)
    if is_for_limit == is_limit(command.instance_id):
        return None
    if isinstance(command, SetLimit):
        if is_queue(command.instance_id):
            return None
        wanted = "a limit or a start queue"
        return f"expected the id of {wanted}, but {command.instance_id!r}"
    wanted = "a limit" if is_for_limit else "an instance"
    return f"expected the id of {wanted}, but {command.instance_id!r}"


def handle(basis: Basis, command: PermitCommand) -> Decision:
    """Answer what was written about a permit, or a limit."""
    match command:
        case AskPermit():
            return limits.ask(basis, command)
        case GrantPermit():
            return _take(basis, command)
        case ReturnPermit():
            return limits.take_back(basis, command)
        case SetLimit():
            return limits.set_limit(basis, command)


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
