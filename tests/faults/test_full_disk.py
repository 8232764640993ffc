"""A full disk: nothing acknowledged is lost, and work goes on when there is room.

Each scenario of `small_disk` runs in a process of its own, on a file system in memory
that only this process sees.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.faults.small_disk import DISK_BYTES, SCENARIOS

ROOT = Path(__file__).parents[2]
LIMIT_S = 100

MOUNTED = f'mount -t tmpfs -o size={DISK_BYTES} none "$1" && shift && exec "$@"'


def on_small_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where `folder` is a small disk."""
    unshare = shutil.which("unshare") or "unshare"
    return subprocess.run(  # noqa: S603 (our own words)
        [
            *(unshare, "--user", "--map-root-user", "--mount"),
            *("sh", "-c", MOUNTED, "sh", str(folder), *command),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@cache
def small_disks_are_allowed(folder: Path) -> bool:
    """Whether this machine lets a user mount a disk for one process."""
    if shutil.which("unshare") is None:
        return False
    return on_small_disk(folder, "true").returncode == 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_on_a_full_disk_nothing_acknowledged_is_lost(
    tmp_path: Path, scenario: str
) -> None:
    if not small_disks_are_allowed(tmp_path):
        pytest.skip("a small disk needs Linux's user namespaces")
    result = on_small_disk(
        tmp_path,
        *(sys.executable, "-m", "tests.faults.small_disk", scenario, str(tmp_path)),
    )
    assert result.stdout.endswith(f"{scenario}: held\n"), result.stdout + result.stderr
