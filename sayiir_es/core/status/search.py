"""What a search for instances asks of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sayiir_es.core.status.status import StatusFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.status.list_entry import ListEntry

STATUSES: tuple[StatusFilter, ...] = get_args(StatusFilter)
"""What instances are searched by: their status, or `stranded`."""

STRANDED: Literal["stranded"] = "stranded"
"""Of an instance in progress that waits for code which its owner lacks."""

TimeName: TypeAlias = Literal["started", "updated"]
TIMES: tuple[TimeName, ...] = get_args(TimeName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What an instance must match; times in epoch milliseconds, `until_ms` excluded.

    Attributes:
        statuses: One of them; empty for any. `stranded` is none that an entry has: who
            knows the code looks at those that `may_match`.
        by: The time that `since_ms` and `until_ms` mean.
        order: The time by which they are sorted; None for that of `by`. Pages by
            `started` miss none while instances change, pages by `updated` may.
    """

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    since_ms: int | None = None
    until_ms: int | None = None
    by: TimeName = "started"
    error_type: str | None = None
    order: TimeName | None = None

    @property
    def is_by_start(self) -> bool:
        """Whether they are sorted by the time of the start."""
        return (self.order or self.by) == "started"

    def time_of(self, entry: ListEntry) -> int:
        """The time of an instance that the search means."""
        return entry.started_at if self.by == "started" else entry.updated_at

    def matches(self, entry: ListEntry) -> bool:
        """Whether an instance is among what is searched, whatever it waits for."""
        has_status = not self.statuses or entry.status in self.statuses
        return has_status and self._matches_beside(entry)

    def may_match(self, entry: ListEntry) -> bool:
        """Whether an instance is among what is searched if it is stranded."""
        is_wanted = STRANDED in self.statuses and entry.status == "in_progress"
        return is_wanted and self._matches_beside(entry)

    def _matches_beside(self, entry: ListEntry) -> bool:
        """Whether everything matches but the status."""
        at_ms = self.time_of(entry)
        return (
            self.workflow in (None, entry.workflow)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
            and self.error_type in (None, entry.error_type)
            and (
                not self.attributes
                or self.attributes.items() <= entry.attributes.items()
            )
        )
