"""Finds brokers again that have all changed their addresses.

aiokafka asks the brokers that it knows who the brokers are by now. Where all of them
have other addresses, as after a restart in containers, nobody is left to ask. Then the
addresses that the program was given are asked, which are names mostly. So a private
method of its client is wrapped here, on the instance, and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from sayiir_es.log.kafka.access import connection_options
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_logger = get_logger(__name__)

# An address that is nobody's any more may swallow what is sent to it, for a time-out
# each. Longer than any broker takes to answer that is there.
KNOWN_LIMIT_S = 5.0
# Between two lines that say that the names lead to another cluster.
WARNING_INTERVAL_S = 10.0


def follow_names(
    client: Any, options: Mapping[str, Any], cluster_id: Callable[[], str | None]
) -> None:
    """From now on let a client ask the bootstrap addresses when no broker answers.

    `cluster_id` gives the cluster that it is to stay with; None as long as any will do.
    """
    update: Callable[[Any, Any], Awaitable[bool]]
    update = client._metadata_update  # noqa: SLF001 - see the module's docstring

    warned_at_s = float("-inf")

    async def ask_by_name(cluster: Any, topics: Any) -> bool:
        nonlocal warned_at_s
        for address in client.hosts:
            metadata = await _ask(address, options, topics)
            if metadata is None or not metadata.brokers:
                continue
            host, port, _ = address
            if cluster_id() not in (None, metadata.cluster_id):
                if time.monotonic() - warned_at_s >= WARNING_INTERVAL_S:
                    warned_at_s = time.monotonic()
                    _logger.error(
                        "log.cluster_refused",
                        reason=f"expected cluster {cluster_id()!r} at {host}:{port}, "
                        f"but it is {metadata.cluster_id!r}",
                    )
                continue
            cluster.update_metadata(metadata)
            _logger.info("log.brokers_found", reason=f"{host}:{port} names them")
            return True
        return False

    async def update_by_name(cluster: Any, topics: Any) -> bool:
        known = asyncio.ensure_future(update(cluster, topics))
        try:
            await asyncio.wait((known,), timeout=KNOWN_LIMIT_S)
            if known.done() and known.result():
                return True
            if await ask_by_name(cluster, topics):
                return True
            return await known
        finally:
            known.cancel()

    client._metadata_update = update_by_name  # noqa: SLF001 - same


async def _ask(address: Any, options: Mapping[str, Any], topics: Any) -> Any:
    """What a bootstrap address says of the brokers and topics; None: nothing."""
    host, port, _ = address
    try:
        connection = await create_conn(host, port, **connection_options(options))
        try:
            return await connection.send(
                MetadataRequest(list(topics) if topics else None)
            )
        finally:
            connection.close()
    except (KafkaError, OSError, TimeoutError):
        return None
