"""`WorkflowClient`: start, look at and control instances, without running anything."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from sayiir_es.client.backends import Backend, backend_of
from sayiir_es.client.client_calls import ClientCalls
from sayiir_es.client.commands import conflict_policy as policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
R = TypeVar("R")


def blocking(
    method: Callable[Concatenate[ClientCalls, P], Coroutine[object, object, R]],
) -> Callable[Concatenate[WorkflowClient, P], R]:
    """The method for `WorkflowClient`: same parameters and docstring, but it waits."""

    @wraps(method, assigned=("__name__", "__doc__"))
    def call(self: WorkflowClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # It becomes a method of this class.
        backend, calls = self._backend, self._calls  # pyright: ignore[reportPrivateUsage]
        return backend.thread.call(method(calls, *args, **kwargs))

    call.__qualname__ = f"WorkflowClient.{method.__name__}"
    return call


class WorkflowClient:
    """A client of a backend, or of the backend that a URL names.

    Synchronous; code that runs an event loop prefers `sayiir_es.aio`. On `memory:` and
    `file:` a call owns the log for the call when nobody does: it decides, and runs
    nothing. On Kafka it waits 30 s for an owner.
    """

    def __init__(
        self, backend: Backend | str, *, conflict_policy: str | None = None
    ) -> None:
        self._backend = target = backend_of(self, backend)
        self._calls = ClientCalls(lambda: target.session, policy_of(conflict_policy))

    submit = blocking(ClientCalls.submit)
    run = blocking(ClientCalls.run)
    submit_many = blocking(ClientCalls.submit_many)
    status = blocking(ClientCalls.status)
    wait = blocking(ClientCalls.wait)
    list = blocking(ClientCalls.list)
    list_page = blocking(ClientCalls.list_page)
    count = blocking(ClientCalls.count)
    count_by = blocking(ClientCalls.count_by)
    count_errors = blocking(ClientCalls.count_errors)
    partitions = blocking(ClientCalls.partitions)
    workers = blocking(ClientCalls.workers)
    limits = blocking(ClientCalls.limits)
    get_limit = blocking(ClientCalls.get_limit)
    set_limit = blocking(ClientCalls.set_limit)
    send_signal = blocking(ClientCalls.send_signal)
    cancel = blocking(ClientCalls.cancel)
    pause = blocking(ClientCalls.pause)
    unpause = blocking(ClientCalls.unpause)
    retry = blocking(ClientCalls.retry)
    migrate = blocking(ClientCalls.migrate)
    fork = blocking(ClientCalls.fork)
    cancel_where = blocking(ClientCalls.cancel_where)
    pause_where = blocking(ClientCalls.pause_where)
    unpause_where = blocking(ClientCalls.unpause_where)
    retry_where = blocking(ClientCalls.retry_where)
    migrate_where = blocking(ClientCalls.migrate_where)
    signal_where = blocking(ClientCalls.signal_where)
    get_task_result = blocking(ClientCalls.get_task_result)
