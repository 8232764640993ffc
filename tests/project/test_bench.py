"""The benchmark runs and prints every figure; the figures are not judged here."""

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
    """Return what a short run on one file prints."""
    command = ["benchmarks/run.py", "--only", "embedded", "--instances", "20"]
    return subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout


def test_the_benchmark_prints_every_figure_as_json() -> None:
    report = json.loads(run("--seconds", "0.5", "-o", "json"))
    assert list(report) == ["embedded"]
    figures = report["embedded"]
    assert figures.keys() >= FIGURES
    for name, figure in figures.items():
        assert math.isfinite(figure), name
        assert figure >= 0 or "one more step" in name, name


def test_the_benchmark_prints_its_figures_as_text() -> None:
    output = run("--seconds", "0.2")
    assert "embedded" in output
    assert "steps a second" in output
