"""What a worker is told: its name, its patience, and where stores are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.signing import Signer


Wakes: TypeAlias = Literal["all", "due_at_claim", "nobody"]
"""Whose time an owner sees coming, of delays and of waits for a signal."""

ALWAYS_MS = 2**63

QUEUED_ATTEMPTS_MAX = 100_000
"""Each costs about a kilobyte of memory, and more would buy nothing: what is behind the
first hundred thousand stays owed, and is found again through the store's index."""


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
        wakes: Whose time it sees coming; what it leaves is for the next owner.
        signer: Signs the checkpoints in its claims; without it they are not signed.
        snapshots: Whether its owners publish snapshots; the topic is open then.
        queued_attempts_max: How many attempts of one partition may queue for a slot.
    """

    worker_id: str
    incarnation: str
    build: str
    drain_s: float = 10.0
    handover_s: float = 5.0
    cancel_grace_s: float = 10.0
    runs_attempts: bool = True
    announced: bool = True
    wakes: Wakes = "all"
    signer: Signer | None = None
    snapshots: bool = False
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX

    def of_owner(self, owner_id: str) -> OwnerSettings:
        """What its owners are told; `owner_id` is its name in claims."""
        return OwnerSettings(
            owner_id=owner_id,
            worker_id=self.worker_id,
            build=self.build,
            cancel_grace_s=self.cancel_grace_s,
            wakes=self.wakes,
            signer=self.signer,
            snapshots=self.snapshots,
            queued_attempts_max=self.queued_attempts_max,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerSettings:
    """What an owner is called and how patient it is. Times in seconds."""

    owner_id: str
    worker_id: str
    build: str
    cancel_grace_s: float = 10.0
    limits: Limits = DEFAULT_LIMITS
    wakes: Wakes = "all"
    signer: Signer | None = None
    snapshots: bool = False
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX

    def wakes_before(self, claimed_at: int) -> int:
        """Up to which time, exclusive, delays and waits end under a claim."""
        return {"all": ALWAYS_MS, "due_at_claim": claimed_at, "nobody": 0}[self.wakes]
