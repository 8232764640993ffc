"""The jobs of one partition by token and by chain.

A chain awaits one attempt at a time, so what a changed cursor makes unwanted is found
by its chain, however many branches the instance has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.engine.attempts.executor_port import Job, Token


class JobBook:
    """Jobs that are offered, queued or running here."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[Token, Job]] = {}
        self._by_chain: dict[tuple[str, str], Job] = {}
        self._displaced: list[Job] = []

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        for jobs in list(self._jobs.values()):
            yield from list(jobs.values())

    def get(self, token: Token) -> Job | None:
        """The job of an attempt."""
        jobs = self._jobs.get(token[0])
        return None if jobs is None else jobs.get(token)

    def put(self, job: Job) -> None:
        """Take a job in; one of the chain's earlier attempts is displaced."""
        jobs = self._jobs.get(job.instance_id)
        if jobs is None:
            jobs = self._jobs[job.instance_id] = {}
        jobs[job.token] = job
        key = (job.instance_id, job.chain)
        before = self._by_chain.get(key)
        if before is not None and before.token != job.token:
            self._displaced.append(before)
        self._by_chain[key] = job

    def remove(self, job: Job) -> None:
        """Forget a job."""
        key = (job.instance_id, job.chain)
        of_chain = self._by_chain.get(key)
        if of_chain is not None and of_chain.token == job.token:
            del self._by_chain[key]
        jobs = self._jobs.get(job.instance_id)
        if jobs is not None:
            jobs.pop(job.token, None)
            if not jobs:
                del self._jobs[job.instance_id]

    def touched(self, instance_id: str, chains: Iterable[str] | None) -> list[Job]:
        """The jobs of these chains (None: of all), and those displaced meanwhile."""
        found, self._displaced = self._displaced, []
        if chains is None:
            return found + list(self._jobs.get(instance_id, {}).values())
        for chain in chains:
            job = self._by_chain.get((instance_id, chain))
            if job is not None:
                found.append(job)
        return found

    def clear(self) -> None:
        """Forget all."""
        self._jobs.clear()
        self._by_chain.clear()
        self._displaced.clear()
