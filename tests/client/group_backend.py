"""A log in memory whose clients own nothing: owners are workers, as on Kafka."""

from __future__ import annotations

from sayiir_es import InMemoryBackend


class GroupBackend(InMemoryBackend):
    """As `InMemoryBackend`, but a call does not own the log."""

    owns_on_call = False
