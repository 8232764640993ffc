"""What is decided where a child reports its end, and where a start is one of a child.

Whoever can write a command could end anybody's child: a report counts only with the
secret that the start of the child brought.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.messages import is_secret_of, record_end
from sayiir_es.core.decide.rejections import reject
from sayiir_es.core.model.child_events import ChildInstanceEnded
from sayiir_es.core.model.child_rows import get_child
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.rows import get_run

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.model.commands import RecordChildEnd, StartWorkflow


def child_ended(basis: Basis, command: RecordChildEnd) -> Decision:
    """Answer the report of a child's end."""
    child = get_child(basis.rows, command.child_id)
    if child is None or not is_secret_of(child, command.secret):
        message = (
            "expected the end of a child that this instance has started and that has "
            f"not ended, with the secret of its start, but child {command.child_id!r}"
        )
        return reject(basis, command, "bad_request", message)
    limits = basis.context.limits
    ended = ChildInstanceEnded(
        command_id=command.command_id,
        path=child.path,
        child_id=command.child_id,
        child_run=command.child_run,
        end=command.end,
        output=command.output if command.end == "completed" else None,
        error_type=clip(command.error_type, limits.id_bytes),
        error=clip(command.error, limits.error_bytes),
        error_bases=command.error_bases,
    )
    return record_end(basis, ended)


def is_start_repeated(basis: Basis, command: StartWorkflow) -> bool:
    """Whether the run that stands there is the one that this start asks for."""
    run = get_run(basis.rows)
    parent = None if run is None else run.parent
    return parent is not None and (
        parent.instance_id == command.parent
        and parent.path == command.parent_path
        and parent.run == command.parent_run
    )


def takes_place(basis: Basis, command: StartWorkflow) -> bool:
    """Whether the node that started the run that stands there starts it anew."""
    run = get_run(basis.rows)
    parent = None if run is None else run.parent
    return parent is not None and (
        parent.instance_id == command.parent
        and parent.path == command.parent_path
        and parent.run < command.parent_run
    )
