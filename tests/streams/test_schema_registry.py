"""A schema registry that misbehaves: what passes, what it may see, what is shown."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.core.model.errors import LogUnavailableError, SettingsError
from sayiir_es.log.framing import FramedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.settings import Settings
from sayiir_es.wire import confluent_frames
from sayiir_es.wire.commands import encode_command_avro
from sayiir_es.wire.confluent_frames import ConfluentFrames
from sayiir_es.wire.schema import HEAD_BYTES, parse_record
from sayiir_es.wire.schema_registry import SchemaRegistry
from tests.engine.harness import EngineHarness
from tests.streams.small_registry import serve_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.log.port import LogIdentity, Reader
    from tests.streams.small_registry import SmallRegistry

PASSING = [401, 403, 407, 408, 425, 429, 500, 502, 503, 504]
SCHEMA = '{"type":"record","name":"Other","fields":[]}'


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    """A registry of this test alone."""
    with serve_registry() as one:
        yield one


class FramedMemoryLog(MemoryLog):
    """A memory log whose readers ask a registry for the schemas of frames."""

    def __init__(self, registry: SmallRegistry) -> None:
        super().__init__()
        plain = MemoryLog()
        plain._topics = self._topics
        frames = ConfluentFrames(SchemaRegistry(registry.url))
        self.framed = FramedLog(plain, frames, None)

    async def open(self, *, create: bool) -> LogIdentity:
        """Open it, and register the schemas."""
        await self.framed.open(create=create)
        return await super().open(create=create)

    async def reader(  # type: ignore[override]  # any reader serves
        self, topic: Topic, partition: int, offset: int
    ) -> Reader:
        """A reader that takes frames off."""
        return await self.framed.reader(topic, partition, offset)


@pytest.mark.parametrize("status", PASSING)
def test_a_status_that_passes_is_no_verdict(
    registry: SmallRegistry, status: int
) -> None:
    registry.outages, registry.status = 2, status
    client = SchemaRegistry(registry.url)
    with pytest.raises(LogUnavailableError, match=str(status)):
        client.schema(7)
    with pytest.raises(LogUnavailableError, match=str(status)):
        client.register("a", SCHEMA)
    assert client.schema(client.register("a", SCHEMA)) == SCHEMA


@pytest.mark.parametrize("status", [409, 422])
def test_a_refused_schema_is_an_error_of_settings(
    registry: SmallRegistry, status: int
) -> None:
    registry.outages, registry.status = 1, status
    with pytest.raises(SettingsError, match=str(status)):
        SchemaRegistry(registry.url).register("a", SCHEMA)


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_command_waits_for_a_registry_and_is_decided(
    registry: SmallRegistry, status: int
) -> None:
    """No dead letter, no stopped partition; outcomes are decided meanwhile."""
    harness, gate = EngineHarness(log=FramedMemoryLog(registry)), asyncio.Event()

    async def wait(value: str) -> str:
        await gate.wait()
        return value

    async with harness.worker(Flow("wait").then(wait).build()) as engine:
        await harness.command("StartWorkflow", "first", workflow="wait", input="x")
        await harness.until_kind("PositionUpdated", "first")
        start = StartWorkflow(
            instance_id="i",
            command_id="c",
            workflow="wait",
            input=b'"y"',
            attributes={},
        )
        # The same schema under an id that no worker has read at its start.
        framed_id = max(registry.schemas) + 1
        value = encode_command_avro(start)
        registry.schemas[framed_id] = next(
            text
            for text in registry.schemas.values()
            if parse_record(text).head == value[:HEAD_BYTES]
        )
        registry.outages, registry.status = 4, status
        framed = b"\0" + framed_id.to_bytes(4, "big") + value[HEAD_BYTES:]
        await harness.log.produce(Topic.COMMANDS, 0, NewRecord(key=b"i", value=framed))
        gate.set()
        assert await harness.output("first") == "x"
        assert await harness.output("i") == "y"
        assert registry.outages == 0
        assert not engine.stopped
        claims = [e for e in await harness.events(None) if e.kind == "PartitionClaimed"]
    assert len(claims) == 1
    assert await harness.records(Topic.DEAD_LETTERS) == []


def test_a_redirect_is_followed_without_credentials(registry: SmallRegistry) -> None:
    with serve_registry() as other:
        number = other.add(SCHEMA)
        registry.redirect = other.url
        url = registry.url.replace("://", "://ana:word%2F@")
        client = SchemaRegistry(url)
        assert client.schema(number) == SCHEMA
        (sent,), (redirected,) = registry.headers, other.headers
        assert "Authorization" in sent
        assert "Authorization" not in redirected
        with pytest.raises(LogUnavailableError, match="302"):
            client.register("a", SCHEMA)
        registry.redirect = "ftp://ana:word@host"
        with pytest.raises(LogUnavailableError, match="302") as raised:
            client.schema(number)
        assert "word" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ana:s3cret@host",
        "ana:s3cret@host",
        "http://ana:s3cret@",
        "http://ana:s3cret@host:80a",
        "http://ana:s3cret@[::1",
        "http://ana:s3cret@host:99999",
        "http://ana:s3/cret@host",
        "http://ana:12/s3cret@host",
        "http://ana:12?s3cret@host",
        "http://ana:12#s3cret@host",
        "//ana:s3cret@host",
    ],
)
def test_an_unusable_url_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="schema registry") as raised:
        SchemaRegistry(url)
    text = "".join(traceback.format_exception(raised.value, chain=True))
    lines = [line for line in text.splitlines() if "Error" in line]
    assert lines
    assert "s3" not in str(raised.value)
    assert not any("cret" in line for line in lines)


def test_nothing_shows_the_password(registry: SmallRegistry) -> None:
    url = registry.url.replace("://", "://ana:s3cret@")
    client = SchemaRegistry(url)
    assert repr(client) == f"SchemaRegistry({registry.url!r})"
    settings = Settings(schema_registry_url=url)
    assert "s3cret" not in repr(settings) + str(settings)
    registry.outages = 1
    with pytest.raises(LogUnavailableError) as raised:
        client.schema(1)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    nobody = SchemaRegistry("http://ana:s3cret@127.0.0.1:1/")
    with pytest.raises(
        LogUnavailableError, match=r"127\.0\.0\.1:1 to answer"
    ) as raised:
        nobody.schema(1)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


async def test_ids_that_are_not_ours_are_forgotten_when_they_are_many(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confluent_frames, "IDS_MAX", 10)
    frames = ConfluentFrames(SchemaRegistry(registry.url))
    await frames.open()
    before = len(registry.requests)
    ours = min(registry.schemas)
    for number in (*range(10_000, 10_030), 10_029, ours, *range(10_025, 10_030)):
        await frames.unframe(b"\0" + number.to_bytes(4, "big") + b"value")
    assert len(registry.requests) - before == 30
    requested = frames._requested  # pyright: ignore[reportPrivateUsage]
    assert len(requested) == 10
    await frames.unframe(b"\0" + (10_000).to_bytes(4, "big") + b"value")
    assert len(registry.requests) - before == 31


def test_a_schema_that_never_ends_is_none_of_ours(registry: SmallRegistry) -> None:
    number = registry.add("x" * (2 << 20))
    assert SchemaRegistry(registry.url).schema(number) is None
