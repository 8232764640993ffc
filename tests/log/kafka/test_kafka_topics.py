"""What `open` creates, finds again, and refuses, on a real Kafka."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import (
    AppNotFoundError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.kafka.connection import Cluster
from sayiir_es.log.kafka.describe import describe
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.opening import Opening
from sayiir_es.log.port import APP_TOPICS, Topic
from tests import kafka_app

if TYPE_CHECKING:
    from sayiir_es.log.kafka.describe import ClusterDescription

pytestmark = pytest.mark.kafka


async def recreate(
    log: KafkaLog, topic: Topic, partitions: int, settings: dict[str, str]
) -> None:
    """Delete a topic and create it again; wait until the broker serves the new one."""
    name = log.name(topic)
    cluster = Cluster(log.bootstrap_servers, {})
    await cluster.open()
    try:
        old = (await describe(cluster, [name])).topics[name].id
        async with kafka_app.admin(log.bootstrap_servers) as admin:
            await admin.delete_topics([name])
            await kafka_app.make_topic(admin, name, partitions, settings)
        async with asyncio.timeout(kafka_app.LIMIT_S):
            while await topic_id(cluster, name) in {None, old}:  # noqa: ASYNC110 - a broker's state
                await asyncio.sleep(0.02)
    finally:
        await cluster.close()


async def topic_id(cluster: Cluster, name: str) -> str | None:
    """Return the id under which the broker serves a topic; None if it does not."""
    try:
        topics = (await describe(cluster, [name])).topics
    except LogUnavailableError:  # it has the topic, but not its settings yet
        return None
    return topics[name].id if name in topics else None


async def reopen(log: KafkaLog) -> KafkaLog:
    again = KafkaLog(log.bootstrap_servers, app=log.app, partitions=5)
    await again.open(create=True)
    await again.close()
    return again


async def test_the_first_open_makes_all_topics_and_the_next_finds_the_same_log(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=3) as log:
        assert log.partitions == 3
        again = KafkaLog(kafka_bootstrap, app=log.app)
        identity = await again.open(create=False)
        await again.close()
        assert identity.partitions == 3
        assert set(identity.topics) == {topic.value for topic in APP_TOPICS}
        assert identity.cluster_id
        assert all(len(topic_id) == 22 for topic_id in identity.topics.values())


async def test_one_broker_is_accepted_with_a_warning(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        assert "one copy of history" in log.warnings[0]


async def test_whoever_may_not_create_finds_no_topics_and_makes_none(
    kafka_bootstrap: str,
) -> None:
    log = KafkaLog(kafka_bootstrap, app=f"t-{secrets.token_hex(4)}")
    for _ in range(2):
        with pytest.raises(AppNotFoundError, match="but there is no topic"):
            await log.open(create=False)


async def test_whoever_mistypes_an_app_is_told_which_ones_are_like_it(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        mistyped = KafkaLog(kafka_bootstrap, app=log.app.replace("t-", "tt-"))
        with pytest.raises(AppNotFoundError, match=f"like it are there: .*{log.app}"):
            await mistyped.open(create=False)


async def test_processes_that_open_at_the_same_time_make_one_app(
    kafka_bootstrap: str,
) -> None:
    app = f"t-{secrets.token_hex(4)}"
    logs = [KafkaLog(kafka_bootstrap, app=app, partitions=n) for n in (2, 3, 4)]
    identities = await asyncio.gather(*(log.open(create=True) for log in logs))
    for log in logs:
        await log.close()
    assert identities[0] == identities[1] == identities[2]


async def test_a_missing_topic_is_refused(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        async with kafka_app.admin(kafka_bootstrap) as admin:
            await kafka_app.delete_topic(admin, log.name(Topic.DEAD_LETTERS))
        with pytest.raises(UnsafeLogError, match=r"dead-letters'\] is missing"):
            await reopen(log)


@pytest.mark.parametrize("topic", [Topic.EVENTS, Topic.COMMANDS])
async def test_a_topic_that_was_deleted_and_made_again_is_refused(
    kafka_bootstrap: str, topic: Topic
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        await recreate(log, topic, 2, {"retention.ms": "-1"})
        with pytest.raises(UnsafeLogError, match=f"'{topic.value}'.* made again"):
            await reopen(log)


async def test_a_raised_partition_count_is_refused(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        async with kafka_app.admin(kafka_bootstrap) as admin:
            for topic in (Topic.EVENTS, Topic.COMMANDS):
                await kafka_app.raise_partitions(admin, log.name(topic), 3)
        with pytest.raises(UnsafeLogError, match=r"has 3 partitions, .* made with 2"):
            await reopen(log)
        reading = KafkaLog(kafka_bootstrap, app=log.app)
        assert (await reading.open(create=False)).partitions == 2
        assert len(reading.faults) == 2
        await reading.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"retention.ms": "3600000"}, "retention.ms=3600000: set -1"),
        (
            {"retention.ms": "-1", "retention.bytes": "9"},
            "retention.bytes=9: set -1",
        ),
        (
            {"retention.ms": "-1", "cleanup.policy": "compact"},
            "cleanup.policy=compact: set delete",
        ),
    ],
)
async def test_events_that_could_be_removed_are_refused_with_the_value_to_set(
    kafka_bootstrap: str, settings: dict[str, str], words: str
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        async with kafka_app.admin(kafka_bootstrap) as admin:
            await kafka_app.set_topic(admin, log.name(Topic.EVENTS), settings)
        with pytest.raises(UnsafeLogError, match=words):
            await reopen(log)


class Overtaken(Opening):
    """What it reads first was so before another process had made the app."""

    is_first = True

    async def _describe_app(self) -> tuple[ClusterDescription, bytes | None]:
        description, app_record = await super()._describe_app()
        is_first, self.is_first = self.is_first, False
        return description, None if is_first else app_record


@pytest.mark.parametrize("create", [True, False])
async def test_an_app_that_another_one_makes_and_begins_meanwhile_is_opened(
    kafka_bootstrap: str, *, create: bool
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(1)
        await appender.append([kafka_app.record(b"history")])
        await appender.close()
        cluster = Cluster(log.bootstrap_servers, {})
        await cluster.open()
        try:
            opening = Overtaken(cluster, log.app, limit_s=kafka_app.LIMIT_S)
            found = await opening.open_app(
                create=create, partitions=log.partitions, replication=1
            )
        finally:
            await cluster.close()
        assert found.identity.partitions == log.partitions


async def test_a_lost_app_record_is_refused_once_there_is_history(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(1)
        await appender.append([kafka_app.record(b"history")])
        await appender.close()
        await recreate(log, Topic.DEFINITIONS, 1, {"cleanup.policy": "compact"})
        with pytest.raises(UnsafeLogError, match="the record was deleted"):
            await reopen(log)


async def test_an_address_where_nothing_answers_is_unavailable() -> None:
    log = KafkaLog("127.0.0.1:1", connect_limit_s=0.3)
    words = r"127\.0\.0\.1:1.*none answered in 0\.3 s \(SAYIIR_KAFKA_CONNECT_LIMIT\)"
    with pytest.raises(LogUnavailableError, match=words):
        await log.open(create=True)
