"""Durable Python workflows whose only truth is a log of Avro events.

Names are imported at their first use, so that a producer of commands does not pay for
an engine, nor a worker for what it does not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.client.backends import (
        EmbeddedBackend,
        InMemoryBackend,
        KafkaBackend,
        backend_from_url,
    )
    from sayiir_es.client.bulk import BulkResult
    from sayiir_es.client.calls import (
        cancel_workflow,
        pause_workflow,
        resume_workflow,
        run_durable_workflow,
        run_workflow,
        send_signal,
        unpause_workflow,
    )
    from sayiir_es.client.engines import DurableEngine, WorkflowEngine
    from sayiir_es.client.executor import Executor, ExecutorHandle
    from sayiir_es.client.partitions import PartitionStatus, WorkerStatus
    from sayiir_es.client.search import ErrorGroup, InstancePage
    from sayiir_es.client.worker import Worker, WorkerHandle
    from sayiir_es.client.workflow_client import WorkflowClient
    from sayiir_es.client.workflow_status import WorkflowStatus
    from sayiir_es.core.authoring.flow import BranchBuilder, Flow, ForkBuilder
    from sayiir_es.core.authoring.flow_builder import FlowBuilder
    from sayiir_es.core.authoring.loop_result import LoopResult, OnMax
    from sayiir_es.core.authoring.retries import RetryPolicy
    from sayiir_es.core.authoring.tasks import TaskMetadata, task
    from sayiir_es.core.authoring.workflow import NodeInfo, Workflow
    from sayiir_es.core.duration import parse_duration
    from sayiir_es.core.model.errors import (
        BackendError,
        CommandRefusedError,
        DeserializationError,
        InstanceAlreadyExistsError,
        InstanceNotFoundError,
        LogUnavailableError,
        NonRetryableError,
        NoWorkerError,
        QueueFullError,
        ResourceError,
        SubmitManyError,
        TaskError,
        WorkflowError,
    )
    from sayiir_es.engine.attempts.task_context import (
        TaskExecutionContext,
        get_task_context,
    )
    from sayiir_es.engine.tracer import init_tracing, shutdown_tracing
    from sayiir_es.wire.payload_codec import JsonCodec, PayloadCodec
    from sayiir_es.wire.registered_types import register_type

_PLACES = {
    "client.backends": (
        "EmbeddedBackend",
        "InMemoryBackend",
        "KafkaBackend",
        "backend_from_url",
    ),
    "client.bulk": ("BulkResult",),
    "client.calls": (
        "cancel_workflow",
        "pause_workflow",
        "resume_workflow",
        "run_durable_workflow",
        "run_workflow",
        "send_signal",
        "unpause_workflow",
    ),
    "client.engines": ("DurableEngine", "WorkflowEngine"),
    "client.partitions": ("PartitionStatus", "WorkerStatus"),
    "client.search": ("ErrorGroup", "InstancePage"),
    "client.worker": ("Worker", "WorkerHandle"),
    "client.workflow_client": ("WorkflowClient",),
    "client.workflow_status": ("WorkflowStatus",),
    "client.executor": ("Executor", "ExecutorHandle"),
    "core.duration": ("parse_duration",),
    "core.model.errors": (
        "BackendError",
        "CommandRefusedError",
        "DeserializationError",
        "InstanceAlreadyExistsError",
        "InstanceNotFoundError",
        "LogUnavailableError",
        "NoWorkerError",
        "NonRetryableError",
        "QueueFullError",
        "ResourceError",
        "SubmitManyError",
        "TaskError",
        "WorkflowError",
    ),
    "core.authoring.flow": ("BranchBuilder", "Flow", "ForkBuilder"),
    "core.authoring.flow_builder": ("FlowBuilder",),
    "core.authoring.loop_result": ("LoopResult", "OnMax"),
    "core.authoring.retries": ("RetryPolicy",),
    "core.authoring.tasks": ("TaskMetadata", "task"),
    "core.authoring.workflow": ("NodeInfo", "Workflow"),
    "engine.attempts.task_context": ("TaskExecutionContext", "get_task_context"),
    "engine.tracer": ("init_tracing", "shutdown_tracing"),
    "wire.payload_codec": ("JsonCodec", "PayloadCodec"),
    "wire.registered_types": ("register_type",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "BackendError",
    "BranchBuilder",
    "BulkResult",
    "CommandRefusedError",
    "DeserializationError",
    "DurableEngine",
    "EmbeddedBackend",
    "ErrorGroup",
    "Executor",
    "ExecutorHandle",
    "Flow",
    "FlowBuilder",
    "ForkBuilder",
    "InMemoryBackend",
    "InstanceAlreadyExistsError",
    "InstanceNotFoundError",
    "InstancePage",
    "JsonCodec",
    "KafkaBackend",
    "LogUnavailableError",
    "LoopResult",
    "NoWorkerError",
    "NodeInfo",
    "NonRetryableError",
    "OnMax",
    "PartitionStatus",
    "PayloadCodec",
    "QueueFullError",
    "ResourceError",
    "RetryPolicy",
    "SubmitManyError",
    "TaskError",
    "TaskExecutionContext",
    "TaskMetadata",
    "Worker",
    "WorkerHandle",
    "WorkerStatus",
    "Workflow",
    "WorkflowClient",
    "WorkflowEngine",
    "WorkflowError",
    "WorkflowStatus",
    "backend_from_url",
    "cancel_workflow",
    "get_task_context",
    "init_tracing",
    "parse_duration",
    "pause_workflow",
    "register_type",
    "resume_workflow",
    "run_durable_workflow",
    "run_workflow",
    "send_signal",
    "shutdown_tracing",
    "task",
    "unpause_workflow",
]


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
