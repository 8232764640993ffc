"""The functions that users of `sayiir` know: run, resume, cancel, pause, signal.

Each is synchronous; code that runs an event loop prefers `sayiir_es.aio`.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sayiir_es.client import async_calls, runs
from sayiir_es.client.backends import as_backend, use_backend
from sayiir_es.client.commands import conflict_policy as policy_of
from sayiir_es.client.direct_engine import run_directly
from sayiir_es.client.simple_engine import run_simply
from sayiir_es.core.authoring.resources import bind_resources

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from uuid import UUID

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.workflow_status import WorkflowStatus
    from sayiir_es.core.authoring.workflow import Workflow

P = ParamSpec("P")
R = TypeVar("R")


def blocking(
    function: Callable[P, Coroutine[object, object, R]],
) -> Callable[P, R]:
    """The function for callers without an event loop: same parameters and docstring.

    It runs on the event loop of the backend that it is given. Where that is optional
    and left out, it runs on one in memory.
    """
    signature = inspect.signature(function)
    is_optional = signature.parameters["backend"].default is None

    @wraps(function, assigned=("__name__", "__qualname__", "__doc__"))
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        if is_optional and bound.arguments.get("backend") is None:
            bound.arguments["backend"] = "memory:"
        with use_backend(bound.arguments["backend"]) as backend:
            bound.arguments["backend"] = backend
            return backend.thread.call(function(*bound.args, **bound.kwargs))

    return call


_run_on_backend = blocking(async_calls.run_durable_workflow)


@wraps(async_calls.run_workflow, assigned=("__name__", "__qualname__", "__doc__"))
def run_workflow(  # noqa: D103 (it has the coroutine's docstring)
    workflow: Workflow,
    input_data: object,
    *,
    instance_id: str | None = None,
    backend: Backend | str | None = None,
    conflict_policy: str | None = None,
    resources: Mapping[str, object] | None = None,
) -> object:
    if instance_id is not None:
        return runs.output_of(
            run_durable_workflow(
                workflow,
                instance_id,
                input_data,
                backend,
                conflict_policy,
                resources=resources,
            )
        )
    # Without an id there is nothing to keep: no backend, and no event loop to ask it.
    if backend is not None:
        as_backend(backend)  # what is none is refused here, too
    bound = bind_resources(workflow, resources, giver=async_calls.GIVER)
    return run_simply(bound, input_data)


@wraps(
    async_calls.run_durable_workflow, assigned=("__name__", "__qualname__", "__doc__")
)
def run_durable_workflow(  # noqa: D103 (it has the coroutine's docstring)
    workflow: Workflow,
    instance_id: str | UUID,
    input_data: object,
    backend: Backend | str | None = None,
    conflict_policy: str | None = None,
    *,
    resources: Mapping[str, object] | None = None,
) -> WorkflowStatus:
    if backend is None or backend == async_calls.MEMORY_URL:
        bound = bind_resources(workflow, resources, giver=async_calls.GIVER)
        policy = policy_of(conflict_policy)
        status = run_directly(bound, instance_id, input_data, policy)
        if status is not None:
            return status
    return _run_on_backend(
        workflow, instance_id, input_data, backend, conflict_policy, resources=resources
    )


resume_workflow = blocking(async_calls.resume_workflow)
cancel_workflow = blocking(async_calls.cancel_workflow)
pause_workflow = blocking(async_calls.pause_workflow)
unpause_workflow = blocking(async_calls.unpause_workflow)
send_signal = blocking(async_calls.send_signal)
