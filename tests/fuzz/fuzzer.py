"""Feeds a decoder: collects wrong errors, counts refusals, bounds its memory.

Memory is bounded by the operating system: while records are decoded the process may map
`MEMORY_BYTES` more than before, so that a decoder that trusts a length fails at once.
Time is bounded by a count of calls, which is the same on a busy machine: the slowest
records are decoded again while every call is counted.
"""

from __future__ import annotations

import heapq
import resource
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter_ns
from typing import TYPE_CHECKING

from tests.fuzz.decoders import REFUSAL_CHARACTERS_MAX, Decoder
from tests.fuzz.mutation import mutated

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

CRASHERS = Path(__file__).parent / "crashers"
"""Records that once broke a decoder, in hex: DECODER.NUMBER.hex."""

MEMORY_BYTES = 64 * 1024 * 1024
SLOWEST_MAX = 5
CALLS_MIN, CALLS_PER_BYTE = 20_000, 60
"""What decoding one record may take, in calls of functions."""

CRASHERS_SHOWN_MAX = 5
"""How many crashers one failure message shows."""


@dataclass
class Report:
    """The result of a run."""

    records: int = 0
    refused: int = 0
    crashers: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    slowest: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])

    def __str__(self) -> str:
        micros = max((ns for ns, _ in self.slowest), default=0) // 1_000
        return (
            f"{self.records} records, {self.refused} refused, the slowest in "
            f"{micros} µs"
        )


def fuzz(decoder: Decoder, seed: str, records: int) -> Report:
    """Feed it random records; the same `seed` gives the same records."""
    chance = Random(f"{decoder.name} {seed}")  # noqa: S311 (a seed gives them again)
    report = Report()
    with bounded_memory():
        for _ in range(records):
            _feed(decoder, mutated(decoder.samples, chance), report)
    for _, data in report.slowest:
        _count_calls(decoder, data, report)
    return report


def replay(decoder: Decoder, data: bytes) -> Report:
    """Feed it one record."""
    report = Report()
    with bounded_memory():
        _feed(decoder, data, report)
    return report


def _feed(decoder: Decoder, data: bytes, report: Report) -> None:
    began_ns = perf_counter_ns()
    problem = problem_of(decoder, data, report)
    took_ns = perf_counter_ns() - began_ns
    report.records += 1
    if problem is not None:
        report.crashers.append((data, problem))
    if len(report.slowest) < SLOWEST_MAX:
        heapq.heappush(report.slowest, (took_ns, data))
    elif took_ns > report.slowest[0][0]:
        heapq.heapreplace(report.slowest, (took_ns, data))


def problem_of(decoder: Decoder, data: bytes, report: Report) -> str | None:
    """Return what is wrong with its answer to a record; None if nothing is."""
    try:
        decoder.read(data)
    except decoder.refusals as refusal:
        report.refused += 1
        text = str(refusal)
        if not text.startswith("expected ") or len(text) > REFUSAL_CHARACTERS_MAX:
            return f"a refusal in other words: {text[:200]!r} ({len(text)} characters)"
    except MemoryError as error:
        return f"more than {MEMORY_BYTES} bytes: {error!r}"
    except Exception as error:  # noqa: BLE001 (any other error is what we look for)
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


def _count_calls(decoder: Decoder, data: bytes, report: Report) -> None:
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        problem_of(decoder, data, Report())
    finally:
        sys.setprofile(before)
    if calls > CALLS_MIN + CALLS_PER_BYTE * len(data):
        report.crashers.append((data, f"{calls} calls for {len(data)} bytes"))


@contextmanager
def bounded_memory() -> Generator[None]:
    """Let this process map at most `MEMORY_BYTES` more than it has now."""
    status = Path("/proc/self/statm")
    if not status.exists():  # elsewhere the limit counts other things
        yield
        return
    pages = int(status.read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def crashers_of(name: str) -> list[tuple[str, bytes]]:
    """Return the records that once broke a decoder, with their files' names."""
    return [
        (file.name, bytes.fromhex(file.read_text()))
        for file in sorted(CRASHERS.glob(f"{name}.*.hex"))
    ]


def failure_message(decoder: Decoder, seed: str, report: Report) -> str:
    """Return the message of a failure: enough to see it, and to keep the records."""
    lines = [f"{decoder.name}, seed {seed!r}: {len(report.crashers)} records"]
    for data, problem in report.crashers[:CRASHERS_SHOWN_MAX]:
        lines += [f"  {problem}", f"  {data[:2_000].hex()}"]
    return "\n".join(lines)
