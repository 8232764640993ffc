"""A loss of commands that somebody has accepted; its record is on the definitions.

Commands that nobody has read may be gone: they were older than their topic keeps them,
or somebody deleted them. Their partition is not served until a person says that it is
to go on without them: by a record that every worker reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import CommandsLostError, DecodeError
from sayiir_es.core.model.events import CommandsLost, Event

TEXT_LENGTH_MAX = 300
"""How many characters of a name or a reason are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedLoss:
    """The commands of a partition below `end_offset` need not be read any more."""

    end_offset: int
    accepted_by: str
    reason: str

    def record(self) -> bytes:
        """The value of its record on the topic: a JSON object."""
        return json.dumps(
            {
                "end_offset": self.end_offset,
                "accepted_by": self.accepted_by[:TEXT_LENGTH_MAX],
                "reason": self.reason[:TEXT_LENGTH_MAX],
            }
        ).encode()


def read_accepted_loss(value: bytes) -> AcceptedLoss:
    """Read what `AcceptedLoss.record` wrote.

    Raises:
        DecodeError: if it is something else.
    """
    try:
        fields = Fields(json.loads(value), "accepted loss")
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"expected a loss as JSON, but {error}") from error
    return AcceptedLoss(
        end_offset=fields.integer("end_offset"),
        accepted_by=fields.text("accepted_by")[:TEXT_LENGTH_MAX],
        reason=fields.text("reason")[:TEXT_LENGTH_MAX],
    )


def commands_lost(partition: int, first: int, end: int) -> CommandsLostError:
    """The error of a partition whose next commands are gone."""
    return CommandsLostError(
        f"expected command {first} of partition {partition} next, but the commands "
        f"topic begins at {end}: commands {first} to {end - 1} were deleted before "
        f"anybody read them; `sayiir-es partition accept-loss {partition}` goes on "
        "without them"
    )


def loss_event(
    loss: AcceptedLoss, first_offset: int, end_offset: int, *, claim: int, at_ms: int
) -> Event:
    """The event that records that commands are passed, for somebody accepted that."""
    return Event(
        claim=claim,
        instance_id="",
        run=0,
        sequence=0,
        at=at_ms,
        cause="",
        body=CommandsLost(
            first_offset=first_offset,
            end_offset=end_offset,
            accepted_by=loss.accepted_by,
            reason=loss.reason,
        ),
    )
