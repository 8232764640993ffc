"""What a worker can run and serve; its record on the definitions topic has its key.

With it a client can say why an attempt waits: its owner lacks the code, or a tag; and
why nothing is decided: the worker gave the partition up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError, WorkflowError

if TYPE_CHECKING:
    from collections.abc import Mapping

REASON_LENGTH_MAX = 300
"""How many characters of a reason stand in an announcement; the worker logs it all."""

REFUSALS_MAX = 1_000
"""How many partitions an announcement names."""

OWN_TROUBLES = frozenset({"store", "clock_refused", "access_refused"})
"""The codes of errors that another machine need not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a worker does not serve a partition: the code of an error, and its text.

    The code is `bug` where it is no error of ours; the text names its class then, for
    its message may hold data of workflows.
    """

    code: str
    reason: str

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        """The refusal that an error leads to."""
        if isinstance(error, WorkflowError):
            return cls(code=error.code, reason=_shortened(str(error)))
        reason = f"expected no bug, but {type(error).__name__}; the worker's log has it"
        return cls(code="bug", reason=reason)

    def __str__(self) -> str:
        match self.code:
            case "store":
                return f"its store cannot be used: {self.reason}"
            case "clock_refused":
                return f"the log refuses the worker's clock: {self.reason}"
            case "access_refused" | "log_refused":
                return f"the log refuses the worker: {self.reason}"
            case _:
                return f"it has stopped: {self.reason}"

    @property
    def is_own(self) -> bool:
        """Whether it is a trouble of the worker's own machine, which may pass."""
        return self.code in OWN_TROUBLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The digests of the graphs whose code a worker has, its tags, what it refuses.

    With `tags` None it runs tasks of any tags.
    """

    graphs: frozenset[str]
    tags: frozenset[str] | None
    refusals: Mapping[int, Refusal] = field(
        default_factory=lambda: MappingProxyType[int, Refusal]({})
    )

    def record(self) -> bytes:
        """The value of its record on the topic: a JSON object."""
        tags = None if self.tags is None else sorted(self.tags)
        record: dict[str, object] = {"graphs": sorted(self.graphs), "tags": tags}
        if self.refusals:
            record["refusals"] = [
                {"partition": partition, "code": one.code, "reason": one.reason}
                for partition, one in sorted(self.refusals.items())[:REFUSALS_MAX]
            ]
        return json.dumps(record).encode()


def read_capabilities(value: bytes) -> Capabilities:
    """Read what `Capabilities.record` wrote.

    Raises:
        DecodeError: if it is something else.
    """
    try:
        fields = Fields(json.loads(value), "announcement")
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"expected an announcement as JSON, but {error}") from error
    has_tags = fields.data.get("tags") is not None
    return Capabilities(
        graphs=frozenset(fields.texts("graphs")),
        tags=frozenset(fields.texts("tags")) if has_tags else None,
        refusals=_read_refusals(fields),
    )


def _read_refusals(announcement: Fields) -> Mapping[int, Refusal]:
    """What a worker refuses; earlier builds did not say."""
    if announcement.data.get("refusals") is None:
        return {}
    refusals: dict[int, Refusal] = {}
    for entry in announcement.items("refusals")[:REFUSALS_MAX]:
        fields = Fields(entry, "announcement.refusals")
        refusals[fields.integer("partition")] = Refusal(
            code=_shortened(fields.text("code")),
            reason=_shortened(fields.text("reason")),
        )
    return refusals


def _shortened(text: str) -> str:
    readable = text.encode("utf-8", "backslashreplace").decode()
    if len(readable) <= REASON_LENGTH_MAX:
        return readable
    return readable[: REASON_LENGTH_MAX - 1] + "…"
