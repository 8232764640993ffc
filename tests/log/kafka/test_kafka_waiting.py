"""Programs that come before their broker wait for it, and say so."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.kafka.log import KafkaLog
from tests.captured_logs import capture_logs
from tests.kafka_app import until

if TYPE_CHECKING:
    from tests.broker import LocalBroker

pytestmark = pytest.mark.kafka


async def test_a_log_is_opened_when_its_broker_comes_and_the_wait_is_told_once(
    local_broker: LocalBroker,
) -> None:
    local_broker.kill(1)
    told: list[str] = []
    log = KafkaLog(
        local_broker.bootstrap,
        app=f"t-{secrets.token_hex(4)}",
        connect_limit_s=60.0,
        on_wait=told.append,
    )
    with capture_logs() as lines:
        opening = asyncio.create_task(log.open(create=True))
        await until(lambda: bool(told))
        local_broker.launch(1)
        await until(lambda: local_broker.serves(1))
        await opening
    await log.close()
    waits = [line for line in lines if line["event"] == "log.broker_awaited"]
    assert [line["reason"] for line in waits] == told
    assert "60 s in all (SAYIIR_KAFKA_CONNECT_LIMIT)" in told[0]
    assert len(told) <= 2


async def test_a_broker_that_never_comes_is_an_error_that_names_the_setting() -> None:
    told: list[str] = []
    log = KafkaLog("127.0.0.1:1", connect_limit_s=1.5, on_wait=told.append)
    with pytest.raises(LogUnavailableError, match=r"1\.5 s .SAYIIR_KAFKA_CONNECT_L"):
        await log.open(create=False)
    assert len(told) == 1
