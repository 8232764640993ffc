"""The benchmark runs and tells every figure; how fast it is, is for people to read."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from tests.tree import ROOT

pytestmark = pytest.mark.timeout(120)

FIGURES = {
    "one produce by us ms, p50",
    "alone: workflow ms, p50",
    "alone: workflow ms, p99",
    "alone: one more step, ms",
    "alone: one more step / one produce by us",
    "10 in flight: workflow ms, p50",
    "10 in flight: workflow ms, p99",
    "async, 20 in flight: steps a second",
    "async, 20 in flight: CPU ms a step, worker",
    "async, 20 in flight: CPU ms a step, load",
    "sync, 20 in flight: steps a second",
    "sync, 20 in flight: CPU ms a step, worker",
}


def run(*arguments: str) -> str:
    """What a short run on one file prints."""
    command = ["benchmarks/run.py", "--only", "embedded", "--instances", "20"]
    return subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout


def test_the_benchmark_tells_every_figure_to_programs() -> None:
    found = json.loads(run("--seconds", "0.5", "-o", "json"))
    assert list(found) == ["embedded"]
    figures = found["embedded"]
    assert figures.keys() >= FIGURES
    for name, figure in figures.items():
        assert math.isfinite(figure), name
        assert figure >= 0 or "one more step" in name, name


def test_the_benchmark_tells_its_figures_to_people() -> None:
    printed = run("--seconds", "0.5")
    assert "embedded" in printed
    assert "steps a second" in printed
