"""The event of an attempt that goes to an executor elsewhere; `events` has the others.

It stands before the attempt is published, so that whoever owns the partition next knows
whose outcome would count: that of whoever has the secret with this hash.
"""

from __future__ import annotations

from dataclasses import dataclass

from sayiir_es.core.fast_frozen import fast_frozen

SECRET_BYTES = 16
"""Of random bytes, which an executor gets with its attempt."""

SECRET_HASH_BYTES = 32
"""Of the SHA-256 of a secret."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPublished:
    """The attempt is handed to an executor elsewhere.

    `secret_hash` is the SHA-256 of the secret that its outcome has to bring. It is lost
    when nothing is heard of it for `lease_ms`.
    """

    path: str
    attempt: int
    secret_hash: bytes
    executor: str
    lease_ms: int
