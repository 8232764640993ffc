"""I20 and I21: stores hold what the fold of the log gives, and nothing from beyond it.

Theory of operation. This compares a store with the fold, so here the engine's own
`evolve` is the right one; whether that folds well is for I1–I19 to say. The log is
folded to the store's applied offset into a store of its own in a temporary directory,
so that memory holds neither. Stores of other logs are passed over. A store that cannot
be read is one more violation: the others are compared all the same.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.audit.verify.log import read_to
from sayiir_es.audit.violation import Violation
from sayiir_es.core.model.errors import HistoryError, StoreError
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.store.rocks.codec import encode_row
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.engine.store.rocks.view import StoreView, stores_under
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.log.port import Chunk, Log, LogIdentity

FLUSH_BYTES = 512 * 1024


async def store_violations(
    log: Log, identity: LogIdentity, state_dir: Path
) -> AsyncIterator[Violation]:
    """Yield what is wrong with the stores of this log in a state directory.

    Raises:
        StoreError: if there is no store.
    """
    mine = (identity.cluster_id, identity.topics[Topic.EVENTS.value])
    for path in stores_under(state_dir):
        try:
            view = StoreView(path)
        except StoreError as error:
            yield _unreadable(path, error)
            continue
        with view:
            if not view.is_empty and mine == _log_of(view):
                async for violation in _check_store(log, view, path):
                    yield violation


def _log_of(view: StoreView) -> tuple[str, str]:
    return view.identity.cluster_id, view.identity.events_topic_id


def _unreadable(path: Path, error: StoreError) -> Violation:
    return Violation(
        invariant="I20",
        partition=int(path.name),
        offset=0,
        instance_id="",
        expected=f"a store at {str(path)!r} that can be read",
        seen=f"{error}; delete that directory while no process uses it: the store is "
        "folded again from the log",
    )


async def _check_store(
    log: Log, view: StoreView, path: Path
) -> AsyncIterator[Violation]:
    partition, applied = view.identity.partition, view.position.offset
    end = await log.end_offset(Topic.EVENTS, partition)
    if applied > end:
        yield Violation(
            invariant="I21",
            partition=partition,
            offset=applied,
            instance_id="",
            expected=f"an applied offset of at most {end}, the end of the log",
            seen=f"{applied}",
        )
        return
    with tempfile.TemporaryDirectory(prefix="sayiir-es-verify-") as folder:
        folded = RocksStore.open(Path(folder) / str(partition), view.identity)
        try:
            problem = await _fold(log, folded, partition, applied)
            if problem:
                yield _differs(view, "", "a log that folds", problem)
                return
            try:
                for violation in _compare(view, folded):
                    yield violation
            except StoreError as error:
                yield _unreadable(path, error)
        finally:
            await folded.close()


async def _fold(log: Log, store: RocksStore, partition: int, applied: int) -> str:
    """Fold up to the applied offset; what stopped it, or nothing."""
    start = await log.start_offset(Topic.EVENTS, partition)
    fold = Fold(store, partition, log.partitions)
    async for chunk in read_to(log, Topic.EVENTS, partition, start, applied):
        try:
            fold.apply(_cut(chunk, applied))
        except HistoryError as error:
            return str(error)
        if store.dirty_bytes > FLUSH_BYTES:
            await store.flush()
    await store.flush()
    return ""


def _cut(chunk: Chunk, past: int) -> Chunk:
    """The part of a chunk below an offset."""
    if chunk.end <= past:
        return chunk
    return replace(
        chunk,
        end=past,
        records=[record for record in chunk.records if record.offset < past],
        gaps=tuple((a, min(b, past)) for a, b in chunk.gaps if a < past),
    )


def _compare(view: StoreView, folded: RocksStore) -> Iterator[Violation]:
    if view.position != folded.position:
        yield _differs(view, "", f"{folded.position}", f"{view.position}")
    stored: set[str] = set()
    for instance_id, rows in view.instances():
        stored.add(instance_id)
        difference = _difference(folded.rows(instance_id), rows)
        if difference is not None:
            yield _differs(view, instance_id, *difference)
    for instance_id in folded.instances():
        if instance_id not in stored:
            yield _differs(view, instance_id, "rows of this instance", "there is none")


def _difference(expected: Rows, seen: Rows) -> tuple[str, str] | None:
    for key in sorted({*expected.keys(""), *seen.keys("")}):
        mine, theirs = expected.get(key), seen.get(key)
        if mine is None or theirs is None or encode_row(mine) != encode_row(theirs):
            return f"row {key!r} to be {mine!r}", f"{theirs!r}"
    return None


def _differs(view: StoreView, instance_id: str, expected: str, seen: str) -> Violation:
    return Violation(
        invariant="I20",
        partition=view.identity.partition,
        offset=view.position.offset,
        instance_id=instance_id,
        expected=expected,
        seen=seen,
    )
