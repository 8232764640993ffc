"""What requests to the API bring, as models: bodies, and the criteria of searches."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sayiir_es.client.search import Criteria, search_of
from sayiir_es.core.graph.key_templates import LIMIT_MAX
from sayiir_es.core.graph.start_queue import LENGTH_MAX
from sayiir_es.core.model.commands import ConflictPolicy
from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.status.search import TimeName
from sayiir_es.core.status.status import StatusFilter
from sayiir_es.engine.clock import SystemClock
from sayiir_es.web.api.values import Name, Text, checked_text

LIST_LIMIT_MAX = 500
HISTORY_LIMIT_MAX = 1_000
BULK_LIMIT_MAX = 100_000
"""How many instances one request acts on at most: a minute or two of work."""

CRITERION_CHARACTERS = 512

Criterion = Annotated[
    str, Field(max_length=CRITERION_CHARACTERS), AfterValidator(checked_text)
]


def _checked_rate(text: str) -> str:
    parse_rate(text)
    return text


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CommandBody(_Body):
    """What every command may bring."""

    command_id: Name | None = Field(
        default=None,
        description="Makes it idempotent: a second command with it changes nothing. "
        "The header `Idempotency-Key` says the same.",
    )


class StartBody(CommandBody):
    """Starts an instance of a workflow."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workflow": "orders",
                    "instance_id": "order-7",
                    "input": {"item": "teapot", "amount": 5},
                    "attributes": {"customer": "42"},
                }
            ]
        }
    )

    workflow: Name = Field(description="The name of a published workflow.")
    instance_id: Name | None = Field(
        default=None,
        description="Made up when left out; with a `command_id` always the same.",
    )
    input: Any = Field(default=None, description="Any JSON value.")
    conflict_policy: ConflictPolicy = Field(
        default="fail", description="What is done where the instance exists."
    )
    attributes: dict[Name, Text] = Field(
        default_factory=dict[str, str],
        description="Names and values to search by; they never change.",
        max_length=100,
    )
    version: Name | None = Field(
        default=None, description="Which version of the name; else the greatest."
    )
    definition_hash: Name | None = Field(
        default=None, description="Which shape of the workflow, exactly."
    )


class DebouncedStartBody(StartBody):
    """Starts an instance of a workflow, unless another start takes its place."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workflow": "orders",
                    "instance_id": "order-7",
                    "input": {"item": "teapot", "amount": 5},
                    "debounce": "5s",
                    "debounce_key": "42",
                }
            ]
        }
    )

    debounce: Name = Field(
        description="How long no other start may come, such as `5s` or `200ms`."
    )
    debounce_key: Name | None = Field(
        default=None, description="Which starts of the workflow are one burst."
    )
    debounce_max: Name | None = Field(
        default=None, description="The longest that a burst delays its last start."
    )


class SignalBody(CommandBody):
    """Sends a signal."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "approval", "payload": {"ok": True}}]}
    )

    name: Name = Field(description="Of the signal.")
    payload: Any = Field(default=None, description="Any JSON value.")
    signal_id: Name | None = Field(
        default=None, description="A second signal with it is the same one."
    )


class ReasonBody(CommandBody):
    """Says why, and who asks; both stand in the history."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "the customer withdrew"}]}
    )

    reason: Text | None = None
    requested_by: Text | None = Field(
        default=None,
        description="Who asks. The name of the token, or of the proxy, goes first.",
    )


class LimitBody(ReasonBody):
    """Sets a limit, in place of what tasks say; null or left out: what they say.

    Of attempts the first two, of a start queue (`of=runs`) the other two, in place of
    what its workflow says.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"max_concurrency": 5, "rate": "10/s burst 20"},
                {"max_running": 5, "queue_length": 100},
            ]
        }
    )

    max_concurrency: int | None = Field(
        default=None,
        ge=0,
        le=LIMIT_MAX,
        description="How many attempts run at a time; 0 lets none begin.",
    )
    rate: Annotated[str, AfterValidator(_checked_rate)] | None = Field(
        default=None,
        description="How many begin in a time, such as `10/s` or `100/min burst 20`.",
    )
    max_running: int | None = Field(
        default=None,
        ge=0,
        le=LIMIT_MAX,
        description="How many runs go on at a time; 0 lets none begin.",
    )
    queue_length: int | None = Field(
        default=None,
        ge=0,
        le=LENGTH_MAX,
        description="How many others wait; a further start is refused.",
    )


class RetryBody(ReasonBody):
    """Lets a failed instance go on."""

    input: Any = Field(
        default=None,
        description="What the node that failed gets in place of its input; where it "
        "is left out, what it had.",
    )

    @property
    def has_input(self) -> bool:
        """Whether there is an input; null is one."""
        return "input" in self.model_fields_set


