"""What the API answers with, as models: they make the OpenAPI document.

A response is made of the same objects as the command line prints, masked, and written
by the function that writes those: so that numbers and texts come as they were recorded.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from sayiir_es.core.status.limit_report import LimitOf
from sayiir_es.core.status.status import StatusName
from sayiir_es.operations.text import to_json


class ApiResponse(Response):
    """A value as JSON; half of a character, which foreign ids may have, is escaped."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The bytes of a value."""
        return to_json(content).encode()


class ErrorDetails(BaseModel):
    """What is behind an error."""

    model_config = ConfigDict(extra="allow")

    traceback: str
    causes: list[str]
    source_line: str


class Instance(BaseModel):
    """An instance as of its last event; times are epoch milliseconds."""

    instance_id: str
    workflow: str
    status: StatusName
    waiting_for: str = Field(description="One sentence.")
    output: Any = Field(description="Of a completed instance.")
    error: str | None
    error_type: str | None
    error_details: ErrorDetails | None = Field(description="None in lists.")
    compensated: list[str]
    not_compensated: list[str]
    reason: str | None
    requested_by: str | None
    wake_at: int | None
    signal: str | None = Field(description="The one that it waits for.")
    attempts: dict[str, int] = Field(description="Of running nodes, by path.")
    attributes: dict[str, str]
    run: int
    sequence: int
    started_at: int
    updated_at: int
    definition_hash: str
    version: str | None
    parent: str | None = Field(description="The instance of which it is a child.")
    children: list[str] = Field(
        description="Its own that have not ended: at most 20, and none in lists; "
        "`parent` of a search finds all."
    )


class DebouncedStart(BaseModel):
    """A start that waits, and that another start may take the place of."""

    instance_id: str
    workflow: str
    debounced_as: str = Field(description="The id whose history says what becomes.")
    waiting_for: str = Field(description="One sentence.")


class InstanceList(BaseModel):
    """A page of instances, the last started (or changed) first."""

    instances: list[Instance]
    next_page_token: str | None = Field(description="None at the end.")


class Count(BaseModel):
    """One group, and how many instances are in it."""

    count: int
    group: dict[str, str | None] = Field(
        description="By its parts, such as `status`, or `error_type` and `error_in`."
    )


class Counts(BaseModel):
    """How many instances match."""

    total: int
    groups: list[Count] = Field(description="The largest first; none where not asked.")


class Decision(BaseModel):
    """What the owner of an instance decided on a command.

    `CommandAcknowledged` says that the command changed nothing: `duplicate` where it
    had been sent before, `unchanged` where all was so already.
    """

    event: str = Field(description="The kind of the first event of the decision.")
    code: str = Field(description="What an acknowledgement says; else empty.")
    sequence: int
    instance: Instance | None = Field(description="As it is behind the decision.")


class InstanceResult(BaseModel):
    """What came of an instance."""

    instance_id: str
    status: StatusName
    output: Any = Field(description="Of a completed instance.")
    error: str | None
    error_type: str | None


class TaskResult(BaseModel):
    """The result of a task."""

    instance_id: str
    task_id: str
    result: Any


class Event(BaseModel):
    """An event: the fields that all have, and those of its kind."""

    model_config = ConfigDict(extra="allow")

    kind: str
    partition: int
    offset: int
    instance_id: str
    run: int
    sequence: int
    at: int
    claim: int
    cause: str


class HistoryPage(BaseModel):
    """A page of the history of an instance, in order."""

    events: list[Event]
    next_page_token: str | None = Field(description="None at the end.")


class State(BaseModel):
    """The snapshot of an instance behind one of its events, with its status."""

    model_config = ConfigDict(extra="allow")

    cursors: dict[str, dict[str, Any]]
    values: dict[str, Any]
    signals: dict[str, list[int]]
    routes: dict[str, str]


class Change(BaseModel):
    """One field that differs."""

    field: str
    change: Literal["added", "changed", "removed"]
    before: Any
    after: Any


class Difference(BaseModel):
    """What differs between two snapshots of an instance."""

    changes: list[Change]


class BulkError(BaseModel):
    """Why a command for one instance was not accepted."""

    instance_id: str
    code: str
    rejection: str | None
    detail: str


class BulkOutcome(BaseModel):
    """What became of a command for many instances."""

    matched: int
    done: int = Field(description="0 in a dry run.")
    failed: int
    errors: list[BulkError] = Field(description="The first hundred.")


class LimitedAttempt(BaseModel):
    """An attempt or a run that has a permit, or waits for one."""

    instance_id: str
    path: str = Field(description="Empty of a run.")
    since: int = Field(description="When it was granted, or queued.")
    permit: int = Field(description="The number of its permit; 0 while it waits.")


class Limit(BaseModel):
    """A limit of attempts, or a start queue; times are epoch milliseconds.

    What is said of runs is null of a limit of attempts, and the other way round.
    """

    of: LimitOf = Field(description="What it counts; `runs`: it is a start queue.")
    key: str = Field(description="Names it among those that count the same.")
    workflow: str | None = Field(description="Whose runs it counts.")
    in_use: int = Field(description="How many attempts run, or runs go on.")
    queued: int = Field(description="How many wait at the limit.")
    max_running: int | None = Field(description="In force; null: not known, too.")
    queue_length: int | None = Field(description="In force; null: any number.")
    set_max_running: int | None
    set_queue_length: int | None
    max_concurrency: int | None = Field(description="In force; null: any number.")
    rate: str | None = Field(description="In force; null: any.")
    is_set: bool = Field(
        description="Whether it was set, in place of what tasks or the workflow say."
    )
    set_max_concurrency: int | None
    set_rate: str | None
    set_at: int | None
    reason: str | None
    set_by: str | None
    grants_at: int | None = Field(
        description="When the next is granted, if that waits for nothing but time."
    )
    holders: list[LimitedAttempt] = Field(description="The longest first; some 100.")
    waiting: list[LimitedAttempt] = Field(description="The next first; some 100.")


class Limits(BaseModel):
    """A page of the limits that are in use, waited for, or set."""

    limits: list[Limit]
    next_after: str | None = Field(description="Null on the last page.")


class WorkflowVersion(BaseModel):
    """One graph of a workflow."""

    version: str | None
    definition_hash: str
    graph_digest: str
    nodes: int


class PublishedWorkflow(BaseModel):
    """A workflow, with its versions; the one that a start by name takes is the last."""

    name: str
    versions: list[WorkflowVersion]


class Workflows(BaseModel):
    """The workflows that workers and clients have published."""

    workflows: list[PublishedWorkflow]
