"""What a child of `os.fork` has of its parent: it neither uses nor closes it.

Theory of operation. A child has copies of all objects and descriptors of its parent,
and none of its threads. To close such an object could do harm: a store would flush its
copy into the parent's files, an event loop would take the parent's sockets out of the
`epoll` that both have. To keep its descriptors could, too: a connection or a lock of
the parent would outlive it. So objects that hold one register here. In a child each of
them leaves its descriptors to the parent, and is kept for ever, so that nothing ends
it. What the child calls opens everything anew.

A descriptor is replaced by `/dev/null` rather than closed: its number stays taken, and
whatever closes it later closes nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from sayiir_es.log.posix import register_at_fork

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable


class Inherited(Protocol):
    """Holds something that is its process's alone."""

    def leave_to_parent(self) -> None:
        """Leave in a child what is the parent's; called right behind the fork."""
        ...


def leave_at_fork(holder: Inherited) -> None:
    """Let an object leave to the parent, in each child, what it holds."""
    _holders.add(holder)


def leave_kafka_sockets_at_fork(loop: asyncio.AbstractEventLoop) -> None:
    """Let each child leave the connections to Kafka that this loop reads."""
    _loops.add(loop)


def leave_loop_at_fork(loop: asyncio.AbstractEventLoop) -> None:
    """Let each child leave all that this loop, which is ours, reads and writes."""
    _own_loops.add(loop)


def sever(descriptors: Iterable[int]) -> None:
    """Leave descriptors to the parent: here they are `/dev/null` from now on."""
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            for fd in descriptors:
                if fd >= 0:
                    with contextlib.suppress(OSError):
                        os.dup2(nothing, fd, inheritable=False)
        finally:
            os.close(nothing)


def sever_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Leave an event loop of ours to the parent, with all that it reads and writes."""
    selector = getattr(loop, "_selector", None)
    if selector is None or selector.get_map() is None:  # of another kind, or closed
        return
    wake = getattr(loop, "_csock", None)
    sever([key.fd for key in selector.get_map().values()])
    sever([wake.fileno()] if wake is not None else [])
    if hasattr(selector, "fileno"):
        sever([selector.fileno()])


def keep_for_ever(kept: object) -> None:
    """Let nothing end an object, the end of the process included."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


def end_without_clean_up() -> None:
    """Let the exit of this child run nothing that C++ libraries registered for it.

    Theirs would join the threads of the parent, which are not here, and abort. Python
    has ended by then: its own functions for the exit have run, its files are flushed.
    """
    library = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):  # not every C library has it
        # Runs first, because it is registered last, with the exit code.
        library.on_exit(ctypes.cast(library._exit, ctypes.c_void_p), None)  # noqa: SLF001 (a symbol)


_holders: WeakSet[Inherited] = WeakSet()
_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_own_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def _leave_all() -> None:
    with contextlib.ExitStack() as stack:  # whatever one raises, all are left
        for holder in tuple(_holders):
            keep_for_ever(holder)
            stack.callback(holder.leave_to_parent)
        for loop in tuple(_own_loops):
            stack.callback(sever_loop, loop)
        for loop in tuple(_loops):
            stack.callback(_sever_kafka_sockets, loop)


def _sever_kafka_sockets(loop: asyncio.AbstractEventLoop) -> None:
    """The loop may be the program's: what else it reads is not ours to leave."""
    selector = getattr(loop, "_selector", None)
    if selector is None or selector.get_map() is None:
        return
    keys = tuple(selector.get_map().values())
    sever([key.fd for key in keys if _is_of_kafka(key.data)])


def _is_of_kafka(handles: tuple[object, ...] | None) -> bool:
    """Whether a connection to Kafka waits here; `handles` are for reads and writes.

    Such a transport always waits for reads, and is the object of that callback.
    """
    reads = handles[0] if handles else None
    transport = getattr(getattr(reads, "_callback", None), "__self__", None)
    protocol = getattr(transport, "_protocol", None)
    protocol = getattr(protocol, "_app_protocol", protocol)  # below TLS
    return type(protocol).__module__.startswith(("aiokafka.", "sayiir_es.log.kafka."))


register_at_fork(after_in_child=_leave_all)
