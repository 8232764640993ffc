"""What a person looks for behind an error: class, line, causes, traceback; in bounds.

Theory of operation. A traceback that reaches the executor begins with frames of the
engine, of which its reader knows nothing: they are left out, as far as a frame of the
user's follows. The line that a person wants first is the innermost of the user's own,
neither of an installed package nor of Python itself: it is told apart. An exception's
own methods are users' code: what they raise stays in here.
"""

from __future__ import annotations

import os
import site
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.waits import ErrorDetails

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from sayiir_es.core.model.limits import Limits

GROUP_ERRORS_MAX = 8
"""How many errors of an exception group its traceback shows."""

_ENGINE = f"{Path(__file__).parents[2]}{os.sep}"
_OTHERS = tuple(
    {
        f"{os.path.realpath(path)}{os.sep}"
        for path in (
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")),
            *(sysconfig.get_path(name) for name in ("purelib", "platlib")),
            *site.getsitepackages(),
            site.getusersitepackages(),
        )
    }
)
"""Where the code of Python and of installed packages lies."""


def details_of(error: BaseException, limits: Limits) -> ErrorDetails:
    """The details of an error that a task raised."""
    kind = type(error)
    frames = _without_engine(error.__traceback__)
    share = limits.causes_bytes // limits.causes
    return ErrorDetails(
        error_class=clip(f"{kind.__module__}.{kind.__qualname__}", limits.id_bytes),
        source_line=clip(_source_line(frames), limits.id_bytes),
        causes=tuple(clip(text, share) for text in _causes(error, limits.causes)),
        traceback=clip(_traceback(error, frames), limits.traceback_bytes),
    )


def error_text(error: BaseException, *, name: str = "") -> str:
    """`ExcType: message`, also where the message cannot be made."""
    name = name or type(error).__name__
    try:
        text = f"{name}: {error!s}"
    except BaseException as broken:  # noqa: BLE001 (a user's __str__ may even exit)
        return f"{name}: its message could not be made: {type(broken).__name__}"
    return name if len(text) == len(name) + 2 else text


def _without_engine(frames: TracebackType | None) -> TracebackType | None:
    """The frames from the first on that is not the engine's; all, if all are."""
    first = frames
    while first is not None:
        if not first.tb_frame.f_code.co_filename.startswith(_ENGINE):
            return first
        first = first.tb_next
    return frames


def _source_line(frames: TracebackType | None) -> str:
    """The innermost line of the user's own code, else the innermost line."""
    found = own = ""
    while frames is not None:
        code = frames.tb_frame.f_code
        found = f"{code.co_filename}:{frames.tb_lineno} in {code.co_name}"
        file = os.path.realpath(code.co_filename)
        if not file.startswith((_ENGINE, *_OTHERS)) and code.co_filename[:1] != "<":
            own = found
        frames = frames.tb_next
    return own or found


def _causes(error: BaseException, most: int) -> Iterator[str]:
    """What `raise … from` named, or what was being handled, the nearest first."""
    seen = {id(error)}
    for _ in range(most):
        cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield error_text(cause)
        error = cause


def _traceback(error: BaseException, frames: TracebackType | None) -> str:
    try:
        lines = traceback.TracebackException(
            type(error), error, frames, max_group_width=GROUP_ERRORS_MAX, compact=True
        ).format()
        return "".join(lines)
    except BaseException as broken:  # noqa: BLE001 (as above)
        name = type(broken).__name__
        return f"the traceback of {type(error).__name__} could not be made: {name}"
