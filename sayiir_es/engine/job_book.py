"""The jobs of one partition by token and by chain.

A chain awaits one attempt at a time, so what a changed cursor makes unwanted is found
by its chain, however many branches the instance has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.rows import chain_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.engine.execution import Job

    Key = tuple[int, str, int]
    """(run, path, attempt) within an instance."""


class JobBook:
    """Jobs that are offered, queued or running here."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[Key, Job]] = {}
        self._by_chain: dict[tuple[str, str], Job] = {}
        self._displaced: list[Job] = []

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        for jobs in list(self._jobs.values()):
            yield from list(jobs.values())

    def get(self, instance_id: str, key: Key) -> Job | None:
        """The job of an attempt."""
        return self._jobs.get(instance_id, {}).get(key)

    def put(self, job: Job) -> None:
        """Take a job in; one of the chain's earlier attempts is displaced."""
        jobs = self._jobs.setdefault(job.instance_id, {})
        jobs[job.run, job.path, job.attempt] = job
        key = (job.instance_id, chain_of(job.path))
        before = self._by_chain.get(key)
        if before is not None and before.token != job.token:
            self._displaced.append(before)
        self._by_chain[key] = job

    def remove(self, job: Job) -> None:
        """Forget a job."""
        key = (job.instance_id, chain_of(job.path))
        of_chain = self._by_chain.get(key)
        if of_chain is not None and of_chain.token == job.token:
            del self._by_chain[key]
        jobs = self._jobs.get(job.instance_id)
        if jobs is not None:
            jobs.pop((job.run, job.path, job.attempt), None)
            if not jobs:
                del self._jobs[job.instance_id]

    def touched(self, instance_id: str, chains: Iterable[str] | None) -> list[Job]:
        """The jobs of these chains (None: of all), and those displaced meanwhile."""
        found, self._displaced = self._displaced, []
        if chains is None:
            return found + list(self._jobs.get(instance_id, {}).values())
        keys = [(instance_id, chain) for chain in chains]
        return found + [self._by_chain[key] for key in keys if key in self._by_chain]

    def clear(self) -> None:
        """Forget all."""
        self._jobs.clear()
        self._by_chain.clear()
        self._displaced.clear()
