"""The ports that every part of a worker's engine shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.engine.meter import NO_METER

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.executor_port import Executor
    from sayiir_es.engine.attempts.remote.placement import PlacingExecutor
    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.meter import Meter
    from sayiir_es.log.port import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What an engine needs: a log, a clock, an executor and the definitions.

    `meter` is told what the engine does. `elsewhere` is the executor, where it also
    places attempts with executors elsewhere.
    """

    log: Log
    clock: Clock
    executor: Executor
    registry: Registry
    meter: Meter = NO_METER
    elsewhere: PlacingExecutor | None = None
