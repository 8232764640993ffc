"""Commands on partitions that somebody added: nobody reads them there.

An app keeps the number of partitions that it was made with. A producer that hashes by
the number that the topic has now writes some commands where no owner looks. They are
written again where they belong, each with the ids that its place gives it: who forwards
a command twice starts and signals once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import DecodeError, LogUnavailableError
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.commands import decode_command, encode_command_avro

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.kafka.log import KafkaLog, StrayCommands
    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0


async def forward(
    log: Log, kafka_log: KafkaLog, strays: Sequence[StrayCommands]
) -> tuple[int, str | None]:
    """Write commands again where an owner reads them, and delete them where they stood.

    Returns how many, and why they could not be deleted, if they could not.

    Raises:
        LogUnavailableError: if nothing answers; what was not written stays.
    """
    count, kept = 0, None
    for stray in strays:
        offset = stray.start
        reader = await log.reader(Topic.COMMANDS, stray.partition, offset)
        try:
            while offset < stray.end:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    continue
                # Those of one partition land in the order of the calls.
                await asyncio.gather(
                    *(_write(log, stray.partition, one) for one in chunk.records)
                )
                count += len(chunk.records)
                offset = chunk.end
        finally:
            await reader.close()
        try:
            await kafka_log.delete_commands(stray.partition, stray.end)
        except LogUnavailableError as error:
            kept = str(error)
    return count, kept


async def _write(log: Log, partition: int, record: Record) -> None:
    key, value = record.key, record.value
    try:
        command = decode_command(
            key=key, value=value, partition=partition, offset=record.offset
        )
        key, value = command.instance_id.encode(), encode_command_avro(command)
    except DecodeError:
        pass  # whoever owns its partition puts it aside, with the reason
    home = partition_of(key, log.partitions) if key else 0
    again = NewRecord(key=key, value=value, headers=record.headers)
    await log.produce(Topic.COMMANDS, home, again)
