"""What an owner knows of an attempt that an executor elsewhere has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.core.model.inputs import Handout


@dataclass(slots=True, kw_only=True, eq=False)
class Lease:
    """An attempt that is, or is to be, with an executor elsewhere.

    Attributes:
        handout: To whom, with which hash, and for how long without a sign of life.
        secret: What its outcome has to bring; empty where an earlier owner made it.
        heard_s: When it was handed out, or last heard of, by the watch's time.
        details: What its function last told with a heartbeat.
        has_ended: Its executor has told its outcome, or handed it back.
        is_told: Its executor was told that a request waits for its end.
    """

    handout: Handout
    secret: bytes = b""
    heard_s: float = 0.0
    details: bytes | None = None
    has_ended: bool = False
    is_told: bool = False
