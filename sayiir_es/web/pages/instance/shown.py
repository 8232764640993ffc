"""The instance that a page shows, and the addresses of the page's parts.

A page of the log and one of a file differ in where they stand and in what can be done
there; everything that is read is the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast
from urllib.parse import urlencode

from sayiir_es.core.model.errors import UsageError
from sayiir_es.operations.previews import preview
from sayiir_es.operations.text import payload_value, to_json
from sayiir_es.wire.trace_context import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.audit.history import History
    from sayiir_es.core.model.waits import ErrorDetails
    from sayiir_es.core.status.status import Status
    from sayiir_es.web.masking import Masking

Tab: TypeAlias = Literal["timeline", "graph", "history"]
View: TypeAlias = Literal["grouped", "all", "json"]

Word = TypeVar("Word", bound=str)

TABS: tuple[Tab, ...] = ("timeline", "graph", "history")
VIEWS: tuple[View, ...] = ("grouped", "all", "json")

TEXT_CHARACTERS = 12_000
"""How much of a value a page shows; a link brings all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What an address asks for beside the instance; empty and None where it does not.

    Attributes:
        part: The part of the page that is wanted; all of it where it is empty.
        at: The sequence behind which the state is shown.
        start: The number of the first entry of the history, from 0.
        name: Of a node its path, of a value its reference.
        since: The place of the last event when the whole page was made.
    """

    tab: Tab = "timeline"
    part: str = ""
    view: View = "grouped"
    scale: Literal["time", "order"] = "time"
    at: int | None = None
    start: int | None = None
    name: str = ""
    since: str = ""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Query:
        """The query of an address.

        Raises:
            UsageError: if one of its parts is not what it takes.
        """
        return cls(
            tab=_word(parameters, "tab", TABS),
            part=parameters.get("part", ""),
            view=_word(parameters, "view", VIEWS),
            scale=_word(parameters, "scale", ("time", "order")),
            at=_number(parameters, "at"),
            start=_number(parameters, "start"),
            name=parameters.get("name", ""),
            since=_place(parameters),
        )


def _word(parameters: Mapping[str, str], name: str, words: tuple[Word, ...]) -> Word:
    text = parameters.get(name) or words[0]
    for word in words:
        if word == text:
            return word
    raise UsageError(f"expected {name} to be {' or '.join(words)}, but {text!r:.100}")


def _place(parameters: Mapping[str, str]) -> str:
    text = parameters.get("since", "")
    return text if re.fullmatch("[0-9]{1,9}:[0-9]{1,18}", text) else ""


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    if not text:
        return None
    if re.fullmatch("[0-9]{1,12}", text) is None:
        raise UsageError(f"expected {name} to be a whole number, but {text!r:.100}")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A value as a page shows it: JSON for people, masked, and cut where it is long."""

    text: str
    is_cut: bool
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownInstance:
    """An instance with its history; `status` is as of its last event.

    Attributes:
        address: Of its page, without a query.
        fixed: What every query of its addresses has.
        is_live: Whether it is of the log: it goes on, and can be acted on.
        trace_url: Where a trace is looked at, with `{trace_id}` in it; empty: nowhere.
    """

    history: History
    status: Status | None
    address: str
    masking: Masking
    is_live: bool
    fixed: tuple[tuple[str, str], ...] = ()
    trace_url: str = ""

    @property
    def instance_id(self) -> str:
        """Its id."""
        return self.history.instance_id

    def link(self, **query: str | int | None) -> str:
        """An address of this page; of its query what is None or empty is left out."""
        wanted = [(name, str(value)) for name, value in query.items()]
        pairs = [*self.fixed, *(pair for pair in wanted if pair[1] not in ("", "None"))]
        if not pairs:
            return self.address
        return f"{self.address}?{urlencode(pairs, errors='surrogatepass')}"

    @property
    def place(self) -> str:
        """Where its last event stands, as `/live` takes it."""
        last = self.history.events[-1]
        return f"{last.partition}:{last.offset}"

    def live_address(self, since: str) -> str:
        """Where its events are told as they come, from behind a place on.

        The place is that of the whole page's: with another one for each of its parts a
        browser would begin to listen anew with every event.
        """
        query = {"instance": self.instance_id, "after": since or self.place}
        return f"/live?{urlencode(query)}"

    def trace_link(self, traceparent: str | None) -> str | None:
        """Where the trace of an event is looked at; None where it has none."""
        trace_id = trace_id_of(traceparent)
        if trace_id is None or not self.trace_url:
            return None
        return self.trace_url.replace("{trace_id}", trace_id)

    def masked_details(self, details: ErrorDetails) -> ErrorDetails:
        """What is behind an error, as it is shown."""
        say = self.masking.text
        causes = tuple(map(say, details.causes))
        return replace(details, causes=causes, traceback=say(details.traceback))

    def payload(self, data: bytes, **query: str | int | None) -> Text:
        """A payload as text, masked; `query` is of the address of all of it."""
        value, is_cut = preview(payload_value(data))
        return self._text(self.masking.value(value), query, is_cut=is_cut)

    def fields(
        self, fields: Mapping[str, object], **query: str | int | None
    ) -> tuple[dict[str, object], Text]:
        """The fields of an event or a snapshot as they are shown, and as text."""
        value, is_cut = preview(dict(fields))
        masked = self.masking.fields(cast("dict[str, object]", value))
        return masked, self._text(masked, query, is_cut=is_cut)

    def _text(
        self, value: object, query: Mapping[str, str | int | None], *, is_cut: bool
    ) -> Text:
        whole = to_json(value, indent=2)
        return Text(
            text=whole[:TEXT_CHARACTERS],
            is_cut=is_cut or len(whole) > TEXT_CHARACTERS,
            address=self.link(**query),
        )
