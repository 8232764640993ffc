"""What people do to many instances at once: a command for each, with who asks and why.

The same for instances that were picked one by one and for all that match a search.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sayiir_es.client.bulk import (
    apply_to_statuses,
    bulk_search,
    find_ids,
    send_to_all,
)
from sayiir_es.client.commands import new_command_id
from sayiir_es.client.search import count_by_group
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.client.bulk import BulkResult, OnProgress
    from sayiir_es.client.search import Criteria
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.status.search import Search

ControlName: TypeAlias = Literal[
    "retry", "pause", "unpause", "cancel", "signal", "migrate"
]
CONTROL_NAMES: tuple[ControlName, ...] = get_args(ControlName)

_KINDS: dict[ControlName, type[Command]] = {
    "retry": RetryWorkflow,
    "pause": PauseWorkflow,
    "unpause": UnpauseWorkflow,
    "cancel": CancelWorkflow,
    "signal": SendSignal,
    "migrate": MigrateWorkflow,
}


_WITH_REASON: dict[
    str, type[CancelWorkflow | PauseWorkflow | RetryWorkflow | UnpauseWorkflow]
] = {
    "retry": RetryWorkflow,
    "pause": PauseWorkflow,
    "unpause": UnpauseWorkflow,
    "cancel": CancelWorkflow,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkControl:
    """What is to be done, the same to each instance.

    Attributes:
        name: What.
        reason: Why; goes into the history, but that of a signal does not.
        requested_by: Who asks.
        signal: The name of the signal that is sent, `payload` what it carries.
        signal_id: By which a signal is known to have come before.
        to: With which graph they go on that are migrated; `mapping` says which of
            their paths have moved.
        command_id: That of every instance's command; None for new ones. An instance
            takes one of an id once.
    """

    name: ControlName
    reason: str | None = None
    requested_by: str | None = None
    signal: str = ""
    payload: bytes = b"null"
    signal_id: str | None = None
    to: str = "latest"
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    command_id: str | None = None

    def search_by(self, criteria: Criteria) -> Search:
        """The search with criteria that a program gave, as `search`.

        Raises:
            ValueError: if there is no criterion at all, or one is none.
        """
        return bulk_search(criteria, _KINDS[self.name])

    def search(self, search: Search) -> Search:
        """The search for those to which it can be done, where no status is named."""
        return apply_to_statuses(search, _KINDS[self.name])

    async def count(self, session: Session, search: Search) -> int:
        """How many instances it would be done to now."""
        return (await count_by_group(session, self.search(search), "all")).total()

    async def find(self, session: Session, search: Search) -> Sequence[str]:
        """The ids of those to which it would be done now, the first started first."""
        return await find_ids(session, self.search(search))

    async def do(
        self,
        session: Session,
        instance_ids: Sequence[str],
        on_progress: OnProgress | None = None,
    ) -> BulkResult:
        """Do it to instances; `on_progress` is told how many answered, and of how many.

        What is refused is in the result, by id.
        """
        return await send_to_all(session, instance_ids, self.command, on_progress)

    def command(self, instance_id: str) -> Command:
        """The command for one instance."""
        command_id = self.command_id or new_command_id()
        if self.name == "signal":
            return SendSignal(
                instance_id=instance_id,
                command_id=command_id,
                signal=self.signal,
                payload=self.payload,
                signal_id=self.signal_id,
            )
        if self.name == "migrate":
            return MigrateWorkflow(
                instance_id=instance_id,
                command_id=command_id,
                to=self.to,
                mapping=dict(self.mapping),
                reason=self.reason,
                requested_by=self.requested_by,
            )
        return _WITH_REASON[self.name](
            instance_id=instance_id,
            command_id=command_id,
            reason=self.reason,
            requested_by=self.requested_by,
        )


def control_name(text: str) -> ControlName:
    """The control of that name.

    Raises:
        UsageError: if there is none.
    """
    for name in CONTROL_NAMES:
        if name == text:
            return name
    raise UsageError(f"expected one of {', '.join(CONTROL_NAMES)}, but {text!r:.100}")
