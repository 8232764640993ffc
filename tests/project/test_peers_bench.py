"""The comparison with other engines runs ours, and tells what is missing of theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.tree import ROOT

pytestmark = pytest.mark.timeout(120)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of the program without any peer's environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PEER_")}
    return subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "benchmarks/peers/run.py", "--seconds", "0.5", *arguments],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_each_workload_is_measured_and_checked_on_a_file() -> None:
    done = run("--only", "file", "--in-flight", "4", "-o", "json")
    assert done.returncode == 0, done.stderr
    rows = {row["workload"]: row["figures"] for row in json.loads(done.stdout)}
    assert rows.keys() == {"w1", "w2", "w3", "w4"}
    for workload in ("w1", "w2", "w3"):
        assert rows[workload]["steps_per_s"] > 0
        assert rows[workload]["cpu_ms_per_step"].keys() == {"client", "worker"}
    assert rows["w4"]["lost"] == 0


def test_a_peer_that_is_not_installed_is_left_out_with_a_line() -> None:
    done = run("--only", "dbos", "--venv", "dbos=nowhere")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert "pip install dbos" in done.stderr
