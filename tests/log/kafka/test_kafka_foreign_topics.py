"""Topics that a broker made by itself, and brokers with rules of their own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import AppNotFoundError, UnsafeLogError
from sayiir_es.log.kafka.connection import Cluster
from sayiir_es.log.kafka.describe import ClusterDescription, describe
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import APP_TOPICS, Topic
from tests import kafka_app
from tests.broker import LocalBroker
from tests.kafka_java import MissingToolError
from tests.kafka_proxy import ManagedBroker
from tests.without_kafka import without_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def creating_broker() -> Iterator[str]:
    """A broker that makes a topic for whoever names it, as brokers do by default."""
    settings = {"auto.create.topics.enable": "true", "num.partitions": "1"}
    try:
        with LocalBroker(settings=settings) as broker:
            yield broker.bootstrap
    except MissingToolError as error:
        without_kafka(str(error))


@pytest.fixture(scope="module")
def managed() -> Iterator[ManagedBroker]:
    try:
        with ManagedBroker() as broker:
            yield broker
    except MissingToolError as error:
        without_kafka(str(error))


@pytest.fixture
def managed_broker(managed: ManagedBroker) -> ManagedBroker:
    """The broker without rules yet."""
    managed.refused.clear()
    managed.hidden.clear()
    managed.hides_all = False
    return managed


async def look_at(bootstrap: str, app: str) -> ClusterDescription:
    cluster = Cluster(bootstrap, {})
    await cluster.open()
    try:
        return await describe(cluster, [f"{app}.{topic.value}" for topic in Topic])
    finally:
        await cluster.close()


async def open_once(bootstrap: str, app: str, *, create: bool = True) -> KafkaLog:
    log = KafkaLog(bootstrap, app=app, partitions=4)
    await log.open(create=create)
    await log.close()
    return log


def new_app() -> str:
    return f"t-{secrets.token_hex(4)}"


# --- topics that the broker made ------------------------------------------------------


async def test_a_first_record_before_the_first_worker_is_kept_and_the_app_completed(
    creating_broker: str,
) -> None:
    app = new_app()
    async with kafka_app.producer(creating_broker) as stranger:
        await stranger.send_and_wait(f"{app}.commands", b"{}", key=b"order-7")
    log = await open_once(creating_broker, app)
    assert log.partitions == 4
    now = await look_at(creating_broker, app)
    commands = now.topics[f"{app}.commands"]
    assert commands.partitions == 4
    assert commands.settings["compression.type"] == "uncompressed"
    assert now.topics[f"{app}.events"].settings["retention.ms"] == "-1"
    await log.open(create=False)
    assert await log.end_offset(Topic.COMMANDS, 0) == 1
    await log.close()


@pytest.mark.parametrize("topics", [(Topic.EVENTS,), APP_TOPICS])
async def test_empty_topics_of_a_first_reader_are_given_what_an_app_needs(
    creating_broker: str, topics: tuple[Topic, ...]
) -> None:
    app = new_app()
    async with kafka_app.producer(creating_broker) as stranger:
        for topic in topics:  # whoever asks for the partitions makes the topic
            await stranger.partitions_for(f"{app}.{topic.value}")
    await open_once(creating_broker, app)
    now = await look_at(creating_broker, app)
    events = now.topics[f"{app}.events"]
    assert (events.partitions, events.settings["retention.ms"]) == (4, "-1")
    definitions = now.topics[f"{app}.definitions"]
    assert (definitions.partitions, definitions.settings["cleanup.policy"]) == (
        1,
        "compact",
    )
    assert now.topics[f"{app}.dead-letters"].partitions == 4


async def test_what_somebody_set_on_a_topic_stays(creating_broker: str) -> None:
    app = new_app()
    async with kafka_app.admin(creating_broker) as admin:
        await kafka_app.make_topic(admin, f"{app}.events", 2, {"retention.ms": "-1"})
        month = {"retention.ms": "2592000000"}
        await kafka_app.make_topic(admin, f"{app}.commands", 2, month)
    log = await open_once(creating_broker, app)
    assert log.partitions == 2
    commands = (await look_at(creating_broker, app)).topics[f"{app}.commands"]
    assert commands.settings["retention.ms"] == "2592000000"


async def test_events_that_somebody_lets_expire_are_refused_and_not_changed(
    creating_broker: str,
) -> None:
    app = new_app()
    async with kafka_app.admin(creating_broker) as admin:
        await kafka_app.make_topic(admin, f"{app}.events", 2, {"retention.ms": "999"})
    with pytest.raises(UnsafeLogError, match=r"retention.ms=999: set -1.*doctor --fix"):
        await open_once(creating_broker, app)
    events = (await look_at(creating_broker, app)).topics[f"{app}.events"]
    assert events.settings["retention.ms"] == "999"


async def test_events_without_an_app_record_are_refused(creating_broker: str) -> None:
    app = new_app()
    async with kafka_app.producer(creating_broker) as stranger:
        await stranger.send_and_wait(f"{app}.events", b"history")
    for create in (True, False):
        with pytest.raises(UnsafeLogError, match="has history"):
            await open_once(creating_broker, app, create=create)


async def test_a_reader_makes_nothing_of_what_a_broker_made(
    creating_broker: str,
) -> None:
    app = new_app()
    async with kafka_app.producer(creating_broker) as stranger:
        await stranger.partitions_for(f"{app}.commands")
    with pytest.raises(AppNotFoundError, match="the first worker completes the app"):
        await open_once(creating_broker, app, create=False)
    assert list((await look_at(creating_broker, app)).topics) == [f"{app}.commands"]


# --- brokers with rules ---------------------------------------------------------------


async def test_a_refused_setting_is_left_out_and_told_with_the_line_to_run(
    managed_broker: ManagedBroker,
) -> None:
    managed_broker.refused = {"unclean.leader.election.enable"}
    app = new_app()
    log = await open_once(managed_broker.bootstrap, app)
    (warning, *_) = [w for w in log.warnings if f"{app}.events was made" in w]
    assert "not allowed in this cluster" in warning
    assert (
        f"--entity-name {app}.events --add-config unclean.leader.election.enable=false"
        in warning
    )
    now = (await look_at(managed_broker.bootstrap, app)).topics[f"{app}.events"]
    assert now.settings["retention.ms"] == "-1"
    assert "compression.type" in now.own
    assert "unclean.leader.election.enable" not in now.own
    assert (await open_once(managed_broker.bootstrap, app)).partitions == 4


async def test_a_cluster_that_lets_no_topic_keep_events_gets_none(
    managed_broker: ManagedBroker,
) -> None:
    managed_broker.refused = {"retention.ms"}
    app = new_app()
    with pytest.raises(UnsafeLogError, match=r"not allowed in this .*kafka-topics\.sh"):
        await open_once(managed_broker.bootstrap, app)
    assert f"{app}.events" not in (await look_at(managed_broker.bootstrap, app)).topics


@pytest.mark.parametrize(
    "hidden", [{"unclean.leader.election.enable", "max.message.bytes"}, None]
)
async def test_hidden_settings_are_warned_of_and_the_app_works(
    managed_broker: ManagedBroker, hidden: set[str] | None
) -> None:
    managed_broker.hidden = hidden or set()
    managed_broker.hides_all = hidden is None
    app = new_app()
    await open_once(managed_broker.bootstrap, app)
    log = await open_once(managed_broker.bootstrap, app)
    hides = any("the broker hides it" in warning for warning in log.warnings)
    assert hides == managed_broker.hides_all  # with one copy no election is unclean
    await log.open(create=False)
    appender = await log.appender(1)
    assert await appender.append([kafka_app.record(b"an event")]) == 0
    await appender.close()
    await log.close()
