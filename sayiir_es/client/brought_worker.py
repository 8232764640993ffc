"""The worker that a helper's call brings along.

It lives as long as the call, on Kafka as long as the session, and runs the workflows
that were handed to the helper.
"""

from __future__ import annotations

import secrets
from importlib.metadata import version
from typing import TYPE_CHECKING

from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.local_executor import LocalExecutor
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings

if TYPE_CHECKING:
    from sayiir_es.engine.registry import Registry
    from sayiir_es.engine.worker_settings import StoreOpener
    from sayiir_es.log.port import Log, Membership

HELPER_SLOTS = 64
"""Attempts that a helper's own worker runs at a time."""


def brought_worker(
    log: Log,
    registry: Registry,
    membership: Membership,
    open_store: StoreOpener,
    *,
    runs_attempts: bool,
    announced: bool,
) -> tuple[WorkerEngine, LocalExecutor]:
    """A worker engine with an executor that lets interrupts through."""
    clock = SystemClock()
    worker_id = f"helper-{secrets.token_hex(3)}"
    executor = LocalExecutor(
        HELPER_SLOTS, worker_id=worker_id, propagate_interrupts=True
    )
    engine = WorkerEngine(
        ports=Ports(log=log, clock=clock, executor=executor, registry=registry),
        membership=membership,
        open_store=open_store,
        settings=WorkerSettings(
            worker_id=worker_id,
            incarnation=secrets.token_hex(8),
            build=build_name(),
            runs_attempts=runs_attempts,
            announced=announced,
        ),
    )
    return engine, executor


def build_name() -> str:
    """The version of this package, as claims name it."""
    return version("sayiir-es")
