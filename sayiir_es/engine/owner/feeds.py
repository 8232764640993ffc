"""Where the inputs of a partition come from, beside its dispatcher and its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sayiir_es.engine.commands.feed import CommandFeed
    from sayiir_es.engine.commands.source_reads import SourceReads
    from sayiir_es.engine.owner.outbox import Outbox


class Feeds(NamedTuple):
    """What one tenure reads commands and sources of forks with, and what it sends."""

    feed: CommandFeed
    sources: SourceReads
    outbox: Outbox
