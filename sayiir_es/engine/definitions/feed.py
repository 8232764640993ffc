"""Reads and writes the definitions topic, for the registry of this process.

Who has the code of a workflow publishes its graph before using it; who decides reads
the topic to its end before calling a workflow unknown. There is one record for each
graph, with its digest as key; the record with the key `app` belongs to the log. Each
worker has a record with its capabilities, so that a client can say why an attempt
waits, and each partition one with the loss of commands that was accepted, if one was.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.engine.definitions.accepted_loss import read_accepted_loss
from sayiir_es.engine.definitions.capabilities import read_capabilities
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.engine.definitions.accepted_loss import AcceptedLoss
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.log.port import Log, Reader

logger = get_logger(__name__)

APP_KEY = b"app"
WORKER_KEY = b"worker:"
"""The beginning of a worker's key, before its owner id; the value is `Capabilities`."""

LOSS_KEY = b"loss:"
"""The beginning of the key of a loss, before its partition; see `AcceptedLoss`."""

READ_WAIT_S = 1.0
"""How long one read waits, in seconds, before it is repeated."""


class DefinitionFeed:
    """Brings a registry up to date with the topic, on request.

    Every method raises `LogError` if the log does not answer.
    """

    def __init__(self, log: Log, registry: Registry) -> None:
        self._log = log
        self._registry = registry
        self._reader: Reader | None = None
        self._next = 0
        self._lock = asyncio.Lock()
        self._published: set[bytes] = set()

    async def refresh(self) -> None:
        """Read everything that was published until now."""
        async with self._lock:
            end = await self._log.end_offset(Topic.DEFINITIONS, 0)
            if self._reader is None:
                self._next = await self._log.start_offset(Topic.DEFINITIONS, 0)
                self._reader = await self._log.reader(Topic.DEFINITIONS, 0, self._next)
            while self._next < end:
                chunk = await self._reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    continue
                for record in chunk.records:
                    self._take(record.key, record.value)
                self._next = chunk.end

    async def publish(self, workflow: Workflow, *, deployed: bool = False) -> None:
        """Register a workflow here, and publish its graph unless the topic has it.

        Where it is `deployed`, its graph becomes the latest of its name, though the
        topic has it: a worker with it follows one with another graph, as in a rollback.
        What it starts as instances of their own comes before it.
        """
        for child in workflow.children:
            await self.publish(child, deployed=deployed)
        graph = workflow.graph
        key = graph.digest.encode()
        if key in self._published and not deployed:
            self._registry.register(workflow)
            return  # what is published stays: nothing new is to be read
        await self.refresh()
        self._registry.register(workflow)
        is_current = not deployed or self._registry.is_latest(graph)
        if key in self._published and is_current:
            return
        await self._log.produce(
            Topic.DEFINITIONS, 0, NewRecord(key=key, value=record_of_graph(graph))
        )
        await self.refresh()

    async def announce(self, owner_id: str, refusals: Mapping[int, Refusal]) -> None:
        """Publish what this process, as `owner_id`, can run, and what it refuses."""
        value = self._registry.get_own_capabilities(refusals).record()
        await self._log.produce(
            Topic.DEFINITIONS,
            0,
            NewRecord(key=WORKER_KEY + owner_id.encode(), value=value),
        )

    async def withdraw(self, owner_id: str) -> None:
        """Remove what `announce` published."""
        await self._log.produce(
            Topic.DEFINITIONS,
            0,
            NewRecord(key=WORKER_KEY + owner_id.encode(), value=None),
        )

    async def accept_loss(self, partition: int, loss: AcceptedLoss) -> None:
        """Let a partition be served on without commands that it has lost."""
        key = LOSS_KEY + str(partition).encode()
        await self._log.produce(
            Topic.DEFINITIONS, 0, NewRecord(key=key, value=loss.record())
        )

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        if key is None or key == APP_KEY:
            return
        try:
            if key.startswith(WORKER_KEY):
                owner_id = key[len(WORKER_KEY) :].decode("utf-8", "replace")
                capabilities = read_capabilities(value) if value else None
                self._registry.set_capabilities(owner_id, capabilities)
            elif key.startswith(LOSS_KEY):
                partition = key[len(LOSS_KEY) :].decode("utf-8", "replace")
                if value and partition.isdecimal():
                    loss = read_accepted_loss(value)
                    self._registry.set_accepted_loss(int(partition), loss)
            elif value:
                self._registry.publish(value)
                self._published.add(key)
        except DecodeError as error:
            # Of a newer build, or of another program. A command that needs it will be
            # rejected, and name it.
            logger.warning("definition.skipped", reason=str(error))
