"""`verify`: check every invariant of a backend's log, and of the stores beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.audit.verify.log import LogVerification, silent
from sayiir_es.audit.verify.stores import store_violations
from sayiir_es.client.backends import use_backend
from sayiir_es.core.model.errors import UsageError
from sayiir_es.wire.signing import load_public_keys

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

    from sayiir_es.audit.chain import Proof
    from sayiir_es.audit.verify.log import Progress
    from sayiir_es.audit.violation import Violation
    from sayiir_es.client.backends import Backend
    from sayiir_es.log.port import Log
    from sayiir_es.wire.signing import PublicKeys

VIOLATIONS_MAX = 1_000
"""As many are kept; a log that breaks more is not understood by reading on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification found; `events` counts the valid events that it checked.

    `proofs` says of each partition how far its checkpoints prove it; nothing where one
    instance alone was checked.
    """

    events: int
    violations: tuple[Violation, ...]
    proofs: tuple[Proof, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no invariant is broken."""
        return not self.violations


def verify(
    backend: Backend | str,
    *,
    instance_id: str | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    public_key: str | os.PathLike[str] | None = None,
) -> Verdict:
    """Check the log of a backend, as it stands now; workers may go on meanwhile.

    Args:
        backend: A backend or its URL.
        instance_id: Check this instance only; I3 needs all of them and is left out.
        state_dir: Also compare the stores in this directory with the log (I20, I21).
        public_key: A PEM file of Ed25519 keys: a checkpoint must be signed by one.

    Returns:
        At most 1,000 violations, in the order of partitions and offsets.

    Raises:
        LogUnavailableError: if there is no log, or nothing answers.
        StoreError: if `state_dir` holds no store; one that cannot be read is a
            violation.
        UsageError: if `public_key` holds no such key, or one instance is asked for.
    """
    keys = keys_of(public_key, instance_id)
    with use_backend(backend) as opened_backend:
        return opened_backend.thread.call(
            verify_log(opened_backend.open_log(), instance_id, state_dir, keys)
        )


async def verify_log(
    log: Log,
    instance_id: str | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    keys: PublicKeys | None = None,
    progress: Progress = silent,
) -> Verdict:
    """As `verify`, of a log that is not open yet; it is closed at the end."""
    try:
        identity = await log.open(create=False)
        run = LogVerification(
            log, instance_id=instance_id, keys=keys, progress=progress
        )
        violations = await _first(run.violations())
        if state_dir is not None:
            stores = store_violations(log, identity, Path(state_dir))
            violations += await _first(stores)
        return Verdict(
            events=run.events,
            violations=tuple(violations[:VIOLATIONS_MAX]),
            proofs=run.checker.proofs,
        )
    finally:
        await log.close()


def keys_of(
    public_key: str | os.PathLike[str] | None, instance_id: str | None
) -> PublicKeys | None:
    """The keys of a file, if one is named.

    Raises:
        UsageError: if it holds no such key, or one instance is asked for: checkpoints
            are of whole partitions.
    """
    if public_key is None:
        return None
    if instance_id is not None:
        raise UsageError(
            "expected a whole log for a public key, but one instance: checkpoints are "
            "of partitions"
        )
    return load_public_keys(Path(public_key))


async def _first(violations: AsyncIterator[Violation]) -> list[Violation]:
    first: list[Violation] = []
    async for violation in violations:
        first.append(violation)
        if len(first) == VIOLATIONS_MAX:
            break
    return first
