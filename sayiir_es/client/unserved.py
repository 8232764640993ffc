"""Why nobody decides for a partition, as far as a client can tell.

Workers announce which partitions they refuse, and why. The last claim names the worker
that decided last; the brokers know of transactions that hold commands back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.engine.blocked_commands import BLOCKED_MS, find_blocking
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.log.port import Log

NAMED_MAX = 3
"""How many workers a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a partition is not served, and what to do: two clauses."""

    cause: str
    fix: str
    is_without_worker: bool = False
    """Whether no worker is announced at all."""

    def __str__(self) -> str:
        return f"{self.cause}; {self.fix}"


def find_refusal(
    registry: Registry, partition: int, owner: str | None
) -> Obstacle | None:
    """What the workers announce, if none of them serves the partition.

    `owner` made the last claim; it serves unless it refuses, if it still runs.
    """
    workers = registry.workers()
    refusals = {
        owner_id: capabilities.refusals[partition]
        for owner_id, capabilities in workers.items()
        if partition in capabilities.refusals
    }
    is_served = owner in workers and owner not in refusals
    if not refusals or is_served:
        return None
    named = [
        f"worker {owner_id.partition('/')[0]!r} gave partition {partition} up: {one}"
        for owner_id, one in sorted(refusals.items())[:NAMED_MAX]
    ]
    if len(refusals) > NAMED_MAX:
        named.append(f"{len(refusals) - NAMED_MAX} more workers gave it up")
    others = len(workers) - len(refusals)
    fix = (
        "no other worker has claimed it yet"
        if others
        else "mend that, or start a worker elsewhere or of a newer build"
    )
    return Obstacle(cause="; ".join(named), fix=fix)


async def find_open_transaction(
    log: Log, partition: int, *, silent_ms: int = BLOCKED_MS
) -> Obstacle | None:
    """The transaction that holds back the commands of a partition, if one does.

    One whose producer wrote within the last `silent_ms` is left out.
    """
    now_ms = time.time_ns() // 1_000_000
    blocking = await find_blocking(log, partition, now_ms, silent_ms=silent_ms)
    if blocking is None:
        return None
    return Obstacle(
        cause=f"the commands of partition {partition} are {blocking}",
        fix="end that transaction, or let the broker abort it when its time is up "
        "(transaction.timeout.ms)"
        + (f"; an admin ends it by `{blocking.advice}`" if blocking.advice else ""),
    )


async def find_loss(log: Log, partition: int, next_command: int) -> Obstacle | None:
    """What a partition says whose next command is gone; None where it is there."""
    start = await log.start_offset(Topic.COMMANDS, partition)
    if start <= next_command:
        return None
    return Obstacle(
        cause=f"commands {next_command} to {start - 1} of partition {partition} were "
        "deleted before anybody read them",
        fix="have them sent again, then `sayiir-es partition accept-loss "
        f"{partition}` goes on without them",
    )


async def explain(
    log: Log, registry: Registry, partition: int, owner: str | None
) -> Obstacle:
    """Why a command on a partition got no answer; the registry must be up to date."""
    obstacle = find_refusal(registry, partition, owner)
    if obstacle is None:
        obstacle = await find_open_transaction(log, partition, silent_ms=0)
    if obstacle is not None:
        return obstacle
    names = sorted({owner_id.partition("/")[0] for owner_id in registry.workers()})
    if not names:
        return no_worker(partition)
    return Obstacle(
        cause=f"no worker answered for partition {partition}, though these are "
        f"announced: {', '.join(names[:NAMED_MAX])}",
        fix="they may be gone or behind: look at their logs, or start one with "
        "`sayiir-es worker run MODULE`",
    )


def no_worker(partition: int) -> Obstacle:
    """What is to be said where no worker is announced."""
    return Obstacle(
        cause=f"no worker owns partition {partition}",
        fix="start one with `sayiir-es worker run MODULE`",
        is_without_worker=True,
    )
