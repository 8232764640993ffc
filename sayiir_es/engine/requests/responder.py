"""Answers the requests on one partition, while its owner's tenure lasts.

Theory of operation. What an owner decided is told behind the ack, as everything is: by
`tell`, which looks at the batch that has become live. Questions are answered from the
live store between two batches. A wait is held here until its instance has ended; a
client that hears `claimed` from a new owner asks again. A search reads many rows: it
runs beside the loop, in portions, and few at a time.

Nothing of it is truth: what cannot be told is lost, and asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.references import result_of
from sayiir_es.core.model.errors import DecodeError, LogError, StoreError, WorkflowError
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandRejected,
)
from sayiir_es.core.model.position import parse_command_cause
from sayiir_es.core.model.rows import get_remembered_command, get_run
from sayiir_es.core.partitions import partition_of
from sayiir_es.core.status.limit_report import id_of_limit
from sayiir_es.core.status.status import listed
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.requests import searching
from sayiir_es.engine.requests.describing import describe, with_limit
from sayiir_es.engine.requests.limit_search import find_limit, find_limits
from sayiir_es.engine.requests.shared_searches import SharedSearches
from sayiir_es.engine.requests.waits import Waits, is_over, may_be_over
from sayiir_es.engine.valid_events import EventFilter, ValidEvents
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.executor_requests import OfferSlots, Progress
from sayiir_es.wire.limit_reports import FindLimits
from sayiir_es.wire.reply_address import ReplyAddress, read_reply_address
from sayiir_es.wire.requests import (
    Answer,
    Claimed,
    Counted,
    CountInstances,
    Decided,
    Describe,
    Described,
    DescribedPartition,
    DescribePartition,
    Ended,
    FindDecision,
    FindResult,
    FoundLimits,
    FoundResult,
    Listed,
    ListInstances,
    Refused,
    Reply,
    StopSearch,
    Wait,
    decode_request,
    encode_reply,
    encode_request,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.status.limit_report import LimitReport
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.attempts.elsewhere import AttemptsElsewhere
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.requests.decided_command import DecidedCommand
    from sayiir_es.engine.requests.reporting import Reporter
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Record
    from sayiir_es.wire.requests import Request

logger = get_logger(__name__)

SEARCHES_MAX = 64
"""Searches of one partition that run or wait; more are refused."""

COUNTS_AT_A_TIME = 1
"""Each looks at all instances: seconds, of a million."""

LISTS_AT_A_TIME = 2
"""Without a bound in time; one of them may look at all instances, too."""

PAGES_AT_A_TIME = 4
"""Lists that end when they have looked for so long: people wait for them."""

REPORTS_AT_A_TIME = 4
"""Of the partition itself, or of a decision; none of them waits for a search."""

LIMIT_MAX = 1_000
"""The longest page of a list."""

PAGE_BYTES_MAX = 512 * 1024
"""A page ends when its outputs, errors and attributes have so many bytes."""

STATUS_BYTES = 1_000
"""What a status takes beside these, about."""

TURN_DESCRIBED = 100
"""Instances described before other tasks of the loop may run: some milliseconds."""

DECISION_EVENTS = 50_000
"""How far back from the end of the events a decision is looked for."""

NO_CALL = 0
"""In place of a call's number: clients count theirs from 1."""

WANTED_MAX = 10_000
"""Commands not decided yet, after which somebody has asked."""


