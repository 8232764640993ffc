"""What a worker is told: its name, its patience, and where stores are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from sayiir_es.engine.store import SnapshotStore


class StoreOpener(Protocol):
    """Opens the snapshot store of a partition."""

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open it; a store that cannot be used gives way to an empty one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker goes about it. Times in seconds.

    Attributes:
        worker_id: Its name in events and logs.
        incarnation: Differs for every process that ever ran; part of its owner id.
        build: The version that its claims name.
        drain_s: On shutdown, how long attempts that run may take to end.
        handover_s: On shutdown and revocation, how long to serve until fenced.
        cancel_grace_s: How long a running attempt may go on after a cancel.
        runs_attempts: Whether it runs attempts, or only decides.
        announced: Whether clients can learn which code it has.
    """

    worker_id: str
    incarnation: str
    build: str
    drain_s: float = 10.0
    handover_s: float = 5.0
    cancel_grace_s: float = 10.0
    runs_attempts: bool = True
    announced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerSettings:
    """What an owner is called and how patient it is. Times in seconds."""

    owner_id: str
    worker_id: str
    build: str
    cancel_grace_s: float = 10.0
    limits: Limits = DEFAULT_LIMITS
