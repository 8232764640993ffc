"""The program of a task's process: it runs one attempt after another.

Theory of operation. Code of users runs on the main thread only, one attempt at a time,
as programs are used to; async functions on an event loop that stays, as resources need
it. A thread reads what the worker says, so that a running attempt hears of its cancel,
and ends the process when the worker is gone. SIGTERM and SIGINT do nothing here: who
stops a worker may send them to all of its processes, and the attempts shall drain.

A task may fork. In the child of that nobody waits for its result, and the connection is
not its own: one that returns ends there.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import inspect
import logging
import multiprocessing.spawn as spawning
import os
import signal
import socket
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from sayiir_es.core.authoring.resources import bind_resources, checked_names
from sayiir_es.core.authoring.tasks import metadata_of
from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.graph.record import graph_of_record
from sayiir_es.core.model.limits import Limits, clip
from sayiir_es.engine.attempts.error_details import error_text
from sayiir_es.engine.attempts.outcomes import OutcomeMaker
from sayiir_es.engine.attempts.processes import import_guard
from sayiir_es.engine.attempts.processes.addresses import load
from sayiir_es.engine.attempts.processes.attempt_runner import AttemptRunner, Running
from sayiir_es.engine.attempts.processes.log_forwarding import forward
from sayiir_es.engine.attempts.processes.messages import (
    AttemptMessage,
    Cancelled,
    Code,
    Failed,
    Interrupt,
    Logged,
    Message,
    OtherGraph,
    Ready,
    Setup,
    Stop,
    frame_of,
    messages_in,
)
from sayiir_es.engine.attempts.processes.parent_death import (
    CONNECTION_LOST,
    die_with_parent,
    end_group,
)
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.span_export import choose_exporters, make_provider
from sayiir_es.log.forked_child import leave_at_fork, sever
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.msgpack_frames import FrameBuffer
from sayiir_es.wire.payload_codec import JSON_PAYLOADS, PayloadCodec, Payloads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.engine.attempts.processes.messages import Address

logger = get_logger(__name__)

_READ_BYTES = 256 * 1024
_REASON_BYTES_MAX = 8 * 1024


class Channel:
    """The connection to the worker."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.settimeout(None)
        self._lock = threading.Lock()
        self._is_left = False
        self._buffer = FrameBuffer()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """In a child that a task forks: it says nothing to the worker."""
        self._is_left = True
        self._lock = threading.Lock()
        sever([self._socket.fileno()])

    def send(self, message: Message) -> bool:
        """Send a message; False where nobody gets it."""
        if self._is_left:
            return False
        frame = frame_of(message)
        try:
            with self._lock:
                self._socket.sendall(frame)
        except OSError:
            return False
        return True

    def receive(self) -> list[Message]:
        """What the worker says next; nothing when it has gone."""
        while True:
            try:
                piece = self._socket.recv(_READ_BYTES)
            except OSError:
                return []
            if not piece:
                return []
            messages = list(messages_in(self._buffer, piece))
            if messages:
                return messages


