"""The types by which checkers see whether two steps fit: nothing of it runs.

Theory of operation. A flow has two parameters: what the workflow takes, and what flows
out of its last step so far. A step takes what flows in and gives what flows on; where
its function says nothing of a type, it is `Any`, and fits everywhere. What a join or a
step behind a route takes is an object of JSON, so that a model may be named, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Protocol,
    TypeAlias,
    TypedDict,
)

from typing_extensions import TypeVar

if TYPE_CHECKING:
    from sayiir_es.core.authoring.loop_result import OnMax

In = TypeVar("In", default=Any)
"""What a workflow takes."""

Out = TypeVar("Out", default=In)
"""What flows out of its last step."""

Taken_contra = TypeVar("Taken_contra", contravariant=True, default=Any)
Output_co = TypeVar("Output_co", covariant=True, default=Any)
"""What a whole workflow takes and gives. A list of several is one of `Workflow`."""

Given = TypeVar("Given")
Result = TypeVar("Result")

SyncTask: TypeAlias = (
    Callable[[Given], Result] | Callable[Concatenate[Given, ...], Result]
)
"""A function of one argument; keyword-only ones may follow. The first form lets type
checkers read a lambda."""

AsyncTask: TypeAlias = (
    Callable[[Given], Awaitable[Result]]
    | Callable[Concatenate[Given, ...], Awaitable[Result]]
)

Fields: TypeAlias = dict[str, Any]
"""What a join gets, by branch; what flows out of a route."""


class _Model(Protocol):
    @property
    def model_fields_set(self) -> set[str]: ...


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Attrs(Protocol):
    __attrs_attrs__: ClassVar[Any]


class _Struct(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]


Record = TypeVar(
    "Record", bound=Mapping[str, object] | _Model | _Dataclass | _Attrs | _Struct
)
"""What an object of JSON may be read as."""


class LoopOptions(TypedDict, total=False):
    """The options of `Flow.loop`."""

    max_iterations: int
    on_max: str | OnMax
    name: str | None
