"""Events of a try: its body, what it catches, and its end."""

from __future__ import annotations

from dataclasses import dataclass

from sayiir_es.core.fast_frozen import fast_frozen


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class TryStarted:
    """The cursor waits for the body of a try."""

    path: str
    input: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCaught:
    """A failure at `failed_path` ended the body of the try; its handler goes on."""

    path: str
    failed_path: str
    error_type: str
    error: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class TryCompleted:
    """The try's body, or its handler, ended with `result`, a reference."""

    path: str
    result: str