class Child:
    """What one process does, from its setup to its end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inbox: SimpleQueue[Message | Running] = SimpleQueue()
        self._latest: Running | None = None
        self._runner = asyncio.Runner()
        self._registries: dict[str, Registry | Exception] = {}
        self._resources: Mapping[str, object] = {}
        self._on_shutdown: Address | None = None
        self._attempts: AttemptRunner

    def serve(self) -> int:
        """Run attempts until the worker says stop; the exit code."""
        threading.Thread(target=self._read, name="sayiir-worker", daemon=True).start()
        try:
            setup = self._inbox.get()
            assert isinstance(setup, Setup)
            self._set_up(setup)
        except BaseException as error:  # noqa: BLE001 (users' code is imported)
            text = clip(error_text(error), _REASON_BYTES_MAX)
            self._channel.send(Failed(reason=text))
            return 1
        self._channel.send(Ready())
        while not isinstance(message := self._inbox.get(), Stop):
            if isinstance(message, Running):
                if not self._channel.send(self._attempts.run(message)):
                    os._exit(CONNECTION_LOST)  # nobody could use it any more
                if self._latest is message:
                    self._latest = None
                del message  # a free process keeps no user's values alive
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(OSError, ValueError, AttributeError):
                        stream.flush()
            else:
                self._take(message)
        self._shut_down()
        return 0

    def _read(self) -> None:
        """On a thread of its own: hear the worker."""
        while messages := self._channel.receive():
            for message in messages:
                self._hear(message)
        end_group()

    def _hear(self, message: Message) -> None:
        latest = self._latest
        match message:
            case AttemptMessage():
                self._latest = Running(message)
                self._inbox.put(self._latest)
            case Cancelled(number=number):
                if latest is not None and latest.number == number:
                    latest.cancel()
            case Interrupt(number=number):
                if latest is not None and latest.number == number:
                    latest.interrupt()
            case _:
                self._inbox.put(message)

    def _set_up(self, setup: Setup) -> None:
        sys.path[:] = setup.sys_path
        sys.argv[:] = setup.argv
        forward(
            self._send_line,
            setup.level,
            setup.levels,
            uses_structlog=setup.uses_structlog,
        )
        with import_guard.importing():
            if setup.main:
                spawning.prepare({"name": "sayiir-task", **setup.main})
            payloads = _payloads_of(setup.codecs)
            if setup.on_startup is not None:
                self._resources = checked_names(
                    self._call(load(setup.on_startup)), giver="on_startup"
                )
        self._on_shutdown = setup.on_shutdown
        if setup.traces:
            _export_spans()
        self._attempts = AttemptRunner(
            self._registry_of,
            OutcomeMaker(setup.worker_id, Limits(**setup.limits), payloads),
            payloads,
            self._runner,
            self._channel.send,
        )

    def _send_line(self, line: Logged) -> bool:
        return self._channel.send(line)

    def _take(self, message: Message | Running) -> None:
        match message:
            case Code(key=key):
                try:
                    with import_guard.importing():
                        self._registries[key] = self._registry_for(message)
                except Exception as error:  # noqa: BLE001 (told by each attempt)
                    self._registries[key] = error
            case OtherGraph(key=key, graph=graph):
                registry = self._registries[key]
                if isinstance(registry, Registry):
                    registry.publish(graph)
            case _:
                raise AssertionError(message)

    def _registry_for(self, code: Code) -> Registry:
        graph = graph_of_record(code.graph)
        functions = {path: load(one) for path, one in code.functions.items()}
        # What other tasks name is none of this process's business.
        own = {
            path: function
            for path, function in functions.items()
            if metadata_of(function).executor == "process"
        }
        bound: Workflow[Any, Any] = bind_resources(
            Workflow(graph=graph, functions=own), self._resources, giver="on_startup"
        )
        registry = Registry()
        registry.register(
            Workflow(graph=graph, functions={**functions, **bound.functions})
        )
        return registry

    def _registry_of(self, key: str) -> Registry:
        registry = self._registries[key]
        if isinstance(registry, Exception):
            raise registry
        return registry

    def _call(self, function: Any, *arguments: object) -> object:
        """Call what may be async."""
        result = function(*arguments)
        if inspect.isawaitable(result):

            async def wait() -> object:
                return await result

            return self._runner.run(wait())
        return result

    def _shut_down(self) -> None:
        try:
            if self._on_shutdown is not None:
                self._call(load(self._on_shutdown), self._resources)
        except Exception:  # (the user's function: its trouble is no task's)
            logger.exception("worker.resources_left")
        with contextlib.suppress(Exception):
            self._runner.close()


def main(descriptor: int, parent: int) -> None:
    """Be the process of tasks of a worker."""
    die_with_parent(parent)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        faulthandler.enable()  # says where a crash was
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)  # unlike SIG_IGN no program inherits it
    logging.raiseExceptions = False
    code = Child(Channel(descriptor)).serve()
    sys.exit(code)


def _ignore(number: int, frame: object) -> None:
    del number, frame


def _payloads_of(codecs: Any) -> Payloads:
    if not codecs:
        return JSON_PAYLOADS
    found: list[PayloadCodec] = []
    for address in codecs:
        codec = load(address)
        found.append(codec() if isinstance(codec, type) else codec)
    return Payloads(found)


def _export_spans() -> None:
    """Export what users' code traces, unless that has set up a provider of its own."""
    exporters, _ = choose_exporters()
    if not exporters:
        return
    with contextlib.suppress(ImportError):
        from opentelemetry import trace  # noqa: PLC0415 (optional)

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(make_provider(exporters))
