"""What a loop's body returns: go on with a value, or be done with one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, TypeGuard, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class OnMax(StrEnum):
    """What happens when a loop has run its last iteration without being done."""

    FAIL = "fail"
    EXIT_WITH_LAST = "exit_with_last"


@dataclass(frozen=True, slots=True, repr=False)
class LoopResult(Generic[T_co]):
    """Made by `LoopResult.again(value)` and `LoopResult.done(value)`."""

    tag: Literal["again", "done"]
    value: T_co

    @staticmethod
    def again(value: T) -> LoopResult[T]:
        """Run the body once more, with `value` as its input."""
        return LoopResult("again", value)

    @staticmethod
    def done(value: T) -> LoopResult[T]:
        """Leave the loop with `value` as its result."""
        return LoopResult("done", value)

    @property
    def is_again(self) -> bool:
        """Whether the body runs once more."""
        return self.tag == "again"

    @property
    def is_done(self) -> bool:
        """Whether the loop ends."""
        return self.tag == "done"

    def to_dict(self) -> dict[str, object]:
        """The envelope `{"_loop": tag, "value": value}`."""
        return {"_loop": self.tag, "value": self.value}

    def __repr__(self) -> str:
        return f"LoopResult.{self.tag}({self.value!r})"


def loop_result_of(value: object) -> LoopResult[object] | None:
    """A `LoopResult`, or the one that a hand-made envelope means; else None."""
    if is_loop_result(value):
        return value
    if not is_envelope(value) or set(value) != {"_loop", "value"}:
        return None
    if value["_loop"] == "again":
        return LoopResult.again(value["value"])
    if value["_loop"] == "done":
        return LoopResult.done(value["value"])
    return None


def is_loop_result(value: object) -> TypeGuard[LoopResult[object]]:
    """Whether it is one, of whatever value."""
    return isinstance(value, LoopResult)


def is_envelope(value: object) -> TypeGuard[dict[object, object]]:
    """Whether it is a dict, which a body may have made by hand."""
    return isinstance(value, dict)
