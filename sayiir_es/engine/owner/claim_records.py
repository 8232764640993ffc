"""The claims that an owner writes: each holds a checkpoint of what it has folded.

Theory of operation. The position of the store carries the digest of every event below
its offset (`wire.checkpoint`): a fold extends it record by record, an owner behind each
acknowledged batch. A claim is made from the position alone. So it covers exactly what
its writer had folded or written when it made the claim, and needs no ack to be known:
what others wrote between that and the place where the claim lands, valid or late, is
for the next checkpoint. An append that failed never reached the position.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.wire.checkpoint import digest_of, signed_bytes
from sayiir_es.wire.events import KIND_HEADER
from sayiir_es.wire.signing import load_signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.position import Position
    from sayiir_es.engine.worker_settings import OwnerSettings
    from sayiir_es.log.port import NewRecord
    from sayiir_es.wire.signing import Signer

KEY_VARIABLE = "SAYIIR_SIGNING_KEY"

RENEW_AFTER_RECORDS = 7_500
"""A reader that starts in the middle looks back at most 10,000 records for the claim,
and no checkpoint has more before it: the largest batch, 2,000 and the decision that
reaches them, must still go between."""

SIGN_EVERY_S = 600.0
"""How long records stand without a signature, where they are signed at all: what stands
behind the last checkpoint can be rewritten by whoever may write to the topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecords:
    """Makes the claims of one owner of one partition."""

    partition: int
    owner_id: str
    build: str
    signer: Signer | None = None

    @classmethod
    def for_owner(cls, partition: int, settings: OwnerSettings) -> ClaimRecords:
        """Those of the owner that was told so."""
        return cls(
            partition=partition,
            owner_id=settings.owner_id,
            build=settings.build,
            signer=settings.signer,
        )

    def due(self, records: int, age_s: float) -> bool:
        """Whether to renew a claim of that age under which so many records stand."""
        unsigned = records if self.signer is not None else 0
        return records >= RENEW_AFTER_RECORDS or (
            unsigned > 0 and age_s >= SIGN_EVERY_S
        )

    def claim(
        self, position: Position, at_ms: int, *, next_command: int | None = None
    ) -> Event:
        """A claim, or its renewal, by whoever stands at `position`.

        `next_command` where it is beyond that of the position.
        """
        signature = b""
        if self.signer is not None:
            signature = self.signer.sign(
                signed_bytes(self.partition, position.offset, position.digest)
            )
        body = PartitionClaimed(
            owner=self.owner_id,
            build=self.build,
            next_command=position.next_command
            if next_command is None
            else next_command,
            digest_end=position.offset,
            digest=position.digest,
            signature=signature,
        )
        return Event(
            claim=-1, instance_id="", run=0, sequence=0, at=at_ms, cause="", body=body
        )


def extend_digest(digest: bytes, base: int, records: Sequence[NewRecord]) -> bytes:
    """The digest behind records of an owner that landed from `base` on."""
    for offset, record in enumerate(records, base):
        [(name, kind), *_] = record.headers
        assert name == KIND_HEADER  # `event_headers` puts it first
        digest = digest_of(digest, offset, kind, record.key, record.value)
    return digest


def configured_signer() -> Signer | None:
    """The key that the environment names (`SAYIIR_SIGNING_KEY`), if it names one.

    Raises:
        SettingsError: if the environment cannot be used.
        UsageError: if the file is no such key.
    """
    if not any(name.upper() == KEY_VARIABLE for name in os.environ):
        return None  # as nearly always, and settings are slow to import
    from sayiir_es.settings import load_settings  # noqa: PLC0415 (as above)

    path = load_settings().signing_key
    return None if path is None else load_signer(path)
