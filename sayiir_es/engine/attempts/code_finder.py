"""Finds the code of attempts that are due, and says once of each that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.permits import key_of
from sayiir_es.core.graph.key_templates import UnreadableKeyError
from sayiir_es.core.graph.references import has_needed
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.rows import chain_of, get_cursor, get_run
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.engine.attempts.attempt import DEFAULT_PRIORITY, Attempt
from sayiir_es.engine.attempts.tracing import origin_of
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.rows import Rows, Run
    from sayiir_es.engine.attempts.attempt import AttemptOwner
    from sayiir_es.engine.attempts.batch_port import Batch
    from sayiir_es.engine.definitions.registry import Registry, Runnable

logger = get_logger(__name__)

TOLD_MAX = 1_000
"""Instances and paths of which the log is told; of more it would tell nothing new."""


class CodeFinder:
    """The code of the attempts of one partition.

    Attributes:
        lacks_code: Whether an attempt that was due found none in this process.
    """

    def __init__(self, registry: Registry) -> None:
        self.lacks_code = False
        self._registry = registry
        self._told: set[tuple[str, str]] = set()

    def new_attempt(
        self, batch: Batch, instance_id: str, owed: OwedAttempt, owner: AttemptOwner
    ) -> Attempt | None:
        """An attempt that is owed, with its code; None if it waits for that."""
        rows = batch.view(instance_id)
        run = get_run(rows)
        if run is None:
            return None
        runnable = self.find(rows, run, instance_id, owed.path)
        if runnable is None:
            return None  # it waits for code: here, or of another owner
        return Attempt(
            instance_id=instance_id,
            run=owed.run,
            path=owed.path,
            number=owed.attempt,
            owner=owner,
            lineage=run.lineage,
            runnable=runnable,
            priority=runnable.node.priority or DEFAULT_PRIORITY,
            queued_at_ms=batch.now_ms,
            fairness_key=fairness_key_of(rows, run, runnable, owed.path),
            trace=origin_of(rows, run, runnable.graph, owed.path),
        )

    def find(
        self, rows: Rows, run: Run, instance_id: str, path: str
    ) -> Runnable | None:
        """How to run an attempt that is due; None: it waits for code, or for a tag."""
        runnable = self._registry.runnable(run.graph_digest, path)
        if runnable is not None and (
            not runnable.is_of_another
            or all(
                has_needed(rows, runnable.graph, path, need)
                for need in runnable.node.needs
            )
        ):
            return runnable
        self.lacks_code = True
        self._tell(rows, run, instance_id, path)
        return None

    def _tell(self, rows: Rows, run: Run, instance_id: str, path: str) -> None:
        if (instance_id, path) in self._told or len(self._told) >= TOLD_MAX:
            return
        graph = self._registry.by_digest(run.graph_digest)
        code = self._registry.get_own_code()
        lack = None if graph is None else code.find_lack(rows, graph, (path,))
        if lack is None or not lack.is_code:
            return
        self._told.add((instance_id, path))
        logger.warning(
            "instance.stranded",
            instance_id=instance_id,
            workflow=run.workflow,
            path=path,
            reason=f"this worker {lack}; it waits for a worker that has it",
        )


def fairness_key_of(rows: Rows, run: Run, runnable: Runnable, path: str) -> str:
    """Under which key an attempt takes its turn for a slot; empty: under that of all.

    One that cannot be made is no reason to fail: the attempt takes its turn with those
    that have none.
    """
    node = runnable.node
    if node.fairness_key is None and node.concurrency is None:
        return ""
    cursor = get_cursor(rows, chain_of(path))
    if cursor is None:
        return ""
    if node.fairness_key is None:
        wait = cursor.wait
        return wait.permit.partition(":")[2] if isinstance(wait, Awaiting) else ""
    try:
        return key_of(node.fairness_key, run.workflow, rows, runnable.graph, cursor)
    except (HistoryError, UnreadableKeyError):
        return ""
