"""Node paths: where a node stands, from the root, as one string.

Segments are joined by `/`; each is percent-encoded for `% / @ #`, so that the marks
mean what they say: `charge#2` is the second occurrence of a name in its chain,
`loop_0@3/step` a node of the loop's fourth iteration, `route/@default/x` one of the
route's default branch, `charge/@compensate` what undoes a task. A path without its
iterations is a *template*: it names a node of the graph.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

FORK_SEGMENT_BYTES_MAX = 128
"""A fork's id grows with its branches; beyond this its segment is shortened."""

DEFAULT_BRANCH = "@default"
COMPENSATION = "@compensate"
"""Below the path of a task: what undoes it."""

BODY, ON_ERROR = "@body", "@on_error"
"""The chains inside a try."""

_ENCODED = {"%": "%25", "/": "%2F", "@": "%40", "#": "%23"}
_MARKS = re.compile("[%/@#]")
_ESCAPES = re.compile("%(25|2F|40|23)")
_DECODED = {code[1:]: mark for mark, code in _ENCODED.items()}
_ITERATION = re.compile(r"(?<=[^/])@[0-9]+(?=/|$)")


def encode_segment(name: str) -> str:
    """A name as one segment of a path."""
    return _MARKS.sub(lambda mark: _ENCODED[mark.group()], name)


def decode_segment(segment: str) -> str:
    """The name that a segment stands for; marks behind `#` or `@` are dropped."""
    bare = re.split("[#@]", segment, maxsplit=1)[0] if segment[:1] != "@" else segment
    return _ESCAPES.sub(lambda escape: _DECODED[escape.group(1)], bare)


def fork_segment(fork_id: str, first_branch_id: str) -> str:
    """The segment of a fork: its id, or a short form of a long one."""
    if len(fork_id.encode()) <= FORK_SEGMENT_BYTES_MAX:
        return encode_segment(fork_id)
    digest = hashlib.sha256(fork_id.encode()).hexdigest()[:16]
    return f"{encode_segment(first_branch_id)}||+{digest}"


def occurrence(segment: str, number: int) -> str:
    """The segment of the `number`-th node of one name in a chain; starts at 1."""
    return segment if number == 1 else f"{segment}#{number}"


def join(*segments: str) -> str:
    """One path of segments; empty ones are left out."""
    return "/".join(segment for segment in segments if segment)


def compensation_path(task_path: str) -> str:
    """The path of the compensation of the task at a path."""
    return f"{task_path}/{COMPENSATION}"


def is_compensation(path: str) -> bool:
    """Whether a path is that of a task's compensation."""
    return path.endswith("/" + COMPENSATION)


@lru_cache(maxsize=1024)
def node_name(path: str) -> str:
    """The name of the node at a path, as people wrote it.

    Its place in the graph, its iteration and which occurrence it is are left out; what
    undoes a task has the name of the task.
    """
    path = path.removesuffix("/" + COMPENSATION)
    return decode_segment(path.rpartition("/")[2])


def template(path: str) -> str:
    """The path without its iterations."""
    return _ITERATION.sub("", path) if "@" in path else path


def last_iteration(path: str) -> int:
    """The iteration of the innermost loop around a path, from 0; 0 where none is."""
    found = _ITERATION.findall(path)
    return int(found[-1][1:]) if found else 0
