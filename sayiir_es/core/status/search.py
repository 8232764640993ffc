"""What a search for instances asks of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sayiir_es.core.status.status import StatusFilter
from sayiir_es.core.status.waits import (
    BY_ATTEMPT,
    BY_OWNER,
    KINDS,
    is_waited,
    kind_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.status.list_entry import ListEntry

STATUSES: tuple[StatusFilter, ...] = get_args(StatusFilter)
"""What instances are searched by: their status, or `stranded`."""

STRANDED: Literal["stranded"] = "stranded"
"""Of an instance in progress that waits for code which its owner lacks, or for an
executor elsewhere that is not there."""

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
        waiting_for: What it waits for: a kind of `status.waits.KINDS`, or one with a
            name, such as `signal:approval`.
        error_in: The name of the node that failed.
        id_prefix: How its id begins.
        id_contains: What stands anywhere in its id.
        parent: The id of the instance of which it is a child.
    """

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    since_ms: int | None = None
    until_ms: int | None = None
    by: TimeName = "started"
    error_type: str | None = None
    order: TimeName | None = None
    version: str | None = None
    error_in: str | None = None
    waiting_for: str | None = None
    id_prefix: str | None = None
    id_contains: str | None = None
    parent: str | None = None

    @property
    def sorted_by(self) -> TimeName:
        """The time by which they are sorted."""
        return self.order or self.by

    @property
    def stored_status(self) -> str | None:
        """The status that the rows of all of them say; None if there are several."""
        if len(self.statuses) != 1:
            return None
        [status] = self.statuses
        return "in_progress" if status == STRANDED else status

    @property
    def is_counted(self) -> bool:
        """Whether all that it asks but a time is what stores count by."""
        of_each = (self.id_prefix, self.id_contains, self.parent)
        return not self.attributes and of_each == (None, None, None)

    @property
    def asks_for_code(self) -> bool:
        """Whether it depends on what the owner can run which instances match."""
        if STRANDED in self.statuses:
            return True
        waiting_for = self.waiting_for
        return waiting_for is not None and kind_of(waiting_for) in BY_ATTEMPT | BY_OWNER

    def time_of(self, entry: ListEntry) -> int:
        """The time of an instance that the search means."""
        return entry.started_at if self.by == "started" else entry.updated_at

    def may_match(self, entry: ListEntry) -> bool:
        """Whether an instance matches, whatever its owner lacks."""
        return (
            self._may_have_status(entry)
            and self._matches_beside(entry)
            and self._may_wait(entry)
        )

    def matches(
        self,
        entry: ListEntry,
        waited: tuple[str, ...] | None = None,
        *,
        is_stranded: bool = False,
    ) -> bool:
        """Whether an instance is among what is searched.

        `waited` is what it waits for with regard to what its owner lacks, which
        `is_stranded` says of code; None where nobody knows.
        """
        has_status = (
            not self.statuses
            or entry.status in self.statuses
            or (is_stranded and STRANDED in self.statuses)
        )
        if not has_status or not self._matches_beside(entry):
            return False
        if self.waiting_for is None:
            return True
        return is_waited(self.waiting_for, entry.waited if waited is None else waited)

    def _may_have_status(self, entry: ListEntry) -> bool:
        statuses = self.statuses
        if not statuses or entry.status in statuses:
            return True
        return STRANDED in statuses and entry.status == "in_progress"

    def _may_wait(self, entry: ListEntry) -> bool:
        waiting_for = self.waiting_for
        if waiting_for is None:
            return True
        if kind_of(waiting_for) not in BY_OWNER:
            return is_waited(waiting_for, entry.waited)
        return any(kind_of(one) in BY_ATTEMPT for one in entry.waited)

    def _matches_beside(self, entry: ListEntry) -> bool:
        """Whether everything matches but the status, and what is waited for."""
        at_ms = self.time_of(entry)
        return (
            self.workflow in (None, entry.workflow)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
            and self.error_type in (None, entry.error_type)
            and self.error_in in (None, entry.error_in)
            and self.version in (None, entry.version)
            and self.parent in (None, entry.parent)
            and (
                not self.attributes
                or self.attributes.items() <= entry.attributes.items()
            )
            and self.matches_id(entry.instance_id)
        )

    def matches_id(self, instance_id: str) -> bool:
        """Whether an id is among what is searched."""
        return (self.id_prefix is None or instance_id.startswith(self.id_prefix)) and (
            self.id_contains is None or self.id_contains in instance_id
        )


def check_waiting_for(waiting_for: str) -> str:
    """Return a criterion of what is waited for.

    Raises:
        ValueError: if its kind is none.
    """
    if kind_of(waiting_for) not in KINDS:
        kinds = ", ".join(KINDS)
        raise ValueError(
            f"expected to wait for one of {kinds}, or one with a name such as "
            f"signal:approval, but {waiting_for!r:.100}"
        )
    return waiting_for
