"""The only code that touches aiokafka's group coordinator: its answers, and leaving.

aiokafka shows neither the answer to a heartbeat nor the generation nor the member id,
and leaves a group only after the request that is under way. So private methods of its
coordinator are wrapped here, on the instance, and nowhere else. A version other than
the one that this was written for is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import aiokafka
from aiokafka.protocol.group import LeaveGroupRequest

from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "0.14."
# A separate connection: a broker answers the requests of one in order, and on that to
# the coordinator a join may wait for other members.
_LEAVE_GROUP = "leave"
_FENCED_INSTANCE_ID = 82
"""Kafka's error code; aiokafka has no name for it."""


class GroupListener(Protocol):
    """Is called with the group's answers; times are monotonic, of the requests."""

    def answered(self, sent_at_s: float) -> None:
        """The group knows this member, but is about to assign again."""

    def confirmed(self, sent_at_s: float) -> None:
        """The group knows this member and its assignment."""

    def assigned(self, sent_at_s: float, member_id: str, generation: int) -> None:
        """A new assignment is in force; the consumer's callback has run."""

    def displaced(self, consumer: Any) -> None:
        """Another member joined by the group instance id of this consumer."""


def watch(consumer: Any, listener: GroupListener) -> None:
    """From now on, call `listener` with each answer of the group.

    Call it between the consumer's `start` and its `subscribe`.

    Raises:
        RuntimeError: aiokafka has another version than `VERSION`.
    """
    if not aiokafka.__version__.startswith(VERSION):
        raise RuntimeError(f"expected aiokafka {VERSION}x, but {aiokafka.__version__}")
    coordinator = consumer._coordinator  # noqa: SLF001 - see the module's docstring
    heartbeat: Callable[[], Any] = coordinator._do_heartbeat  # noqa: SLF001 - same
    join: Callable[[Any], Any] = coordinator._do_rejoin_group  # noqa: SLF001 - same
    send: Callable[[Any], Any] = coordinator._send_req  # noqa: SLF001 - same

    async def do_heartbeat() -> bool:
        sent_at_s, member_id = time.monotonic(), coordinator.member_id
        is_known: bool = await heartbeat()
        if not is_known and coordinator._group_instance_id is not None:  # noqa: SLF001 - same
            # Without its member id it would displace whoever has displaced it.
            coordinator.member_id = member_id
        if is_known:
            # To aiokafka "rebalance in progress" is a good answer; it asks to rejoin.
            is_rebalancing = coordinator._rejoin_needed_fut.done()  # noqa: SLF001 - same
            (listener.answered if is_rebalancing else listener.confirmed)(sent_at_s)
        return is_known

    async def do_rejoin_group(subscription: Any) -> bool:
        sent_at_s = time.monotonic()
        has_joined: bool = await join(subscription)
        if has_joined:
            listener.assigned(sent_at_s, coordinator.member_id, coordinator.generation)
        return has_joined

    async def send_req(request: Any) -> Any:
        response = await send(request)
        if getattr(response, "error_code", 0) == _FENCED_INSTANCE_ID:
            listener.displaced(consumer)
        return response

    coordinator._send_req = send_req  # noqa: SLF001 - same
    coordinator._do_heartbeat = do_heartbeat  # noqa: SLF001 - same
    coordinator._do_rejoin_group = do_rejoin_group  # noqa: SLF001 - same


def client_of(consumer: Any) -> Any:
    """The client by which a consumer reaches its brokers."""
    return consumer._client  # noqa: SLF001 - see the module's docstring


def rejoin(consumer: Any) -> None:
    """Join again soon: the group then learns what this member's metadata say by now."""
    consumer._coordinator.request_rejoin()  # noqa: SLF001 - see the module's docstring


def revive(consumer: Any) -> None:
    """Let a member whose heartbeats were refused join again.

    aiokafka ends its heartbeats at an error that is for the user, and never begins
    again: the group then takes the member for dead, and the member does not notice.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - see the module's docstring
    heartbeats = coordinator._heartbeat_task  # noqa: SLF001 - same
    if heartbeats is not None and heartbeats.done():
        coordinator._heartbeat_task = None  # noqa: SLF001 - same
        coordinator.request_rejoin()


def has_ended(consumer: Any) -> bool:
    """Whether a consumer does nothing any more for its group: a bug of aiokafka's."""
    coordinator = consumer._coordinator  # noqa: SLF001 - see the module's docstring
    ended: bool = coordinator._coordination_task.done()  # noqa: SLF001 - same
    return ended


async def leave(consumer: Any) -> bool:
    """Leave the group, without waiting for a join; return whether it knows."""
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