class Responder:
    """Answers the requests on one partition."""

    def __init__(  # noqa: PLR0913 (one parameter a part)
        self,
        ports: Ports,
        partition: int,
        store: SnapshotStore,
        *,
        reporter: Reporter,
        runs_attempts: bool,
        runs_all: bool,
        elsewhere: AttemptsElsewhere | None,
    ) -> None:
        """With `runs_all` it runs the attempts of all instances, as a worker does."""
        self._log = ports.log
        self._topics = ports.log.request_topics
        self._clock = ports.clock
        self._registry = ports.registry
        self._meter = ports.meter
        self._partition = partition
        self._store = store
        self._reporter = reporter
        self._runs_attempts = runs_attempts
        self._runs_all = runs_all
        self._elsewhere = elsewhere
        self._waits = Waits()
        self._wanted: dict[int, ReplyAddress] = {}
        """Who asked what becomes of a command, by its offset."""
        self._reading: asyncio.Task[None] | None = None
        self._searches: dict[ReplyAddress, asyncio.Task[None]] = {}
        self._counts = SharedSearches[Counter[str]]()
        self._count_slots = asyncio.Semaphore(COUNTS_AT_A_TIME)
        self._list_slots = asyncio.Semaphore(LISTS_AT_A_TIME)
        self._page_slots = asyncio.Semaphore(PAGES_AT_A_TIME)
        self._report_slots = asyncio.Semaphore(REPORTS_AT_A_TIME)

    def start(self) -> None:
        """Begin to read requests, and tell clients that there is a new owner."""
        self._reading = asyncio.create_task(
            self._read(), name=f"requests-{self._partition}"
        )

    async def close(self) -> None:
        """Answer no more."""
        tasks = [*self._searches.values()]
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what was decided -------------------------------------------------------------

    def tell_batch(
        self, base: int, decided: Iterable[DecidedCommand], changed: Iterable[str]
    ) -> None:
        """A batch is live: tell who asked for its decisions, and who waited.

        `base` is the offset of its first record.
        """
        for offset, event, record, reply_to in decided:
            if isinstance(event.body, CommandDeferred):
                if reply_to is not None:
                    self._wanted[offset] = reply_to  # told when it is decided
                continue
            for address in (reply_to, self._wanted.pop(offset, None)):
                if address is not None:
                    self._tell_decided(event, base + record, address)
        if self._waits:
            for instance_id in self._waits.awaited(changed):
                self._look(instance_id)

    def _tell_decided(self, event: Event, offset: int, address: ReplyAddress) -> None:
        """As `_answer_command`; what cannot be told is that client's trouble alone."""
        try:
            self._answer_command(event, offset, address)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(address, error)

    def _answer_command(self, event: Event, offset: int, address: ReplyAddress) -> None:
        """Tell the decision on a command, whose first event stands at an offset."""
        body = event.body
        code = message = ""
        match body:
            case CommandForwarded():
                return  # the address went along
            case CommandDeadLettered():
                code, message = "dead_letter", body.reason
            case CommandRejected():
                code, message = body.code, body.message
            case CommandAcknowledged():
                code = body.code
            case _:
                pass
        if address.decided or message:
            decided = Decided(
                event=event.kind,
                offset=offset,
                sequence=event.sequence,
                command=getattr(body, "command", ""),
                code=code,
                message=message,
                status=self._describe(event.instance_id) if event.instance_id else None,
            )
            self._reply(address, decided)
        if address.ended and not message:
            self._wait(event.instance_id, address, parked=False)

    def _look(self, instance_id: str) -> None:
        rows = self._store.rows(instance_id)
        if not self._waits.may_end(rows, instance_id):
            return
        try:
            status = self._describe(instance_id)
            for wait in self._waits.take_ended(rows, instance_id, status):
                self._reply(wait.address, Ended(status=status))
        except StoreError:
            raise
        except Exception as error:
            logger.exception("requests.answer_failed", exc_info=error)

    # --- what was asked ---------------------------------------------------------------

    async def _read(self) -> None:
        backoff = Backoff(f"requests {self._partition}")
        while True:
            try:
                if not await self._topics.open(create=True):
                    return  # a log without them
                subscription = await self._topics.subscribe(
                    Topic.REQUESTS, self._partition
                )
                try:
                    self._tell_claimed()
                    while True:
                        for record in await subscription.read():
                            self._take(record)
                        backoff.reset()
                finally:
                    await subscription.close()
            except LogError as error:
                logger.warning(
                    "requests.read_failed",
                    partition=self._partition,
                    error_code=error.code,
                    reason=str(error),
                )
                await backoff.pause()

    def _tell_claimed(self) -> None:
        """Whoever waits for a reply from this partition asks again."""
        for partition in range(self._topics.reply_partitions):
            self._post(partition, None, NO_CALL, Claimed())

    def _take(self, record: Record) -> None:
        address = read_reply_address(record.headers, self._topics.reply_partitions)
        try:
            request = decode_request(record.value or b"")
            self._meter.request_came(type(request).__name__)
            if isinstance(request, OfferSlots | Progress):
                self._hear(request)
            elif address is None:
                pass  # nobody could be told anything
            elif request.at_least > self._store.position.offset:
                pass  # displaced, and does not know it yet: the new owner answers
            else:
                self._answer(request, address)
        except DecodeError as error:
            if address is not None:
                self._reply(address, Refused(code="bad_request", message=str(error)))
        except Exception as error:  # noqa: BLE001 (one request's trouble is its own)
            self._fail(address, error)

    def _hear(self, request: OfferSlots | Progress) -> None:
        """Take what an executor tells, which waits for no reply."""
        if self._elsewhere is None:
            return
        if isinstance(request, OfferSlots):
            self._elsewhere.offer(request)
        else:
            self._elsewhere.progress(request)

    def _answer(self, request: Request, address: ReplyAddress) -> None:
        match request:
            case Describe():
                rows = self._store.rows(request.instance_id)
                status = with_limit(
                    self._describe(request.instance_id),
                    rows,
                    self._registry,
                    self._own_limit,
                )
                self._reply(address, Described(status=status))
            case FindResult():
                self._reply(address, self._find_result(request))
            case Wait():
                self._wait(request.instance_id, address, parked=request.parked)
            case FindDecision():
                self._find_decision(request, address)
            case (
                ListInstances() | CountInstances() | DescribePartition() | FindLimits()
            ):
                self._answer_search(request, address)
            case StopSearch():
                search = self._searches.get(address)
                if search is not None:
                    search.cancel()

    def _answer_search(
        self,
        request: ListInstances | CountInstances | DescribePartition | FindLimits,
        address: ReplyAddress,
    ) -> None:
        """Look for the answer beside the loop: it takes a while."""
        match request:
            case ListInstances():
                slots = self._page_slots if request.within_ms else self._list_slots
                self._search(lambda: self._list(request, address), address, slots)
            case CountInstances():
                self._search(lambda: self._count(request, address), address, None)
            case DescribePartition():
                slots = self._count_slots if request.counts else self._report_slots
                self._search(lambda: self._report(request, address), address, slots)
            case FindLimits():
                slots = self._report_slots
                self._search(lambda: self._limits(request, address), address, slots)

    def _describe(self, instance_id: str) -> Status | None:
        code = self._registry.get_own_code() if self._runs_attempts else None
        return describe(
            self._store.rows(instance_id),
            instance_id,
            self._registry,
            partition=self._partition,
            code=code,
            queue=self._elsewhere,
        )

    def _own_limit(self, limit: str) -> LimitReport | None:
        """The limit or start queue of an id, if this partition has it."""
        home = partition_of(limit.encode(), self._log.partitions)
        return find_limit(self._store, limit) if home == self._partition else None

    def _find_result(self, request: FindResult) -> FoundResult:
        rows = self._store.rows(request.instance_id)
        run = get_run(rows)
        if run is None:
            return FoundResult(exists=False, result=None)
        graph = self._registry.by_digest(run.graph_digest)
        path = graph.find(request.task_id) if graph is not None else None
        if graph is None or path is None:
            return FoundResult(exists=True, result=None)
        return FoundResult(exists=True, result=result_of(rows, graph, path))

    def _wait(self, instance_id: str, address: ReplyAddress, *, parked: bool) -> None:
        rows = self._store.rows(instance_id)
        if may_be_over(rows, parked=parked):
            status = self._describe(instance_id)
            if is_over(rows, status, parked=parked):
                self._reply(address, Ended(status=status))
                return
        if self._waits.is_full:
            self._reply(address, _busy("waits"))
        else:
            now_s = self._clock.monotonic_s()
            self._waits.hold(instance_id, address, now_s, parked=parked)

    # --- decisions of commands whose reply was lost -----------------------------------

    def _find_decision(self, request: FindDecision, address: ReplyAddress) -> None:
        position = self._store.position
        is_open = request.offset >= position.next_command
        if is_open or request.offset in position.deferred:
            if len(self._wanted) >= WANTED_MAX:
                del self._wanted[next(iter(self._wanted))]  # it asks again
            self._wanted[request.offset] = address
            return
        rows = self._store.rows(request.instance_id)
        if not address.decided and request.command_id:
            is_known = get_remembered_command(rows, request.command_id) is not None
            if is_known:  # accepted: what is left to tell is the end
                self._wait(request.instance_id, address, parked=False)
                return
        if len(self._searches) >= SEARCHES_MAX:
            return  # it is asked again; the command was decided, so no call may end
        slots = self._report_slots
        self._search(lambda: self._read_decision(request, address), address, slots)

    async def _read_decision(
        self, request: FindDecision, address: ReplyAddress
    ) -> None:
        """Look for the decision in the log, where it stands not far from the end."""
        end = self._store.position.offset
        first = await self._log.start_offset(Topic.EVENTS, self._partition)
        events = ValidEvents(
            self._log,
            self._partition,
            max(end - DECISION_EVENTS, first),
            EventFilter(instance_id=request.instance_id),
        )
        try:
            async for found in events.until_end():
                command = parse_command_cause(found.event.cause)
                is_deferral = isinstance(found.event.body, CommandDeferred)
                if command is not None and command.offset == request.offset:
                    if is_deferral:
                        continue
                    self._answer_command(found.event, found.offset, address)
                    return
        finally:
            await events.close()
        message = (
            f"expected the decision on the command at {self._partition}@"
            f"{request.offset} among the last {DECISION_EVENTS} events, but it is not "
            "there; look at the status"
        )
        self._reply(address, Refused(code="not_found", message=message))

    # --- searches ---------------------------------------------------------------------

    def _search(
        self,
        search: Callable[[], Awaitable[None]],
        address: ReplyAddress,
        slots: asyncio.Semaphore | None,
    ) -> None:
        if address in self._searches:
            # It was asked again because it takes long: that it is not lost is told.
            self._tell(address, _busy("searches"))
            return
        if len(self._searches) >= SEARCHES_MAX:
            self._reply(address, _busy("searches"))
            return

        async def run() -> None:
            async with slots or contextlib.nullcontext():
                try:
                    await search()
                except Exception as error:  # noqa: BLE001 (as above)
                    self._fail(address, error)

        task = self._searches[address] = asyncio.create_task(run())
        task.add_done_callback(lambda _: self._searches.pop(address, None))

    async def _list(self, request: ListInstances, address: ReplyAddress) -> None:
        limit = min(request.limit, LIMIT_MAX)
        within_ms = request.within_ms
        found, is_last, reached = await searching.newest(
            self._searched(),
            request.search,
            limit,
            request.before,
            within_s=None if within_ms is None else within_ms / 1000,
        )
        statuses: list[tuple[int, Status]] = []
        size = 0
        for number, (at_ms, instance_id) in enumerate(found, start=1):
            if number % TURN_DESCRIBED == 0:
                await asyncio.sleep(0)
            status = self._describe(instance_id)
            if status is None:
                continue
            status = listed(status)
            size += STATUS_BYTES + len(status.output or b"") + len(status.error or "")
            size += sum(map(len, (*status.attributes, *status.attributes.values())))
            if statuses and size > PAGE_BYTES_MAX:
                is_last, reached = False, None
                break
            statuses.append((at_ms, status))
        self._reply(
            address, Listed(statuses=tuple(statuses), is_last=is_last, reached=reached)
        )

    async def _count(self, request: CountInstances, address: ReplyAddress) -> None:
        async def count() -> Counter[str]:
            async with self._count_slots:
                return await searching.count(
                    self._searched(), request.search, request.by
                )

        # Who asks for the same waits for the same: each may be a look at all.
        key = encode_request(replace(request, at_least=0))
        self._reply(address, Counted(counts=await self._counts.get(key, count)))

    async def _report(self, request: DescribePartition, address: ReplyAddress) -> None:
        report = await self._reporter.report(counts=request.counts)
        self._reply(address, DescribedPartition(report=report))

    async def _limits(self, request: FindLimits, address: ReplyAddress) -> None:
        if request.key:
            limit = find_limit(self._store, id_of_limit(request.key, request.of))
            answer = FoundLimits(limits=() if limit is None else (limit,), is_last=True)
        else:
            limits, is_last = await find_limits(
                self._store, request.of, request.after, request.count
            )
            answer = FoundLimits(limits=limits, is_last=is_last)
        self._reply(address, answer)

    def _searched(self) -> searching.Searched:
        return searching.Searched(
            store=self._store,
            stranding=self._registry.stranding() if self._runs_all else None,
            now_ms=self._clock.now_ms(),
        )

    # --- replying ---------------------------------------------------------------------

    def _fail(self, address: ReplyAddress | None, error: Exception) -> None:
        """One request's trouble is that request's."""
        code = error.code if isinstance(error, WorkflowError) else "internal"
        if not isinstance(error, StoreError | LogError):
            logger.error("requests.answer_failed", exc_info=error)
        if address is not None:
            self._reply(address, Refused(code=code, message=str(error)))

    def _reply(self, address: ReplyAddress, answer: Answer) -> None:
        code = answer.code if isinstance(answer, Refused) else ""
        self._meter.reply_sent(type(answer).__name__, code)
        client = address.client.encode()
        self._post(address.partition, client, address.call, answer)

    def _tell(self, address: ReplyAddress, answer: Answer) -> None:
        """Tell a client something that ends none of its calls."""
        self._post(address.partition, address.client.encode(), NO_CALL, answer)

    def _post(
        self, partition: int, client: bytes | None, call: int, answer: Answer
    ) -> None:
        reply = Reply(
            call=call,
            partition=self._partition,
            offset=self._store.position.offset,
            answer=answer,
        )
        record = NewRecord(key=client, value=encode_reply(reply))
        self._topics.post(Topic.REPLIES, partition, record)


def _busy(what: str) -> Refused:
    return Refused(
        code="busy", message=f"expected fewer {what} of this partition at a time"
    )
