"""The one place that touches aiokafka's group coordinator: what it hears, and leaving.

aiokafka has no public sign of a heartbeat's answer, of the generation or of the member
id, and leaves a group only behind whatever request is under way. Its coordinator's
private methods are wrapped here, on the instance, and nowhere else; another version
than the one this was written for is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import aiokafka
from aiokafka.protocol.group import LeaveGroupRequest

from sayiir_es.log.kafka.connection import TRANSPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "0.14."
# A connection of its own: a broker answers the requests of one in order, and that to
# the coordinator may hold a join that waits for other members.
_LEAVE_GROUP = "leave"


class GroupListener(Protocol):
    """Who is told what the group answers; times are monotonic, of the sending."""

    def heard(self, sent_at_s: float) -> None:
        """The group knows us, but is about to assign anew."""

    def confirmed(self, sent_at_s: float) -> None:
        """The group knows us and the assignment that we have."""

    def assigned(self, sent_at_s: float, member_id: str, generation: int) -> None:
        """A new assignment is in force; the consumer's callback has run."""


def watch(consumer: Any, listener: GroupListener) -> None:
    """Tell `listener` of each answer of the group, from now on.

    Call it between the consumer's `start` and its `subscribe`.

    Raises:
        RuntimeError: aiokafka is not the version whose privates these are.
    """
    if not aiokafka.__version__.startswith(VERSION):
        raise RuntimeError(f"expected aiokafka {VERSION}x, but {aiokafka.__version__}")
    coordinator = consumer._coordinator  # noqa: SLF001 - see the module's docstring
    heartbeat: Callable[[], Any] = coordinator._do_heartbeat  # noqa: SLF001 - same
    rejoin: Callable[[Any], Any] = coordinator._do_rejoin_group  # noqa: SLF001 - same

    async def do_heartbeat() -> bool:
        sent_at_s = time.monotonic()
        answered: bool = await heartbeat()
        if answered:
            # To aiokafka "rebalance in progress" is a good answer; it asks to rejoin.
            rejoins = coordinator._rejoin_needed_fut.done()  # noqa: SLF001 - same
            (listener.heard if rejoins else listener.confirmed)(sent_at_s)
        return answered

    async def do_rejoin_group(subscription: Any) -> bool:
        sent_at_s = time.monotonic()
        joined: bool = await rejoin(subscription)
        if joined:
            listener.assigned(sent_at_s, coordinator.member_id, coordinator.generation)
        return joined

    coordinator._do_heartbeat = do_heartbeat  # noqa: SLF001 - same
    coordinator._do_rejoin_group = do_rejoin_group  # noqa: SLF001 - same


async def leave(consumer: Any) -> bool:
    """Leave the group at once, ahead of a join under way; say whether it knows."""
    coordinator = consumer._coordinator  # noqa: SLF001 - see the module's docstring
    if not coordinator.member_id or coordinator.coordinator_id is None:
        return False
    request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
    client = consumer._client  # noqa: SLF001 - same
    try:
        await client.send(coordinator.coordinator_id, request, group=_LEAVE_GROUP)
    except TRANSPORT_ERRORS:
        return False
    return True