class MigrateBody(ReasonBody):
    """Lets an instance go on with another graph of its workflow."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "latest"}]})

    to: Name = Field(
        description="A definition hash or graph digest, 8 digits or more of one, or "
        "`latest`."
    )
    mapping: dict[Name, Name] = Field(
        default_factory=dict[str, str],
        description="Paths of nodes that have moved: old to new.",
        max_length=1_000,
    )


class ForkBody(CommandBody):
    """Begins an instance with the history of another one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"at": 2, "new_id": "order-7b"}]}
    )

    at: int = Field(ge=1, le=2**53, description="The last event that it begins with.")
    new_id: Name = Field(description="The id of the new instance.")


class SearchCriteria(_Body):
    """The criteria of a search; one that is left out excludes nothing."""

    status: StatusFilter | None = None
    workflow: Criterion | None = Field(default=None, description="Its name.")
    version: Criterion | None = Field(default=None, description="Of its workflow.")
    since: Criterion | None = Field(
        default=None, description="From then on: so long ago (`10m`), or ISO-8601."
    )
    until: Criterion | None = Field(default=None, description="Before then.")
    by: TimeName = Field(
        default="started", description="Which time is meant, and sorted by."
    )
    error_type: Criterion | None = Field(
        default=None, description="Of its error, such as `TimeoutError`."
    )
    error_in: Criterion | None = Field(
        default=None, description="The name of the node that failed."
    )
    waiting_for: Criterion | None = Field(
        default=None, description="Such as `signal`, or `signal:approval`."
    )
    id_prefix: Criterion | None = Field(default=None, description="Of its id.")
    id_contains: Criterion | None = Field(
        default=None, description="What is anywhere in its id."
    )
    parent: Criterion | None = Field(
        default=None, description="The instance of which it is a child."
    )

    @model_validator(mode="after")
    def _is_a_search(self) -> Self:
        search_of(self.criteria(), now_ms=SystemClock().now_ms())
        return self

    def criteria(self) -> Criteria:
        """The same as the client takes them."""
        return Criteria(
            status=self.status,
            workflow=self.workflow,
            version=self.version,
            attributes=self.given_attributes(),
            since=self.since,
            until=self.until,
            by=self.by,
            error_type=self.error_type,
            error_in=self.error_in,
            waiting_for=self.waiting_for,
            id_prefix=self.id_prefix,
            id_contains=self.id_contains,
            parent=self.parent,
        )

    def given_attributes(self) -> dict[str, str]:
        """The attributes that are searched for."""
        return {}


class BulkCriteria(SearchCriteria):
    """The criteria of a search, in a body."""

    attributes: dict[Name, Text] = Field(default_factory=dict[str, str], max_length=100)

    def given_attributes(self) -> dict[str, str]:
        """The attributes that are searched for."""
        return dict(self.attributes)


class SearchQuery(SearchCriteria):
    """The criteria of a search, in an address."""

    attribute: list[Criterion] = Field(
        default_factory=list[str],
        description="`NAME=VALUE`, as given at the start; may be repeated.",
        max_length=100,
    )

    def given_attributes(self) -> dict[str, str]:
        """The attributes that are searched for.

        Raises:
            ValueError: if one is no pair.
        """
        pairs = [text.partition("=") for text in self.attribute]
        for name, sign, _ in pairs:
            if not (name and sign):
                raise ValueError("expected attribute=NAME=VALUE, but no = or no name")
        return {name: value for name, _, value in pairs}


class ListQuery(SearchQuery):
    """A page of a search."""

    limit: int = Field(default=50, ge=1, le=LIST_LIMIT_MAX)
    page_token: Criterion | None = Field(
        default=None, description="The `next_page_token` of the page before."
    )


class CountQuery(SearchQuery):
    """A search whose matches are counted."""

    group_by: (
        Literal["status", "workflow", "version", "error_type", "error", "waiting_for"]
        | None
    ) = Field(default=None, description="A count for each.")


class HistoryQuery(_Body):
    """A page of a history."""

    limit: int = Field(default=200, ge=1, le=HISTORY_LIMIT_MAX)
    page_token: Annotated[str, Field(pattern="^[0-9]{1,18}$")] | None = Field(
        default=None, description="The `next_page_token` of the page before."
    )


class BulkBody(_Body):
    """Acts on every instance that matches."""

    criteria: BulkCriteria = Field(
        description="One at least; `until: 0s` means all that were started so far."
    )
    dry_run: bool = Field(
        default=False, description="Count those that match, and do nothing."
    )
    limit: int = Field(
        default=10_000,
        ge=1,
        le=BULK_LIMIT_MAX,
        description="Where more match, nothing is done.",
    )


class BulkReasonBody(BulkBody, ReasonBody):
    """Acts on every instance that matches, with a reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "criteria": {"workflow": "orders", "status": "failed"},
                    "reason": "the bank is back",
                    "dry_run": True,
                }
            ]
        }
    )


class BulkSignalBody(BulkBody, SignalBody):
    """Sends a signal to every instance that matches."""


class BulkMigrateBody(BulkBody, MigrateBody):
    """Migrates every instance that matches."""
