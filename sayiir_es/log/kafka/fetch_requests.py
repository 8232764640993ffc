"""Sends what the readers of a process ask for: as many as may be in one request.

Theory of operation. A broker holds a fetch until one of its partitions has records. Its
readers are woken then, and ask for what follows in the next turn of the event loop;
partitions that had nothing are asked for again. All that leaves as one request.

What a reader asks for while the others' request is held by the broker leaves by itself.
But the broker ends what it holds at the same time for all requests of a process. What
it returns empty then waits `GATHER_S` for the others, and they are one request again.

A reader that is far behind the end of its partition asks alone: its answers are large,
and the others must not wait until they are here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from aiokafka.errors import UnknownError

from sayiir_es.log.kafka.connection import READ_COMMITTED
from sayiir_es.log.kafka.connection_pool import LeaderRequests
from sayiir_es.log.kafka.fetch_format import (
    FETCH,
    FetchAnswer,
    FetchLimits,
    decode_fetch,
    encode_fetch,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.connection import Cluster

FETCH_BYTES = 1 << 20
"""How much a broker returns at once: some milliseconds of transfer and decoding."""

HELD_MS = 500
"""How long a broker holds a request for records that are not there, in milliseconds."""

GATHER_S = 0.001
"""How long the answers to several requests take to arrive that a broker ends at the
same time, in seconds. Nobody is kept waiting by it but twice a second."""

OnFetched: TypeAlias = Callable[["FetchAnswer | Exception"], None]
"""Called once for a fetch: with records or an error code, or with why there is none."""


@dataclass(slots=True, eq=False)
class Fetch:
    """What one reader waits for. One that is cancelled is told nothing."""

    partition: TopicPartition
    offset: int
    on_fetched: OnFetched
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Wait for it no more."""
        self.is_cancelled = True


@dataclass(slots=True, eq=False)
class _Waiting:
    """The fetches for one broker that have not left."""

    fetches: dict[TopicPartition, Fetch] = field(
        default_factory=dict["TopicPartition", Fetch]
    )
    is_due: bool = False
    """Whether it is settled when they leave."""


class FetchRequests(LeaderRequests):
    """The fetch requests of the readers of one log, which share them."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect nothing yet."""
        super().__init__(cluster)
        self._waiting: dict[int, _Waiting] = {}

    def fetch(
        self,
        partition: TopicPartition,
        offset: int,
        on_fetched: OnFetched,
        *,
        alone: bool,
    ) -> Fetch:
        """Ask the partition's leader for what follows an offset, however long it takes.

        `on_fetched` gets its answer, which is never empty; or one of
        `TRANSPORT_ERRORS`: then call `refresh` and try again; or the `LogRefusedError`
        of a leader that does not let this client in.

        Raises:
            LeaderNotAvailableError: the partition has no leader now.
            LogUnavailableError: the log is closed.
        """
        node = self._leader(partition)
        fetch = Fetch(partition, offset, on_fetched)
        if alone:
            self._send(node, [fetch])
        else:
            self._add(node, fetch)
        return fetch

    def _add(self, node: int, fetch: Fetch) -> None:
        waiting = self._waiting.get(node)
        if waiting is None:
            waiting = self._waiting[node] = _Waiting()
        if fetch.partition in waiting.fetches:  # of another reader of the partition
            self._send(node, [fetch])
            return
        waiting.fetches[fetch.partition] = fetch
        if not waiting.is_due:
            waiting.is_due = True
            asyncio.get_running_loop().call_soon(self._leave, node, waiting)

    def _leave(self, node: int, waiting: _Waiting) -> None:
        fetches, waiting.fetches = waiting.fetches, {}
        waiting.is_due = False
        self._send(node, [*fetches.values()])

    def _send(self, node: int, fetches: Sequence[Fetch]) -> None:
        wanted = [fetch for fetch in fetches if not fetch.is_cancelled]
        if not wanted:
            return
        now_ms = int(asyncio.get_running_loop().time() * 1000)
        held_ms = HELD_MS - now_ms % HELD_MS
        body = encode_fetch(
            [(fetch.partition, fetch.offset) for fetch in wanted],
            READ_COMMITTED,
            FetchLimits(held_ms, FETCH_BYTES, FETCH_BYTES),
        )
        self._pool.request(node, FETCH, body, partial(self._hand_over, node, wanted))

    def _hand_over(
        self, node: int, fetches: Sequence[Fetch], answer: memoryview | Exception
    ) -> None:
        if isinstance(answer, Exception):
            for fetch in fetches:
                if not fetch.is_cancelled:
                    fetch.on_fetched(answer)
            return
        answers = decode_fetch(answer)
        nothing_new: list[Fetch] = []
        for fetch in fetches:
            if fetch.is_cancelled:
                continue
            fetched = answers.get(fetch.partition)
            if fetched is None:
                fetch.on_fetched(UnknownError("the broker refused the request"))
            elif fetched.code or fetched.data:
                fetch.on_fetched(fetched)
            else:
                nothing_new.append(fetch)
        # Behind those who are woken: they run first, and what they ask for leaves too.
        is_ended = len(nothing_new) == len(fetches)
        self._let_gather(node, GATHER_S if is_ended else 0.0)
        for fetch in nothing_new:
            self._add(node, fetch)

    def _let_gather(self, node: int, delay_s: float) -> None:
        """Let what is asked for from now on leave together: in the next turn, or later.

        A timer wakes the process once more, which costs as much as half a request.
        """
        waiting = self._waiting.get(node)
        if waiting is None:
            waiting = self._waiting[node] = _Waiting()
        if waiting.is_due:
            return
        waiting.is_due = True
        loop = asyncio.get_running_loop()
        if delay_s:
            loop.call_later(delay_s, self._leave, node, waiting)
        else:
            loop.call_soon(self._leave, node, waiting)
