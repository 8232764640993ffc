"""Feeds a decoder: keeps what it must not raise, counts what it did, bounds its memory.

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

KEPT = Path(__file__).parent / "kept"
"""Records that once broke a decoder, in hex: DECODER.NUMBER.hex."""

MEMORY_BYTES = 64 * 1024 * 1024
SLOWEST_KEPT = 5
CALLS_MIN, CALLS_PER_BYTE = 20_000, 60
"""What decoding one record may take, in calls of functions."""

NAMED_MOST = 5
"""Crashers that one failure shows."""


@dataclass
class Report:
    """What came of a run."""

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
    """Feed it so many records that follow from `seed`."""
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
    wrong = trouble(decoder, data, report)
    took_ns = perf_counter_ns() - began_ns
    report.records += 1
    if wrong is not None:
        report.crashers.append((data, wrong))
    if len(report.slowest) < SLOWEST_KEPT:
        heapq.heappush(report.slowest, (took_ns, data))
    elif took_ns > report.slowest[0][0]:
        heapq.heapreplace(report.slowest, (took_ns, data))


def trouble(decoder: Decoder, data: bytes, report: Report) -> str | None:
    """What is wrong with how it took a record; None if nothing is."""
    try:
        decoder.read(data)
    except decoder.refusals as refusal:
        report.refused += 1
        text = str(refusal)
        if not text.startswith("expected ") or len(text) > REFUSAL_CHARACTERS_MAX:
            return f"a refusal in other words: {text[:200]!r} ({len(text)} characters)"
    except MemoryError as error:
        return f"more than {MEMORY_BYTES} bytes: {error!r}"
    except Exception as error:  # noqa: BLE001 (what is wrong is what we look for)
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
        trouble(decoder, data, Report())
    finally:
        sys.setprofile(before)
    if calls > CALLS_MIN + CALLS_PER_BYTE * len(data):
        report.crashers.append((data, f"{calls} calls for {len(data)} bytes"))


@contextmanager
def bounded_memory() -> Generator[None]:
    """While it lasts this process may map `MEMORY_BYTES` more than it has."""
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


def kept_records(name: str) -> list[tuple[str, bytes]]:
    """The records that once broke a decoder, with the names of their files."""
    return [
        (file.name, bytes.fromhex(file.read_text()))
        for file in sorted(KEPT.glob(f"{name}.*.hex"))
    ]


def told(decoder: Decoder, seed: str, report: Report) -> str:
    """What a failure says: enough to see it, and to keep it."""
    lines = [f"{decoder.name}, seed {seed!r}: {len(report.crashers)} records"]
    for data, wrong in report.crashers[:NAMED_MOST]:
        lines += [f"  {wrong}", f"  {data[:2_000].hex()}"]
    return "\n".join(lines)
