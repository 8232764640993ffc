"""I1 of forks: an instance that begins with another's history holds all that it says.

Theory of operation. `WorkflowForked` says how many events of its source follow, in the
same decision, one behind the other. They are held to every rule but those of when and
why: time and cause are the fork's, what they carry is the source's. Behind them, still
in that decision, stands only what an owner does by itself: attempts taken back, and
moves. So a copy that is left out, or one too many, shows where the decision goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model import events as kinds

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event

BEHIND = frozenset(
    {
        kinds.AttemptWithdrawn,
        kinds.BranchCompleted,
        kinds.ChildCompleted,
        kinds.ChildStarted,
        kinds.DeadlineCleared,
        kinds.DelayStarted,
        kinds.ForkStarted,
        kinds.LoopIterated,
        kinds.LoopStarted,
        kinds.PositionUpdated,
        kinds.SignalAwaited,
        kinds.SignalConsumed,
        kinds.WorkflowCancelled,
        kinds.WorkflowCompleted,
        kinds.WorkflowFailed,
        kinds.WorkflowPaused,
    }
)
"""What may stand behind the copies in the decision of a fork."""


class Copies:
    """The fork whose decision a partition is at, if any, and how much of it is left."""

    def __init__(self) -> None:
        self.left = 0
        """Events of the source that are still to come."""
        self.instance_id = ""
        """Whose decision it is; empty where that of no fork is read."""

    def meet(self, event: Event, *, begins: bool) -> tuple[bool, BreachError | None]:
        """Whether the event is a copy, and what is wrong with where it stands."""
        body, breach = event.body, None
        if begins:
            breach = self.missing(f"{event.kind} in another decision")
            self.instance_id, self.left = "", 0
            if isinstance(body, kinds.WorkflowForked):
                self.instance_id, self.left = event.instance_id, body.source_sequence
        elif self.left:
            self.left -= 1
            return True, None
        elif self.instance_id and type(body) not in BEHIND:
            breach = BreachError(
                "I1",
                f"nothing but moves behind the history that {self.instance_id!r} says "
                "to begin with",
                event.kind,
            )
        return False, breach

    def missing(self, seen: str) -> BreachError | None:
        """What is wrong if no further copy comes."""
        if not self.left:
            return None
        return BreachError(
            "I1",
            f"{self.left} more events of the history that {self.instance_id!r} says to "
            "begin with",
            seen,
        )


def forked(model: RunModel, event: Event) -> None:
    """An instance begins with another's history, which may begin so, too."""
    body = event.body
    assert isinstance(body, kinds.WorkflowForked)
    if event.sequence != model.forks + 1:
        raise BreachError(
            "I1",
            f"WorkflowForked before all else of {event.instance_id!r}",
            f"one with sequence {event.sequence}",
        )
    if body.source_sequence < 1:
        raise BreachError(
            "I1", "a source_sequence from 1 on", f"{body.source_sequence}"
        )
    model.forks, model.forking = model.forks + 1, True


def check_taken_back(model: RunModel, event: Event) -> None:
    """A fork takes back what had begun: no deadline of the source is one of its own."""
    model.forking = False
    if isinstance(event.body, kinds.WorkflowRetried) or model.quarantined:
        return  # it had failed, or stands still; its attempts begin anew
    for path, found in model.standing.items():
        if found.deadline_at is not None:
            raise BreachError(
                "I10",
                f"the attempt at {path!r}, begun by the source, to be taken back",
                f"{event.kind} with its deadline standing",
            )
