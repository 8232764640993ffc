"""What health checks and metrics say of one worker, from what its monitor has noted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sayiir_es.operations.worker_health import judge_life, judge_readiness
from sayiir_es.operations.worker_series import worker_series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.operations.metrics.series import Series
    from sayiir_es.operations.worker_health import Health
    from sayiir_es.operations.worker_monitor import WorkerMonitor


class WorkerAnswers:
    """Judges one worker when it is asked for; any thread may ask."""

    def __init__(self, monitor: WorkerMonitor) -> None:
        self._monitor = monitor

    def live(self) -> Health:
        """Whether its event loop turns."""
        return judge_life(self._monitor.turned_at_s, time.monotonic())

    async def ready(self) -> Health:
        """Whether it serves its partitions, and these go on."""
        return judge_readiness(self._monitor.seen, time.monotonic())

    def series(self, build: str) -> Iterator[Series]:
        """Its metrics; instances are counted while somebody reads these."""
        now_s = self._monitor.scraped_at_s = time.monotonic()
        yield from worker_series(self._monitor, build, now_s)
