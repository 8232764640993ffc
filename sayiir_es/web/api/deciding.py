"""From a request to a command, and from what its owner decided to a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.commands import new_command_id
from sayiir_es.core.model.errors import InvalidRequestError
from sayiir_es.operations.instance_view import instance_view
from sayiir_es.operations.owner_answers import ask_owner
from sayiir_es.web.api.responses import ApiResponse

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.status.status import Status
    from sayiir_es.web.api.requests import CommandBody, ReasonBody
    from sayiir_es.web.security.tokens import Caller
    from sayiir_es.web.site import Site
    from sayiir_es.wire.requests import Decided


def given_command_id(body: CommandBody | None, key: str | None) -> str | None:
    """The `command_id` of a request, from its body or its header.

    Raises:
        InvalidRequestError: if both are there, and differ.
    """
    in_body = None if body is None else body.command_id
    if None not in (in_body, key) and in_body != key:
        raise InvalidRequestError(
            f"expected one command_id, but the body has {in_body!r} and the header "
            f"Idempotency-Key {key!r}"
        )
    return in_body or key


def command_id_of(body: CommandBody | None, key: str | None) -> str:
    """As `given_command_id`; a new one where there is none."""
    return given_command_id(body, key) or new_command_id()


def requester_of(body: ReasonBody | None, caller: Caller) -> str | None:
    """Who asks: who the token or the proxy names, else who the body names."""
    return caller.name or (None if body is None else body.requested_by)


def shown_instance(site: Site, status: Status) -> dict[str, object]:
    """An instance as the API shows it."""
    return site.masking.fields(instance_view(status))


async def decide(site: Site, command: Command, *, new: bool = False) -> ApiResponse:
    """Send a command; the response with its owner's decision.

    `new` says that an accepted one makes an instance.

    Raises:
        WorkflowError: if the owner rejects the command, or none answers.
    """
    decided = await ask_owner(site.session, command)
    is_made = new and decided.event != "CommandAcknowledged"
    return ApiResponse(decision_view(site, decided), 201 if is_made else 200)


def decision_view(site: Site, decided: Decided) -> dict[str, object]:
    """A decision as the API shows it."""
    status = decided.status
    return {
        "event": decided.event,
        "code": decided.code,
        "sequence": decided.sequence,
        "instance": None if status is None else shown_instance(site, status),
    }
