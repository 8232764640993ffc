"""Finds the code of attempts that are due, and says once of each that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.permits import key_of
from sayiir_es.core.fast_frozen import maker
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
    from sayiir_es.engine.attempts.remote.executors import ExecutorTable
    from sayiir_es.engine.definitions.job import Job
    from sayiir_es.engine.definitions.registry import Registry, Runnable

logger = get_logger(__name__)

_new_attempt = maker(Attempt)

TOLD_MAX = 1_000
"""Instances and paths of which the log is told; of more it would tell nothing new."""


class CodeFinder:
    """The code of the attempts of one partition.

    Attributes:
        lacks_code: Whether an attempt that was due found none in this process.
    """

    def __init__(self, registry: Registry, executors: ExecutorTable | None) -> None:
        self.lacks_code = False
        self._registry = registry
        self._executors = executors
        self._told: set[tuple[str, str]] = set()

    def new_attempt(
        self, batch: Batch, instance_id: str, owed: OwedAttempt, owner: AttemptOwner
    ) -> Attempt | None:
        """An attempt that is owed, with its code; None if it waits for that."""
        rows = batch.view(instance_id)
        run = get_run(rows)
        if run is None:
            return None
        runnable = self._find_here(rows, run, owed.path)
        job = self._find_elsewhere(run, owed.path) if self._executors else None
        if not _is_any(runnable, job):
            self.lacks_code = True
            self._tell(rows, run, instance_id, owed.path)
            return None  # it waits for code: here, elsewhere, or of another owner
        work = runnable or job
        assert work is not None
        return _new_attempt(
            instance_id=instance_id,
            run=owed.run,
            path=owed.path,
            number=owed.attempt,
            owner=owner,
            lineage=run.lineage,
            runnable=runnable,
            job=job,
            priority=work.node.priority or DEFAULT_PRIORITY,
            queued_at_ms=batch.now_ms,
            fairness_key=fairness_key_of(rows, run, work, owed.path),
            trace=origin_of(rows, run, work.graph, owed.path),
        )

    def is_run(self, rows: Rows, path: str) -> bool:
        """Whether an attempt there can begin now, here or elsewhere."""
        run = get_run(rows)
        if run is None:
            return False
        runnable = self._find_here(rows, run, path)
        return _is_any(runnable, self._find_elsewhere(run, path))

    def _find_here(self, rows: Rows, run: Run, path: str) -> Runnable | None:
        """How to run an attempt in this process; None: it lacks the code, or a tag."""
        runnable = self._registry.runnable(run.graph_digest, path)
        if runnable is not None and (
            not runnable.is_of_another
            or all(
                has_needed(rows, runnable.graph, path, need)
                for need in runnable.node.needs
            )
        ):
            return runnable
        return None

    def _find_elsewhere(self, run: Run, path: str) -> Job | None:
        """What an executor elsewhere is to run, or may; None: none of them could."""
        if not self._executors:
            return None
        job = self._registry.job(run.graph_digest, path)
        return job if job is not None and self._executors.is_run(job) else None

    def _tell(self, rows: Rows, run: Run, instance_id: str, path: str) -> None:
        if (instance_id, path) in self._told or len(self._told) >= TOLD_MAX:
            return
        graph = self._registry.by_digest(run.graph_digest)
        code = self._registry.get_own_code()
        lack = None if graph is None else code.find_lack(rows, graph, (path,))
        if lack is None or not lack.is_stranding:
            return
        self._told.add((instance_id, path))
        logger.warning(
            "instance.stranded",
            instance_id=instance_id,
            workflow=run.workflow,
            path=path,
            reason=(
                f"this worker {lack}; it waits for "
                + ("one" if lack.kind == "executor" else "a worker that has it")
            ),
        )


def _is_any(runnable: Runnable | None, job: Job | None) -> bool:
    return job is not None or (
        runnable is not None and runnable.node.execute != "remote"
    )


def fairness_key_of(rows: Rows, run: Run, work: Runnable | Job, path: str) -> str:
    """Under which key an attempt takes its turn for a slot; empty: under that of all.

    One that cannot be made is no reason to fail: the attempt takes its turn with those
    that have none.
    """
    node = work.node
    if node.fairness_key is None and node.concurrency is None:
        return ""
    cursor = get_cursor(rows, chain_of(path))
    if cursor is None:
        return ""
    if node.fairness_key is None:
        wait = cursor.wait
        return wait.permit.partition(":")[2] if isinstance(wait, Awaiting) else ""
    try:
        return key_of(node.fairness_key, run.workflow, rows, work.graph, cursor)
    except (HistoryError, UnreadableKeyError):
        return ""
