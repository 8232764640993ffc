"""I1 of forks: an instance that begins with the history of another has all of it.

Theory of operation. `WorkflowForked` says how many events of its source follow it, in
the same decision. Every rule applies to these copies but those of time and cause: both
are the fork's, all else is the source's. After the copies, still in that decision, come
only events that no command asks for: attempts are withdrawn, and cursors move on. So a
copy that is missing, or one too many, shows where the decision goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model import events as kinds
from sayiir_es.core.model.child_events import ChildInstanceRequested
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
    CompensationStarted,
)
from sayiir_es.core.model.run_permit_events import RunPermitAsked

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event

AFTER_COPIES = frozenset(
    {
        kinds.AttemptWithdrawn,
        kinds.BranchCompleted,
        kinds.ChildCompleted,
        ChildInstanceRequested,
        kinds.ChildStarted,
        CompensationEnded,
        CompensationRequested,
        CompensationStarted,
        kinds.DeadlineCleared,
        kinds.DelayStarted,
        kinds.ErrorCaught,
        kinds.ForkStarted,
        kinds.LoopIterated,
        kinds.LoopStarted,
        kinds.PositionUpdated,
        RunPermitAsked,
        kinds.SignalAwaited,
        kinds.SignalConsumed,
        kinds.TryCompleted,
        kinds.TryStarted,
        kinds.WorkflowCancelled,
        kinds.WorkflowCompleted,
        kinds.WorkflowFailed,
        kinds.WorkflowPaused,
    }
)
"""What may follow the copies in the decision of a fork."""


class ForkedHistory:
    """The copies in the decision of a fork that a partition is at, if it is at one."""

    def __init__(self) -> None:
        self.left = 0
        """Events of the source that are still to come."""
        self.instance_id = ""
        """The fork; empty if the decision at hand is none of a fork."""

    def take(self, event: Event, *, begins: bool) -> tuple[bool, BreachError | None]:
        """Take the next event: whether it is a copy, and what is wrong with it."""
        body, breach = event.body, None
        if begins:
            breach = self.missing(f"{event.kind} in another decision")
            self.instance_id, self.left = "", 0
            if isinstance(body, kinds.WorkflowForked):
                self.instance_id, self.left = event.instance_id, body.source_sequence
        elif self.left:
            self.left -= 1
            return True, None
        elif self.instance_id and type(body) not in AFTER_COPIES:
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


def check_forked(model: RunModel, event: Event) -> None:
    """An instance begins with the history of another, which may itself be a fork."""
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


def check_attempts_withdrawn(model: RunModel, event: Event) -> None:
    """A fork withdraws the attempts of its source: their deadlines are not its own."""
    model.forking = False
    if isinstance(event.body, kinds.WorkflowRetried) or model.quarantined:
        return  # it had failed, or stands still; its attempts begin anew
    for path, open_node in model.open_nodes.items():
        if open_node.deadline_at is not None and not open_node.broken:
            raise BreachError(
                "I10",
                f"the attempt at {path!r}, begun by the source, to be taken back",
                f"{event.kind} with its deadline standing",
            )
