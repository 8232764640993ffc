"""One process of tasks as its worker sees it: begun, spoken to, killed, seen to end.

Theory of operation. The process is a program of its own (never a fork of the worker,
which has threads), in a session and group of its own, so that a kill reaches all that
it began, and Ctrl-C in a terminal does not. A thread waits for its end: that, and not
the end of the connection, says that it is gone, for a process that it forked may hold
the connection. Its group is killed before its number may be another's.

What it said before its end counts: the connection is read to its end first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sayiir_es.engine.attempts.processes.messages import (
    Message,
    frame_of,
    messages_in,
)
from sayiir_es.engine.attempts.processes.parent_death import CONNECTION_LOST
from sayiir_es.log.forked_child import leave_at_fork, sever
from sayiir_es.wire.msgpack_frames import FrameBuffer, FrameError

if TYPE_CHECKING:
    import asyncio

ROOT = Path(__file__).parents[4]

LEAVES_S = 1.0
"""How long a process may live on behind the end of its connection."""

_READ_BYTES = 256 * 1024
_READS_MAX = 64
"""Reads of one look at a connection behind the end of its process."""

_PROGRAM = (
    "import sys; sys.path.append({root!r}); "
    "from sayiir_es.engine.attempts.processes.child import main; "
    "main({descriptor}, {parent})"
)


class ProcessListener(Protocol):
    """Whom a process tells; always on the event loop."""

    def heard(self, process: TaskProcess, message: Message) -> None:
        """It said something."""
        ...

    def ended(self, process: TaskProcess, cause: str) -> None:
        """It has ended; `cause` says how, as in "ended by SIGSEGV (11)"."""
        ...


class TaskProcess:
    """A process that runs; used on the event loop that began it.

    Raises:
        OSError: where the system gives no further process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: ProcessListener,
        *,
        message_bytes_max: int,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._buffer = FrameBuffer(message_bytes_max)
        self._unsent: deque[memoryview] = deque()
        self._lock = threading.Lock()
        self._is_gone = self._is_closed = False
        self._fault = ""
        self._socket, theirs = socket.socketpair()
        try:
            self._popen = subprocess.Popen(  # noqa: S603 (this interpreter)
                [*_interpreter(), "-c", _program(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
        leave_at_fork(self)
        self.pid = self._popen.pid
        self._socket.settimeout(0)
        loop.add_reader(self._socket.fileno(), self._read)
        threading.Thread(
            target=self._wait, name=f"sayiir-process-{self.pid}", daemon=True
        ).start()

    def leave_to_parent(self) -> None:
        """In a forked child of the worker: the process is the worker's."""
        self._is_gone = True
        sever([self._socket.fileno()])

    def send(self, message: Message) -> None:
        """Say something; where it has gone, `ended` follows anyhow."""
        frame = memoryview(frame_of(message))
        if not self._unsent and not self._is_closed:
            frame = frame[self._send_some(frame) :]
        if frame and not self._is_closed:
            if not self._unsent:
                self._loop.add_writer(self._socket.fileno(), self._write)
            self._unsent.append(frame)

    def kill(self) -> None:
        """End it and all that it began, at once; `ended` follows."""
        with self._lock:
            if not self._is_gone:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it and hear no more of it."""
        self.kill()
        self._close()

    # --- inside -----------------------------------------------------------------------

    def _send_some(self, frame: memoryview) -> int:
        try:
            return self._socket.send(frame)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(frame)  # its end is told by whoever waits for that

    def _write(self) -> None:
        while self._unsent:
            frame = self._unsent[0]
            sent = self._send_some(frame)
            if sent < len(frame):
                self._unsent[0] = frame[sent:]
                return
            self._unsent.popleft()
        self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        try:
            piece = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            piece = b""
        if piece:
            self._hear(piece)
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(
            LEAVES_S, self._end, "closed its connection to the worker"
        )

    def _hear(self, piece: bytes) -> None:
        try:
            for message in messages_in(self._buffer, piece):
                if self._is_closed:
                    return
                self._listener.heard(self, message)
        except FrameError as error:
            self._end(f"wrote into its connection to the worker ({error})")

    def _end(self, fault: str) -> None:
        """Kill it for what it did."""
        self._fault = self._fault or fault
        if not self._is_closed:
            self._loop.remove_reader(self._socket.fileno())
        self.kill()

    def _wait(self) -> None:
        """On a thread: wait for its end, and end what it leaves."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.kill()
            with self._lock:
                self._is_gone = True
        code = self._popen.wait()
        with self._lock:
            self._is_gone = True
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._ended, code)

    def _ended(self, code: int) -> None:
        if self._is_closed:
            return
        if not self._fault:
            self._read_rest()
        cause = self._fault or _cause_of(code)
        if not self._is_closed:
            self._close()
            self._listener.ended(self, cause)

    def _read_rest(self) -> None:
        for _ in range(_READS_MAX):
            try:
                piece = self._socket.recv(_READ_BYTES)
            except OSError:
                return
            if not piece:
                return
            self._hear(piece)
            if self._is_closed or self._fault:
                return

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._unsent.clear()
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()


def _interpreter() -> list[str]:
    if not sys.executable:
        raise OSError("the path of the Python interpreter is not known (embedded?)")
    flags = [f"-W{option}" for option in sys.warnoptions]
    if sys.flags.dev_mode:
        flags.append("-Xdev")
    # Its module search path is the worker's, once it is told.
    return [sys.executable, "-P", *flags]


def _program(descriptor: int) -> str:
    return _PROGRAM.format(root=str(ROOT), descriptor=descriptor, parent=os.getpid())


def _cause_of(code: int) -> str:
    if code == CONNECTION_LOST:
        return "lost its connection to the worker"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "signal"
    text = f"ended by {name} ({-code})"
    if -code == signal.SIGKILL:
        text += ", which the system sends where memory is short"
    return text
