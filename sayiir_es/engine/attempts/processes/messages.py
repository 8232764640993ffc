"""What a worker and the processes of its tasks tell each other, and its frames.

A frame is a length of four bytes, big-endian, and so many bytes of msgpack: an array
that begins with a kind. What a worker says is believed. What a process says is not: its
task may write to any descriptor, so each field is checked, and a process that brings
anything else is killed.

| message | from | says |
|---|---|---|
| setup | worker | how to be like the worker; the first one |
| code | worker | a workflow: its graph, and where its functions are imported from |
| other graph | worker | a graph whose runs go on with the functions of a workflow |
| attempt | worker | run this |
| cancelled | worker | the attempt's context is to say so |
| interrupt | worker | cancel what the attempt awaits |
| stop | worker | end |
| ready | process | give me attempts |
| failed | process | it cannot begin, and why |
| beat | process | the function of the attempt has told a heartbeat |
| ended | process | the outcome of the attempt |
| logged | process | a log line |
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_LENGTH = Struct(">I")

_msgpack: Any = msgpack  # ships no hints
_pack: Callable[..., bytes] = _msgpack.packb
_unpack: Callable[..., object] = _msgpack.unpackb

_UNREADABLE = (ValueError, TypeError, OverflowError, _msgpack.UnpackException)
"""What msgpack raises for bytes that it did not write."""

FRAME_BYTES_MAX = 0xFFFF_FFFF

Address: TypeAlias = tuple[str, str, str]
"""Where a function is imported from: a module, its name in there, and a path where that
is a workflow, of which the function at the path is meant; else an empty text."""


class MessageError(Exception):
    """What a process sent is no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How to be like the worker.

    `main` is what `multiprocessing` needs to import the program again, `limits` those
    of outcomes by name, `level` and `levels` those of loggers, the root's and by name.
    With `uses_structlog` structlog writes to loggers, with `traces` spans are exported
    as the environment says.
    """

    sys_path: Sequence[str]
    argv: Sequence[str]
    main: Mapping[str, str]
    worker_id: str
    limits: Mapping[str, int]
    codecs: Sequence[Address]
    on_startup: Address | None
    on_shutdown: Address | None
    level: int
    levels: Mapping[str, int]
    uses_structlog: bool
    traces: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A workflow; functions by path template, as far as they can be imported.

    `key` names it among those of one worker, of which two may have one graph.
    """

    key: str
    graph: bytes
    functions: Mapping[str, Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherGraph:
    """A graph whose runs go on with the functions of the workflow of this key."""

    key: str
    graph: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMessage:
    """Run a task; `code` is the key of the workflow that its function is of.

    There, and in the graph of that digest, it is at `code_path`: an executor elsewhere
    may have it at another place than the run. Without `has_takers` nothing is known of
    who gets its result.
    """

    number: int
    code: str
    graph_digest: str
    code_path: str
    ends_loop: bool
    has_takers: bool
    instance_id: str
    run: int
    path: str
    attempt: int
    lineage: int
    deadline_at_ms: int | None
    input: bytes
    named: Mapping[str, bytes]
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The context of the attempt is to say that it is cancelled."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """What the attempt awaits is to be cancelled."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End, as a program does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The process takes attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The process cannot begin, and ends."""

    reason: str = field(metadata={"types": str})


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The function of the attempt goes on; `details` is JSON, as far as it can be."""

    number: int = field(metadata={"types": int})
    details: str = field(metadata={"types": str})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The outcome of an attempt; `threads` is how many Python threads run behind it."""

    number: int = field(metadata={"types": int})
    result: str = field(metadata={"types": str})
    output: bytes | None = field(metadata={"types": (bytes, type(None))})
    loop: str = field(metadata={"types": str})
    error_type: str = field(metadata={"types": str})
    error: str = field(metadata={"types": str})
    retriable: bool = field(metadata={"types": bool})
    error_class: str = field(metadata={"types": str})
    source_line: str = field(metadata={"types": str})
    causes: tuple[str, ...] = field(metadata={"each": str})
    traceback: str = field(metadata={"types": str})
    error_bases: tuple[str, ...] = field(metadata={"each": str})
    threads: int = field(metadata={"types": int})


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A log line: the parts of a record, and the variables that structlog has bound."""

    logger: str = field(metadata={"types": str})
    level: int = field(metadata={"types": int})
    message: str | dict[str, object] = field(metadata={"types": (str, dict)})
    method: str = field(metadata={"types": str})
    created_s: float = field(metadata={"types": float})
    file: str = field(metadata={"types": str})
    line: int = field(metadata={"types": int})
    function: str = field(metadata={"types": str})
    thread: str = field(metadata={"types": str})
    data: dict[str, object] = field(metadata={"types": dict})
    variables: dict[str, object] = field(metadata={"types": dict})


Message: TypeAlias = (
    Setup
    | Code
    | OtherGraph
    | AttemptMessage
    | Cancelled
    | Interrupt
    | Stop
    | Ready
    | Failed
    | Ended
    | Logged
    | Beat
)

_KINDS: tuple[type[Message], ...] = (
    *(Setup, Code, OtherGraph, AttemptMessage, Cancelled, Interrupt, Stop),
    *(Ready, Failed, Ended, Logged, Beat),
)
_NAMES: dict[type[Message], tuple[int, tuple[str, ...]]] = {
    kind: (number, tuple(one.name for one in fields(kind)))
    for number, kind in enumerate(_KINDS)
}
_CHECKS: dict[type[Message], tuple[tuple[Any, Any], ...]] = {
    kind: tuple(
        (one.metadata.get("types", object), one.metadata.get("each"))
        for one in fields(kind)
    )
    for kind in _KINDS
}


def frame_of(message: Message) -> bytes:
    """A message with its length."""
    number, names = _NAMES[type(message)]
    content = _pack(
        (number, *(getattr(message, name) for name in names)),
        unicode_errors="surrogatepass",
    )
    return _LENGTH.pack(len(content)) + content


class MessageBuffer:
    """The bytes that came from one peer and are no whole frame yet."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = bytearray()

    def add(self, piece: bytes) -> Iterator[Message]:
        """Take some bytes and give the messages that are whole now.

        Raises:
            MessageError: they are too large, or no messages.
        """
        self._bytes += piece
        start = 0
        try:
            while len(self._bytes) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._bytes, start)
                if length > self._bytes_max:
                    raise MessageError(
                        f"expected a message of at most {self._bytes_max} bytes, but "
                        f"of {length}"
                    )
                end = start + _LENGTH.size + length
                if len(self._bytes) < end:
                    break
                content = bytes(memoryview(self._bytes)[start + _LENGTH.size : end])
                start = end
                yield message_of(content)
        finally:
            del self._bytes[:start]


