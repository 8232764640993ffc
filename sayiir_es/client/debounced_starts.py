"""Starts that wait for a quiet time: of those with one key only the last one starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.workflow_status import WorkflowStatus
from sayiir_es.core.duration import long_duration_ms
from sayiir_es.core.graph.paths import encode_segment
from sayiir_es.core.model.commands import DebounceStart
from sayiir_es.core.model.debounce_events import debounce_id
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.duration import Duration
    from sayiir_es.core.model.commands import StartWorkflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Debounce:
    """How long no other start with the `key` may come, in milliseconds.

    After `max_ms` the last one of a burst starts in any case; None: when it is over.
    """

    quiet_ms: int
    key: str = ""
    max_ms: int | None = None


def debounce_of(
    quiet: Duration | None, key: str | None, most: Duration | None
) -> Debounce | None:
    """What a caller says of it; None if nothing.

    Raises:
        ValueError: if a time is none, or not said at all.
    """
    if quiet is None:
        for name, given in (("debounce_key", key), ("debounce_max", most)):
            if given is not None:
                raise ValueError(f"expected debounce with {name}, but none")
        return None
    quiet_ms = long_duration_ms(quiet, what="debounce")
    max_ms = None if most is None else long_duration_ms(most, what="debounce_max")
    if quiet_ms < 1 or (max_ms is not None and max_ms < quiet_ms):
        raise ValueError(
            "expected a debounce of 1 ms or more, and no longer than debounce_max, but "
            f"{quiet_ms} ms and {max_ms} ms"
        )
    return Debounce(quiet_ms=quiet_ms, key=key or "", max_ms=max_ms)


def debounced(start: StartWorkflow, debounce: Debounce) -> DebounceStart:
    """The command that debounces a start.

    Raises:
        ValueError: if the key is too long.
    """
    key = encode_segment(start.workflow)
    if debounce.key:
        key += f"/{debounce.key}"
    place, most = debounce_id(key), DEFAULT_LIMITS.id_bytes
    if len(place.encode()) > most:
        raise ValueError(
            f"expected a debounce_key that makes at most {most} bytes with the "
            f"workflow's name, but {len(place.encode())} bytes"
        )
    return DebounceStart(
        instance_id=place,
        command_id=start.command_id,
        start_id=start.instance_id,
        workflow=start.workflow,
        input=start.input,
        quiet_ms=debounce.quiet_ms,
        max_ms=debounce.max_ms,
        definition_hash=start.definition_hash,
        conflict_policy=start.conflict_policy,
        attributes=start.attributes,
        version=start.version,
    )


def quiet_text(command: DebounceStart) -> str:
    """What such a start waits for, in words."""
    return (
        f"{command.quiet_ms} ms without another start under {command.instance_id!r}, "
        "which would take its place"
    )


async def submit_debounced(
    session: Session,
    workflow: Workflow | str,
    start: StartWorkflow,
    debounce: Debounce,
    limit_s: float,
) -> WorkflowStatus:
    """Have a start wait; returns when the log has acknowledged that.

    Raises:
        WorkflowError: as `Session.execute`.
        ValueError: if the key is too long.
    """
    command = debounced(start, debounce)
    await session.publish(workflow, start.version)
    await session.execute(command, limit_s=limit_s)
    return WorkflowStatus(
        status="submitted",
        instance_id=start.instance_id,
        workflow=start.workflow,
        definition_hash=start.definition_hash or "",
        waiting_for=quiet_text(command),
        attributes=start.attributes,
        version=start.version or None,
    )
