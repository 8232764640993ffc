"""Which instances a page shows, as its address says; and how that is said in words."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sayiir_es.client.search import search_of
from sayiir_es.core.model.errors import UsageError
from sayiir_es.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.client.search import Criteria
    from sayiir_es.core.status.search import Search

TEXT_MAX = 2_000
"""How long, in characters, a criterion may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """The criteria as people type them; an empty one excludes nothing.

    Attributes:
        q: Text that stands in the id.
        since: A time, or how long ago: `24h`; so is `until`.
        by: Which time is meant, and sorted by: `started` or `updated`.
        attributes: Such as `customer=42, region=eu`.
        parent: The id of the instance of which they are children.
    """

    q: str = ""
    workflow: str = ""
    version: str = ""
    status: str = ""
    error_type: str = ""
    error_in: str = ""
    waiting_for: str = ""
    since: str = ""
    until: str = ""
    by: str = "started"
    attributes: str = ""
    parent: str = ""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> InstanceFilter:
        """The filter of an address; what is no criterion is left out.

        Raises:
            UsageError: if a criterion is too long.
        """
        values: dict[str, str] = {}
        for item in fields(cls):
            value = parameters.get(item.name, "").strip()
            if len(value) > TEXT_MAX:
                raise UsageError(
                    f"expected at most {TEXT_MAX} characters of {item.name}, but "
                    f"{len(value)}"
                )
            if value:
                values[item.name] = value
        return cls(**values)

    def query(self) -> str:
        """The filter as the query of an address, without what is empty."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        if values["by"] == "started":
            del values["by"]
        return urlencode(
            {name: value for name, value in values.items() if value},
            errors="surrogatepass",
        )

    def having(self, **criteria: str) -> InstanceFilter:
        """The filter with other criteria in place of its own."""
        return replace(self, **criteria)

    def address(self, **criteria: str) -> str:
        """The page with other criteria in place of some."""
        query = self.having(**criteria).query()
        return f"/?{query}" if query else "/"

    @property
    def is_empty(self) -> bool:
        """Whether it excludes nothing."""
        return not self.query().replace("by=updated", "")

    def search(self) -> Search:
        """The search.

        Raises:
            UsageError: if a criterion is none.
        """
        criteria: Criteria = {
            "workflow": self.workflow or None,
            "version": self.version or None,
            "status": self.status or None,
            "error_type": self.error_type or None,
            "error_in": self.error_in or None,
            "waiting_for": self.waiting_for or None,
            "id_contains": self.q or None,
            "parent": self.parent or None,
            "since": self.since or None,
            "until": self.until or None,
            "by": self.by,
            "attributes": parse_attributes(self.attributes),
        }
        try:
            return search_of(criteria, now_ms=SystemClock().now_ms())
        except (ValueError, OverflowError) as error:
            raise UsageError(str(error)) from error


def parse_attributes(text: str) -> dict[str, str]:
    """The attributes of a text such as `customer=42, region=eu`.

    Raises:
        UsageError: if it is none.
    """
    attributes: dict[str, str] = {}
    for pair in text.split(","):
        if not pair.strip():
            continue
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise UsageError(
                f"expected attributes such as customer=42, region=eu, but {pair!r:.100}"
            )
        attributes[name.strip()] = value.strip()
    return attributes
