"""State slots: processes of one app on one machine never meet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.state_dir import StateSlot, default_state_dir

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from sayiir_es.engine.store.state_dir import StateSlot
slot = StateSlot.take(Path(sys.argv[1]), "app")
print(slot.path.name, flush=True)
sys.stdin.read()
"""


def holder(state_dir: Path) -> subprocess.Popen[str]:
    """A process that takes a slot, prints its number and holds it."""
    return subprocess.Popen(  # noqa: S603 (our own text)
        [sys.executable, "-c", HOLDER, str(state_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def number(process: subprocess.Popen[str]) -> str:
    """The slot that it took."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_take_two_slots_and_a_killed_one_gives_its_slot_back(
    tmp_path: Path,
) -> None:
    with holder(tmp_path) as first:
        assert number(first) == "0"
        with holder(tmp_path) as second:
            assert number(second) == "1"
            first.kill()
            first.wait()
            with StateSlot.take(tmp_path, "app") as third:
                assert third.path == tmp_path / "app" / "0"
            second.kill()


def test_a_closed_slot_is_taken_again_with_what_is_in_it(tmp_path: Path) -> None:
    slot = StateSlot.take(tmp_path, "app")
    assert StateSlot.take(tmp_path, "app").path.name == "1"
    slot.partition_path(3).mkdir()
    slot.close()
    slot.close()
    again = StateSlot.take(tmp_path, "app")
    assert again.path == slot.path
    assert again.partition_path(3).is_dir()
    assert StateSlot.take(tmp_path, "other").path == tmp_path / "other" / "0"


@pytest.mark.parametrize("app", ["", ".", "..", "a/b", "a\x00"])
def test_an_app_name_that_names_no_directory_is_refused(
    tmp_path: Path, app: str
) -> None:
    with pytest.raises(StoreError, match="expected an app name"):
        StateSlot.take(tmp_path, app)


def test_a_state_directory_that_cannot_be_used_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="expected a writable state directory"):
        StateSlot.take(tmp_path / "file", "app")


def test_the_default_is_the_users_folder_for_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_state_dir() == Path("/state/sayiir-es")
    monkeypatch.setenv("HOME", "/home/me")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", unusable)
        assert default_state_dir() == Path("/home/me/.local/state/sayiir-es")
