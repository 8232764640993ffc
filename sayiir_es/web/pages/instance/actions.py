"""What a person can do with an instance from its page: a command each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sayiir_es.client.commands import fork_command, new_command_id
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import EncodeError, UsageError
from sayiir_es.core.status.status import ENDED
from sayiir_es.wire.payload import encode_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.status.status import Status

Action: TypeAlias = Literal[
    "signal", "pause", "unpause", "cancel", "retry", "fork", "migrate"
]
ACTIONS: tuple[Action, ...] = get_args(Action)

FIELDS = (
    *("action", "reason", "signal", "signal_id", "payload", "input"),
    *("to", "mapping", "at", "new_id"),
)
"""Of all forms together."""

REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A command, and what is said when it was accepted."""

    command: Command
    done: str


def possible_actions(status: Status) -> frozenset[Action]:
    """What makes sense in that state; the owner decides in the end."""
    possible: set[Action] = {"fork"}
    if status.status in ("failed", "quarantined"):
        possible |= {"retry", "migrate"}
    if status.status not in ENDED:
        possible |= {"signal", "cancel", "migrate"}
        possible.add("unpause" if status.status == "paused" else "pause")
    return frozenset(possible)


def read_act(instance_id: str, form: Mapping[str, str], who: str | None) -> Act:
    """What a form asks for; `who` is recorded as who asks.

    Raises:
        UsageError: if the form is none, or a field of it is not what it takes.
    """
    action = form.get("action", "")
    reason = form.get("reason", "").strip()[:REASON_CHARACTERS] or None
    asked = {
        "instance_id": instance_id,
        "command_id": new_command_id(),
    }
    match action:
        case "signal":
            return _signal(instance_id, form)
        case "pause":
            command: Command = PauseWorkflow(**asked, reason=reason, requested_by=who)
            return Act(command=command, done="Pauses: what runs may end first")
        case "unpause":
            command = UnpauseWorkflow(**asked, reason=reason, requested_by=who)
            return Act(command=command, done="Goes on")
        case "cancel":
            command = CancelWorkflow(**asked, reason=reason, requested_by=who)
            return Act(command=command, done="Is cancelled: what runs may end first")
        case "retry":
            command = RetryWorkflow(
                **asked,
                input=_json(form, "input") if form.get("input", "").strip() else None,
                reason=reason,
                requested_by=who,
            )
            return Act(command=command, done="Is tried again")
        case "migrate":
            command = MigrateWorkflow(
                **asked,
                to=_required(form, "to", "a version"),
                mapping=_mapping(form.get("mapping", "")),
                reason=reason,
                requested_by=who,
            )
            return Act(command=command, done="Goes on with another graph")
        case "fork":
            return _fork(instance_id, form)
        case _:
            raise UsageError(
                f"expected an action, {', '.join(ACTIONS)}, but {action!r:.100}"
            )


def _signal(instance_id: str, form: Mapping[str, str]) -> Act:
    signal = _required(form, "signal", "the signal's name")
    command = SendSignal(
        instance_id=instance_id,
        command_id=new_command_id(),
        signal=signal,
        payload=_json(form, "payload") if form.get("payload", "").strip() else b"null",
        signal_id=form.get("signal_id", "").strip() or None,
    )
    return Act(command=command, done=f"Signal {signal} is sent")


def _fork(instance_id: str, form: Mapping[str, str]) -> Act:
    at = form.get("at", "").strip()
    if re.fullmatch("[1-9][0-9]{0,11}", at) is None:
        raise UsageError(f"expected the sequence of an event, from 1, but {at!r:.100}")
    new_id = _required(form, "new_id", "an id for the new instance")
    command = fork_command(instance_id, int(at), new_id)
    return Act(command=command, done=f"Began with the history up to event {at}")


def _required(form: Mapping[str, str], name: str, what: str) -> str:
    text = form.get(name, "")
    if not text:
        raise UsageError(f"expected {what}, but nothing")
    return text


def _json(form: Mapping[str, str], name: str) -> bytes:
    text = form.get(name, "")
    try:
        return encode_payload(json.loads(text))
    except (ValueError, RecursionError, EncodeError) as error:
        raise UsageError(
            f'expected the {name} to be JSON, such as {{"ok": true}}, but {error}'
        ) from error


def _mapping(text: str) -> dict[str, str]:
    """Paths that have moved, `OLD=NEW` a line."""
    mapping: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        old, separator, new = line.strip().partition("=")
        if not (separator and old and new):
            raise UsageError(f"expected OLD=NEW a line, but {line!r:.200}")
        mapping[old] = new
    return mapping
