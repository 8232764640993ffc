"""Where workers and clients keep what they fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.client import stores
from sayiir_es.client.stores import ClientStores, FolderStores, SlotStores
from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.port import StoreIdentity
from tests.captured_logs import capture_logs

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = StoreIdentity(cluster_id="c", events_topic_id="t", partition=0, partitions=1)


def test_a_state_folder_on_a_network_disk_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk(path: Path) -> str:
        del path
        return "nfs4"

    monkeypatch.setattr(stores, "unsafe_disk", disk)
    slot = SlotStores(tmp_path, "app")
    with capture_logs() as lines:
        slot.prepare()
        slot.prepare()
    slot.close()
    (line,) = lines
    assert line["event"] == "store.place_warned"
    assert "'nfs4'" in line["reason"]
    assert "SAYIIR_STATE_DIR" in line["reason"]


@pytest.mark.parametrize("place", ["/proc/none", "/dev/null/none"])
async def test_a_place_that_cannot_be_written_is_told_of_with_the_way_round(
    place: str,
) -> None:
    from pathlib import Path  # noqa: PLC0415 (typing needs it only)

    for kept, words in (
        (SlotStores(Path(place), "app"), "set SAYIIR_STATE_DIR"),
        (FolderStores(Path(place)), "run the workers of one file as one user"),
    ):
        with pytest.raises(StoreError, match="expected a writable state dir") as caught:
            kept.prepare()
        assert words in str(caught.value)
        stores.REASONS_TOLD.clear()
        # A client needs none.
        with capture_logs() as lines:
            store = ClientStores(kept).open(IDENTITY)
        assert isinstance(store, MemoryStore)
        assert [line["event"] for line in lines] == ["store.kept_in_memory"]
        await store.close()
