"""A command that was decided, as the one who asked is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.wire.reply_address import ReplyAddress


class DecidedCommand(NamedTuple):
    """A command by its offset, and the first event of its decision.

    `record` is the place of the event in the batch, `reply_to` who is told, if anybody.
    """

    offset: int
    event: Event
    record: int
    reply_to: ReplyAddress | None
