"""The options by which commands find instances, and the search that they mean."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, TypeVar, cast, get_type_hints

import typer

from sayiir_es.cli.instance.attributes import attributes_of
from sayiir_es.client.search import search_of
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.search import Search, TimeName
from sayiir_es.core.status.status import StatusFilter
from sayiir_es.core.status.waits import KINDS
from sayiir_es.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    Verb = TypeVar("Verb", bound=Callable[..., object])

StatusOption = Annotated[
    StatusFilter | None, typer.Option("--status", help="Only those.")
]
WorkflowOption = Annotated[
    str | None, typer.Option("--workflow", help="Only of that workflow.")
]
AttributeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="KEY=VALUE",
        help="Only those started with it; may be repeated.",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="10m|TIME", help="From then on: so long ago, or ISO-8601."
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="10m|TIME", help="Before then.")
]
ErrorTypeOption = Annotated[
    str | None,
    typer.Option(
        "--error-type", metavar="NAME", help="Only those whose error is of that type."
    ),
]
TimeOption = Annotated[
    TimeName,
    typer.Option("--time", help="When they were started, or last changed."),
]


VersionOption = Annotated[
    str | None,
    typer.Option("--version", help="Only of that version of their workflow."),
]
ErrorInOption = Annotated[
    str | None,
    typer.Option(
        "--error-in", metavar="NAME", help="Only those that failed in that node."
    ),
]
WaitingForOption = Annotated[
    str | None,
    typer.Option(
        "--waiting-for",
        metavar="KIND[:NAME]",
        help=f"Only those that wait for it: {', '.join(KINDS)}; or signal:approval.",
    ),
]
IdPrefixOption = Annotated[
    str | None,
    typer.Option("--id-prefix", metavar="TEXT", help="Only ids that begin so."),
]
IdContainsOption = Annotated[
    str | None,
    typer.Option("--id-contains", metavar="TEXT", help="Only ids with it in them."),
]

ParentOption = Annotated[
    str | None,
    typer.Option("--parent", metavar="ID", help="Only children of that instance."),
]


@dataclass(frozen=True, kw_only=True)
class CriteriaOptions:
    """The options by which instances are found; `takes_options` gives them a verb."""

    status: StatusOption = None
    workflow: WorkflowOption = None
    version: VersionOption = None
    attribute: AttributeOption = None
    since: SinceOption = None
    until: UntilOption = None
    time: TimeOption = "started"
    waiting_for: WaitingForOption = None
    error_type: ErrorTypeOption = None
    error_in: ErrorInOption = None
    id_prefix: IdPrefixOption = None
    id_contains: IdContainsOption = None
    parent: ParentOption = None

    @property
    def has_any(self) -> bool:
        """Whether there is a criterion; which time is meant is none."""
        names = (item.name for item in fields(CriteriaOptions) if item.name != "time")
        return any(getattr(self, name) for name in names)

    def search(self) -> Search:
        """The search with these criteria.

        Raises:
            UsageError: if an attribute, a time or a wait is none.
        """
        try:
            return search_of(
                {
                    "status": self.status,
                    "workflow": self.workflow,
                    "version": self.version,
                    "attributes": attributes_of(self.attribute),
                    "since": self.since,
                    "until": self.until,
                    "by": self.time,
                    "waiting_for": self.waiting_for,
                    "error_type": self.error_type,
                    "error_in": self.error_in,
                    "id_prefix": self.id_prefix,
                    "id_contains": self.id_contains,
                    "parent": self.parent,
                },
                now_ms=SystemClock().now_ms(),
            )
        except ValueError as error:
            raise UsageError(str(error)) from error


def takes_options(
    parameter: str, kind: type[CriteriaOptions]
) -> Callable[[Verb], Verb]:
    """Give a verb an option for each field of one of its parameters."""

    def decorate(verb: Verb) -> Verb:
        signature = inspect.signature(verb, eval_str=True)
        hints = get_type_hints(kind, include_extras=True)
        options = [
            inspect.Parameter(
                item.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=item.default,
                annotation=hints[item.name],
            )
            for item in fields(kind)
        ]
        names = {option.name for option in options}
        others = [one for one in signature.parameters.values() if one.name != parameter]
        places = [one for one in others if one.kind is not one.KEYWORD_ONLY]
        own_options = [one for one in others if one.kind is one.KEYWORD_ONLY]

        @wraps(verb)
        def call(**typed: object) -> object:
            taken = kind(**{name: typed.pop(name) for name in names})  # type: ignore[arg-type]
            return verb(**{parameter: taken}, **typed)

        parameters = [*places, *options, *own_options]
        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        return cast("Verb", call)

    return decorate
