"""The attempts of one partition by chain, and by token through it.

A chain awaits one attempt at a time, so what a changed cursor makes unwanted is found
by its chain, however many branches the instance has. Where an earlier attempt of the
chain is still here (it runs on, or its outcome is not decided for good), the latest one
leads to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import chain_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.engine.attempts.attempt import Attempt, Token


class AttemptIndex:
    """Attempts that are offered, queued, running or reported here."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Attempt]] = {}
        """The latest attempt by instance and chain; see `Attempt.earlier`."""
        self.count = 0
        """How many there are."""

    def __bool__(self) -> bool:
        return bool(self._latest)

    def __iter__(self) -> Iterator[Attempt]:
        """All that are here; what comes or goes meanwhile does no harm."""
        for instance_id in list(self._latest):
            yield from self.of_chains(instance_id, None)

    def holds(self, instance_id: str) -> bool:
        """Whether an attempt of the instance is here."""
        return instance_id in self._latest

    def get(self, token: Token) -> Attempt | None:
        """The attempt with a token."""
        by_chain = self._latest.get(token[0])
        attempt = None if by_chain is None else by_chain.get(chain_of(token[2]))
        while attempt is not None and attempt.token != token:
            attempt = attempt.earlier
        return attempt

    def of_chains(
        self, instance_id: str, chains: Iterable[str] | None
    ) -> Iterator[Attempt]:
        """The attempts of these chains of an instance; None: of all its chains.

        What it yields may be removed at once.
        """
        by_chain = self._latest.get(instance_id)
        if by_chain is None:
            return
        for chain in list(by_chain) if chains is None else chains:
            attempt = by_chain.get(chain)
            while attempt is not None:
                earlier = attempt.earlier
                yield attempt
                attempt = earlier

    def put(self, attempt: Attempt) -> None:
        """Take an attempt in, as the latest of its chain."""
        by_chain = self._latest.get(attempt.instance_id)
        if by_chain is None:
            by_chain = self._latest[attempt.instance_id] = {}
        self.count += 1
        attempt.earlier = by_chain.get(attempt.chain)
        by_chain[attempt.chain] = attempt

    def remove(self, attempt: Attempt) -> None:
        """Forget an attempt; nothing where it is not here."""
        by_chain = self._latest.get(attempt.instance_id)
        later = None if by_chain is None else by_chain.get(attempt.chain)
        if by_chain is None or later is None:
            return
        if later is attempt:
            self.count -= 1
            if attempt.earlier is not None:
                by_chain[attempt.chain] = attempt.earlier
            else:
                del by_chain[attempt.chain]
                if not by_chain:
                    del self._latest[attempt.instance_id]
            return
        while later.earlier is not None:
            if later.earlier is attempt:
                later.earlier = attempt.earlier
                self.count -= 1
                return
            later = later.earlier

    def clear(self) -> None:
        """Forget all."""
        self._latest.clear()
        self.count = 0
