"""The claims that an owner writes: each holds a checkpoint of what it has folded.

Theory of operation. The position of the store has the digest of every event below its
offset (`wire.checkpoint`): a fold extends it record by record, an owner after each
acknowledged batch. A claim is made from the position alone. So it covers exactly what
its writer had folded or written when it made the claim, and can be made before any ack.
What others write between that and the offset of the claim, valid or late, is covered by
the next checkpoint. An append that failed never changed the position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.environment import settings_where_set
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
"""After so many records an owner renews its claim. A reader that starts in the middle
reads at most 10,000 records back to find the claim, and a checkpoint covers no more: so
the largest batch, 2,000 records and one decision more, must still fit in between."""

SIGN_EVERY_S = 600.0
"""How long records stay unsigned, in seconds, if there is a key. Records behind the
last checkpoint can be rewritten by anybody who may write to the topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecords:
    """Makes the claims of one owner of one partition."""

    partition: int
    owner_id: str
    build: str
    signer: Signer | None = None

    @classmethod
    def for_owner(cls, partition: int, settings: OwnerSettings) -> ClaimRecords:
        """For the owner of a partition that has these settings."""
        return cls(
            partition=partition,
            owner_id=settings.owner_id,
            build=settings.build,
            signer=settings.signer,
        )

    def due(self, records: int, age_s: float) -> bool:
        """Whether to renew a claim.

        Args:
            records: how many its owner has written under it.
            age_s: its age in seconds.
        """
        unsigned_records = records if self.signer is not None else 0
        return records >= RENEW_AFTER_RECORDS or (
            unsigned_records > 0 and age_s >= SIGN_EVERY_S
        )

    def claim(
        self, position: Position, at_ms: int, *, next_command: int | None = None
    ) -> Event:
        """The event of a claim, or of its renewal.

        Args:
            position: how far its writer has folded.
            at_ms: its time, in epoch milliseconds.
            next_command: the next offset of the commands, if it is beyond that of
                `position`.
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
    """The digest behind `records`, which an owner wrote from the offset `base` on."""
    for offset, record in enumerate(records, base):
        [(name, kind), *_] = record.headers
        assert name == KIND_HEADER  # `event_headers` puts it first
        digest = digest_of(digest, offset, kind, record.key, record.value)
    return digest


def configured_signer() -> Signer | None:
    """The signer of the key that the environment names (`SAYIIR_SIGNING_KEY`), or None.

    Raises:
        SettingsError: if the environment cannot be used.
        UsageError: if the file is no Ed25519 key.
    """
    settings = settings_where_set(KEY_VARIABLE)
    path = None if settings is None else settings.signing_key
    return None if path is None else load_signer(path)
