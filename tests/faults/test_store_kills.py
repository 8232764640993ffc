"""A process that folds real events into a store, killed again and again.

`tests/engine/store/rocks/test_crash.py` does it with invented rows. Here the rows are
those of real events, and what remains is compared with a fold of the log: rows, indexes
and position.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from sayiir_es.engine.store.memory import MemoryStore
from tests.engine.store.rocks.rocks_history import assert_same
from tests.faults.folding_process import open_store
from tests.faults.histories import History, fold_to

ROOT = Path(__file__).parents[2]
KILLS, KILLS_LONG = 5, 200
LINES_MAX = 40


def fold_and_kill(path: Path, seed: int, lines: int) -> int:
    """Start a process that folds, and kill it; the last position that was durable."""
    durable = 0
    with subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "tests.faults.folding_process", str(path), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(lines):
            word, _, offset = process.stdout.readline().partition(" ")
            if word == "durable":
                durable = int(offset)
        process.kill()
    return durable


async def kill_again_and_again(path: Path, seed: int, kills: int) -> None:
    chance, history, model = Random(seed), History(seed), MemoryStore()  # noqa: S311
    for _ in range(kills):
        durable = fold_and_kill(path, seed, chance.randint(1, LINES_MAX))
        store = open_store(path)
        assert store.notes == ()
        assert store.position.offset >= durable
        fold_to(model, history, store.position.offset)
        assert_same(store, model)
        await store.close()
    print(f"{kills} kills, {model.position.offset} events")  # noqa: T201
    assert model.position.offset > kills * LINES_MAX


async def test_a_killed_fold_leaves_the_rows_of_the_position_beside_them(
    tmp_path: Path,
) -> None:
    await kill_again_and_again(tmp_path / "store", 5, KILLS)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_two_hundred_kills_leave_the_rows_of_the_position_beside_them(
    tmp_path: Path, seed: int
) -> None:
    await kill_again_and_again(tmp_path / "store", seed, KILLS_LONG // 4)
