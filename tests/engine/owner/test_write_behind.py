"""A store that is written behind the log: what fails in the background is told."""

from __future__ import annotations

import asyncio

import pytest

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.owner.write_behind import DURABLE_EVERY_S, WriteBehind
from sayiir_es.engine.store.memory import MemoryStore
from tests.captured_logs import capture_logs


class Clock:
    """Both clocks, which the test moves."""

    now_s = 0.0

    def now_ms(self) -> int:
        """Wall time."""
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        """Monotonic time."""
        return self.now_s


class NeverDurableStore(MemoryStore):
    """A disk that takes writes, and fails when they are to be made durable."""

    closed = False

    async def flush(self, *, durable: bool = False) -> None:
        """Write; fail if that is to be durable."""
        if durable:
            raise StoreError("expected a disk, but it is gone")

    async def close(self) -> None:
        """Note that it is closed."""
        self.closed = True


async def test_a_flush_that_fails_in_the_background_is_raised_by_the_next_write() -> (
    None
):
    clock = Clock()
    writing = WriteBehind(NeverDurableStore(), clock)
    clock.now_s = DURABLE_EVERY_S
    await writing.write_if_due()
    await asyncio.sleep(0)  # the turn in which the flush fails
    with pytest.raises(StoreError, match="it is gone"):
        await writing.write_if_due()
    await writing.write_if_due()  # said once


async def test_a_store_whose_last_flush_failed_is_closed_and_that_is_logged() -> None:
    clock, store = Clock(), NeverDurableStore()
    writing = WriteBehind(store, clock)
    clock.now_s = DURABLE_EVERY_S
    await writing.write_if_due()
    with capture_logs() as logs:
        await writing.close()
    assert store.closed
    assert [line["event"] for line in logs] == ["store.flush_failed"]
