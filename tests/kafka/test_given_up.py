"""A worker that cannot use its disk gives its partitions to one that can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka.live_app import PARTITIONS
from tests.kafka.load import Load
from tests.kafka.load_run import finish, read_for
from tests.kafka.verdict import violations
from tests.kafka.worker_process import WorkerProcess

if TYPE_CHECKING:
    from tests.kafka.live_app import LiveApp

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PER_SECOND = 100.0
LOAD_S = 4.0


def test_partitions_of_a_worker_without_a_usable_store_go_back_to_the_other(
    live_app: LiveApp,
) -> None:
    sound = live_app.lone_worker("sound")
    reader = live_app.reader()
    # A file stands where each of its stores should be.
    slot = live_app.folder / "state-broken" / live_app.app / "0"
    slot.mkdir(parents=True)
    for partition in range(PARTITIONS):
        (slot / str(partition)).write_text("no store")
    with Load(live_app.producer(), "chain", per_second=PER_SECOND) as load:
        broken = live_app.worker("broken")
        refused = broken.until_logged("partition.refused", count=PARTITIONS // 2)
        read_for(reader, LOAD_S)
        finish(reader, load)
    assert {line["error_code"] for line in refused} == {"store"}
    assert broken.logged("partition.claimed") == []
    assert sound.logged("partition.stopped") == []
    assert violations(reader) == []


class FastClockWorker(WorkerProcess):
    """A worker whose clock is two hours ahead."""

    program = "tests.kafka.fast_clock_worker"


def test_partitions_of_a_worker_whose_clock_is_refused_go_back_to_the_other(
    live_app: LiveApp,
) -> None:
    sound = live_app.lone_worker("sound")
    reader = live_app.reader()
    with (
        Load(live_app.producer(), "chain", per_second=PER_SECOND) as load,
        FastClockWorker(
            "fast", live_app.bootstrap, live_app.app, live_app.folder
        ) as fast,
    ):
        refused = fast.until_logged("partition.refused", count=PARTITIONS // 2)
        read_for(reader, LOAD_S)
        finish(reader, load)
        assert fast.logged("partition.claimed") == []
    assert {line["error_code"] for line in refused} == {"clock_refused"}
    assert sound.logged("partition.stopped") == []
    assert violations(reader) == []


def test_a_worker_without_a_state_folder_ends_before_it_joins(
    live_app: LiveApp,
) -> None:
    sound = live_app.lone_worker("sound")
    (live_app.folder / "state-broken").write_text("no folder")
    broken = live_app.worker("broken")
    assert broken.wait() != 0
    assert "expected a writable state directory" in broken.tail()
    assert len(sound.logged("partition.claimed")) == PARTITIONS
