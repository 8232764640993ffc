"""An executor for our event loops that goes on when the main thread has ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sayiir_es.log.call_thread import CallThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(ThreadPoolExecutor):
    """A thread for each call: for what is rare, as looking up the address of a host.

    An event loop takes no executor of another class.
    """

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Call it on a thread of its own."""
        thread = CallThread("sayiir-call")
        future = thread.submit(partial(fn, *args, **kwargs))
        thread.close()
        return future
