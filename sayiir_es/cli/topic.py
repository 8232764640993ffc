"""`sayiir-es topic`: make the topics of an app, or check them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows
from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from sayiir_es.client.backends import KafkaBackend
    from sayiir_es.log.kafka.log import KafkaLog
    from sayiir_es.log.port import LogIdentity


_COLUMNS = ("topic", "partitions", "id")


def create(
    *,
    partitions: Annotated[
        int | None,
        typer.Option("--partitions", min=1, help="Of commands and events; for ever."),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option("--replication", min=1, help="Copies; three, or all brokers."),
    ] = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make the topics of an app, with settings that keep history."""
    backend = _kafka_backend(url, "make")
    if backend is None:
        print_rows([], _COLUMNS, output)
        return
    from sayiir_es.log.kafka.log import (  # noqa: PLC0415 (slow to import)
        DEFAULT_PARTITIONS,
    )

    log = backend.open_kafka_log(
        partitions=partitions or DEFAULT_PARTITIONS, replication=replication
    )
    identity = asyncio.run(_open(log, create=True))
    _print(log, identity, output)
    if partitions not in (None, identity.partitions):
        raise UnsafeLogError(
            f"expected {partitions} partitions, but the app has {identity.partitions}; "
            "the count can never be changed in place"
        )


def check(
    *, url: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> None:
    """Check that no setting of the topics could lose history."""
    backend = _kafka_backend(url, "check")
    if backend is None:
        print_rows([], _COLUMNS, output)
        return
    log = backend.open_kafka_log()
    identity = asyncio.run(_open(log, create=False))
    _print(log, identity, output)
    log.check_writable()


def _kafka_backend(url: str, verb: str) -> KafkaBackend | None:
    """The backend that a URL names, if it has topics; else a message is printed."""
    backend = open_backend(url)
    from sayiir_es.client.backends import KafkaBackend  # noqa: PLC0415 (slow to import)

    if isinstance(backend, KafkaBackend):
        return backend
    print_message(f"nothing to do: {backend.url} has no topics to {verb}")
    return None


async def _open(log: KafkaLog, *, create: bool) -> LogIdentity:
    try:
        return await log.open(create=create)
    finally:
        await log.close()


def _print(log: KafkaLog, identity: LogIdentity, output: Format) -> None:
    rows = [
        {
            "topic": log.name(topic),
            "partitions": (1 if topic is Topic.DEFINITIONS else identity.partitions),
            "id": identity.topics[topic.value],
        }
        for topic in APP_TOPICS
    ]
    print_rows(rows, _COLUMNS, output)
