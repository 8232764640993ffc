"""The settings of a worker and of its owners: names, limits of time, what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.environment import settings_where_set
from sayiir_es.wire.attempts import DEFAULT_LEASE_MS

if TYPE_CHECKING:
    from sayiir_es.engine.selected_instances import SelectedInstances
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.signing import Signer


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

FORK_READ_LIMIT_S = 60.0
"""How long, in seconds, the history of a fork's source may take to be read: some five
million events."""

FORK_READ_LIMIT_VARIABLE = "SAYIIR_FORK_READ_LIMIT"


DRAIN_S = 10.0
CANCEL_GRACE_S = 10.0


def configured_handover_s() -> float:
    """How long a hand-over waits by the environment (`SAYIIR_HANDOVER`), in seconds.

    Raises:
        SettingsError: if the environment cannot be used.
    """
    return _configured_s(HANDOVER_VARIABLE, HANDOVER_S)


def configured_drain_s() -> float:
    """How long a worker drains by the environment (`SAYIIR_DRAIN`), in seconds.

    Raises:
        SettingsError: if the environment cannot be used.
    """
    return _configured_s("SAYIIR_DRAIN", DRAIN_S)


def configured_cancel_grace_s() -> float:
    """How long an attempt runs on behind a cancel (`SAYIIR_CANCEL_GRACE`), in seconds.

    Raises:
        SettingsError: if the environment cannot be used.
    """
    return _configured_s("SAYIIR_CANCEL_GRACE", CANCEL_GRACE_S)


def configured_fork_read_s() -> float:
    """How long reading a fork's source may take (`SAYIIR_FORK_READ_LIMIT`), in seconds.

    Raises:
        SettingsError: if the environment cannot be used.
    """
    return _configured_s(FORK_READ_LIMIT_VARIABLE, FORK_READ_LIMIT_S)


def _configured_s(variable: str, default_s: float) -> float:
    settings = settings_where_set(variable)
    name = variable.removeprefix("SAYIIR_").lower()
    seconds: float | None = None if settings is None else getattr(settings, name)
    return default_s if seconds is None else seconds


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
        selected: The instances that it goes on with; the others are left to the next
            owner. Without it, all.
        signer: Signs the checkpoints in its claims; without it they are not signed.
        snapshots: Whether its owners publish snapshots; the topic must be open then.
        fork_read_s: How long the history of a fork's source may take to be read.
        queued_attempts_max: How many attempts of one partition may queue for a slot.
        turn_units: How many instances, timers and inputs an owner looks at before
            others have a turn of the event loop.
        lease_ms: After how many milliseconds without a sign of life an attempt is lost
            that an executor elsewhere has.
        limits: What its decisions hold to.
    """

    worker_id: str
    incarnation: str
    build: str
    drain_s: float = DRAIN_S
    handover_s: float = HANDOVER_S
    cancel_grace_s: float = CANCEL_GRACE_S
    runs_attempts: bool = True
    announced: bool = True
    selected: SelectedInstances | None = None
    signer: Signer | None = None
    snapshots: bool = False
    fork_read_s: float = FORK_READ_LIMIT_S
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX
    turn_units: int = TURN_UNITS
    lease_ms: int = DEFAULT_LEASE_MS
    limits: Limits = DEFAULT_LIMITS

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
            limits=self.limits,
            selected=self.selected,
            signer=self.signer,
            snapshots=self.snapshots,
            runs_attempts=self.runs_attempts,
            fork_read_s=self.fork_read_s,
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
    cancel_grace_s: float = CANCEL_GRACE_S
    limits: Limits = DEFAULT_LIMITS
    selected: SelectedInstances | None = None
    signer: Signer | None = None
    snapshots: bool = False
    runs_attempts: bool = True
    fork_read_s: float = FORK_READ_LIMIT_S
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX
    turn_units: int = TURN_UNITS