def message_of(content: bytes) -> Message:
    """Read a message, without its length.

    Raises:
        MessageError: it is none.
    """
    try:
        unpacked = _unpack(content, use_list=False, unicode_errors="surrogatepass")
    except _UNREADABLE as error:
        raise MessageError(f"expected msgpack, but {error}") from error
    if not isinstance(unpacked, tuple) or not unpacked:
        raise MessageError("expected an array, but something else, or an empty one")
    number, *content_values = cast("tuple[object, ...]", unpacked)
    if not isinstance(number, int) or not 0 <= number < len(_KINDS):
        raise MessageError(f"expected the kind of a message, but {number!r:.100}")
    kind = _KINDS[number]
    names = _NAMES[kind][1]
    if len(content_values) != len(names):
        raise MessageError(
            f"expected {len(names)} fields of {kind.__name__}, but "
            f"{len(content_values)}"
        )
    for name, value, check in zip(names, content_values, _CHECKS[kind], strict=True):
        types, each = check
        if each is not None:
            items = cast("tuple[object, ...]", value)
            is_tuple = isinstance(value, tuple)
            is_right = is_tuple and all(isinstance(item, each) for item in items)
        else:
            is_right = isinstance(value, types)
        if not is_right:
            raise MessageError(
                f"expected another type of {kind.__name__}.{name}, but {value!r:.100}"
            )
    make = cast("Callable[..., Message]", kind)
    return make(**dict(zip(names, content_values, strict=True)))
