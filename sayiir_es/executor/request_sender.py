"""What an executor tells owners: offers and progress, as requests of a bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.executor_requests import (
    DEFAULT_OFFER_TTL_MS,
    ExecutorRequest,
    HeldAttempt,
    OfferSlots,
    Progress,
)
from sayiir_es.wire.requests import REQUEST_BYTES_MAX, encode_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sayiir_es.executor.held_attempt import HandedAttempt
    from sayiir_es.executor.taker_settings import TakerSettings
    from sayiir_es.executor.task_code import TaskCode
    from sayiir_es.log.port import RequestTopics
    from sayiir_es.wire.payload_codec import Payloads

logger = get_logger(__name__)

NAMES_BYTES_MAX = REQUEST_BYTES_MAX - 4096
"""How many bytes the tags, graphs and tasks of an offer may have."""

PROGRESS_BYTES_MAX = REQUEST_BYTES_MAX - 8192
"""A progress with so many bytes is followed by another one."""

HELD_BYTES = 80
"""What an attempt in a progress takes beside its texts and details, at the most."""


class RequestSender:
    """Tells the owners of partitions what an executor has and takes."""

    def __init__(
        self,
        settings: TakerSettings,
        code: TaskCode,
        topics: RequestTopics,
        payloads: Payloads,
    ) -> None:
        self._settings = settings
        self._executor_id = executor_id = settings.executor_id
        self._topics = topics
        self._payloads = payloads
        room = NAMES_BYTES_MAX - sum(_text_bytes(tag) for tag in code.tags)
        self._tags = code.tags
        self._graphs, room = _within(code.graphs, room)
        self._tasks, room = _within(code.tasks, room)
        unnamed = len(code.graphs) + len(code.tasks)
        unnamed -= len(self._graphs) + len(self._tasks)
        if unnamed:
            logger.warning(
                "executor.code_unnamed",
                worker=executor_id,
                reason=f"expected names of at most {NAMES_BYTES_MAX} bytes, but "
                f"{unnamed} graphs and tasks more: they are not offered; give "
                "executors fewer workflows each",
            )

    def offer(
        self,
        partitions: Iterable[int],
        free: int,
        *,
        overflow: int = 0,
        overflow_processes: int = 0,
        stopping: bool = False,
    ) -> None:
        """Tell owners how many more attempts are taken from each."""
        offer = OfferSlots(
            executor=self._executor_id,
            free=free,
            slots=self._settings.slots,
            tags=self._tags,
            graphs=self._graphs,
            tasks=self._tasks,
            ttl_ms=DEFAULT_OFFER_TTL_MS,
            stopping=stopping,
            only_foreign=self._settings.only_foreign,
            overflow=overflow,
            overflow_processes=overflow_processes,
        )
        record: NewRecord | None = None
        for partition in partitions:
            record = record or _record(offer)
            self._topics.post(Topic.REQUESTS, partition, record)

    def progress(self, attempts: Iterable[HandedAttempt]) -> None:
        """Tell the owners of attempts that they are still here."""
        by_partition: dict[int, list[HeldAttempt]] = {}
        for attempt in attempts:
            told = by_partition.setdefault(attempt.record.partition, [])
            told.append(attempt.progress(self._payloads))
        for partition, held in by_partition.items():
            for some in _portions(held):
                progress = Progress(executor=self._executor_id, attempts=tuple(some))
                self._topics.post(Topic.REQUESTS, partition, _record(progress))


def _record(request: ExecutorRequest) -> NewRecord:
    return NewRecord(key=None, value=encode_request(request))


def _text_bytes(text: str) -> int:
    return len(text.encode()) + 3


def _within(texts: Sequence[str], room: int) -> tuple[tuple[str, ...], int]:
    """The first texts that fit, and the room that is left."""
    fitting: list[str] = []
    for text in texts:
        size = _text_bytes(text)
        if size > room:
            break
        room -= size
        fitting.append(text)
    return tuple(fitting), room


def _portions(held: Iterable[HeldAttempt]) -> Iterator[list[HeldAttempt]]:
    portion: list[HeldAttempt] = []
    size = 0
    for one in held:
        texts = len(one.instance_id.encode()) + len(one.path.encode())
        more = HELD_BYTES + texts + len(one.details or b"")
        if portion and size + more > PROGRESS_BYTES_MAX:
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += more
    if portion:
        yield portion
