"""The settings of a worker and of its owners: names, limits of time, what they do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.signing import Signer


Wakes: TypeAlias = Literal["all", "due_at_claim", "nobody"]
"""Which delays and waits for a signal an owner ends when their time comes: all, those
that are due when it claims, or none."""

ALWAYS_MS = 2**63
"""Later than any time, in epoch milliseconds."""

QUEUED_ATTEMPTS_MAX = 100_000
"""Each costs about a kilobyte of memory, and more would buy nothing: what is behind the
first hundred thousand stays owed, and is found again through the store's index."""

TURN_UNITS = 1_000
"""How many instances, timers and inputs one turn of an owner's loop looks at: more than
its limit of time mostly allows."""

HANDOVER_S = 30.0
"""How long, in seconds, attempts of a partition that another worker is to own may run
on. New ones wait meanwhile; what is cut short begins again from its start."""

HANDOVER_VARIABLE = "SAYIIR_HANDOVER"


def configured_handover_s() -> float:
    """How long a hand-over waits by the environment (`SAYIIR_HANDOVER`), in seconds.

    Raises:
        SettingsError: if the environment cannot be used.
    """
    if not any(name.upper() == HANDOVER_VARIABLE for name in os.environ):
        return HANDOVER_S  # as nearly always, and settings are slow to import
    from sayiir_es.settings import load_settings  # noqa: PLC0415 (as above)

    seconds = load_settings().handover
    return HANDOVER_S if seconds is None else seconds


class StoreOpener(Protocol):
    """Opens the snapshot store of a partition."""

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open it; a store that cannot be used is replaced by an empty one.

        Raises:
            StoreError: if the disk refuses, or another process uses the store.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The settings of a worker process. Times in seconds.

    Attributes:
        worker_id: Its name in events and logs.
        incarnation: Different for every process that ever ran; part of its owner id.
        build: The version that its claims name.
        drain_s: On shutdown, how long to wait for attempts that run.
        handover_s: When the group takes a partition, how long to wait for its attempts.
        cancel_grace_s: How long a running attempt may go on after a cancel.
        runs_attempts: Whether it runs attempts, or only decides.
        announced: Whether it publishes which code it has.
        wakes: Which delays and waits it ends; the others are left to the next owner.
        signer: Signs the checkpoints in its claims; without it they are not signed.
        snapshots: Whether its owners publish snapshots; the topic must be open then.
        queued_attempts_max: How many attempts of one partition may queue for a slot.
        turn_units: How many instances, timers and inputs an owner looks at before
            others have a turn of the event loop.
    """

    worker_id: str
    incarnation: str
    build: str
    drain_s: float = 10.0
    handover_s: float = HANDOVER_S
    cancel_grace_s: float = 10.0
    runs_attempts: bool = True
    announced: bool = True
    wakes: Wakes = "all"
    signer: Signer | None = None
    snapshots: bool = False
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX
    turn_units: int = TURN_UNITS

    @property
    def owner_id(self) -> str:
        """The name of this process in claims."""
        return f"{self.worker_id}/{self.incarnation}"

    def of_owner(self) -> OwnerSettings:
        """The settings of each of its owners."""
        return OwnerSettings(
            owner_id=self.owner_id,
            worker_id=self.worker_id,
            build=self.build,
            cancel_grace_s=self.cancel_grace_s,
            wakes=self.wakes,
            signer=self.signer,
            snapshots=self.snapshots,
            queued_attempts_max=self.queued_attempts_max,
            turn_units=self.turn_units,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerSettings:
    """The settings of one owner; see `WorkerSettings`. Times in seconds.

    `owner_id` is its name in claims.
    """

    owner_id: str
    worker_id: str
    build: str
    cancel_grace_s: float = 10.0
    limits: Limits = DEFAULT_LIMITS
    wakes: Wakes = "all"
    signer: Signer | None = None
    snapshots: bool = False
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX
    turn_units: int = TURN_UNITS

    def wakes_before(self, claimed_at: int) -> int:
        """The time before which delays and waits must be due to be ended by this owner.

        Both times are in epoch milliseconds; `claimed_at` is the time of its claim.
        """
        return {"all": ALWAYS_MS, "due_at_claim": claimed_at, "nobody": 0}[self.wakes]
