"""What the dispatcher needs of the batch that is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sayiir_es.core.draft import Decision
    from sayiir_es.core.model.inputs import SlotTaken
    from sayiir_es.core.model.rows import Rows


class Batch(Protocol):
    """What the dispatcher needs of the batch that is made."""

    @property
    def now_ms(self) -> int:
        """The time of its decisions, in epoch milliseconds."""
        ...

    def decide(self, input_: SlotTaken, /) -> Decision | None:
        """Make one decision; None if the batch has no room for it."""
        ...

    def view(self, instance_id: str, /) -> Rows:
        """The rows of an instance as staged so far."""
        ...
