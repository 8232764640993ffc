"""What goes wrong while a worker ends is told by `join`."""

from __future__ import annotations

import pytest

from sayiir_es import Flow, InMemoryBackend, Worker
from sayiir_es.client.worker import RunningWorker
from sayiir_es.core.model.errors import StoreError


def test_an_error_of_the_end_is_raised_by_join(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = RunningWorker.stop

    async def stop_on_a_full_disk(worker: RunningWorker) -> None:
        await stop(worker)
        raise StoreError("expected room on the disk, but there is none")

    monkeypatch.setattr(RunningWorker, "stop", stop_on_a_full_disk)
    flow = Flow("same").then(lambda value: value, name="same").build()
    handle = Worker("w", InMemoryBackend()).start([flow])
    handle.shutdown()
    with pytest.raises(StoreError, match="room on the disk"):
        handle.join()
    handle.join()
