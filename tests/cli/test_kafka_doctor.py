"""`sayiir-es doctor --fix` on topics that somebody else made or changed."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.log.kafka.connection import Cluster
from sayiir_es.log.kafka.describe import TopicDescription, describe
from tests import kafka_app
from tests.broker import LocalBroker
from tests.kafka_java import MissingToolError
from tests.kafka_proxy import ManagedBroker
from tests.without_kafka import without_kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def creating_broker() -> Iterator[str]:
    """A broker that makes topics of three partitions for whoever names them."""
    settings = {"auto.create.topics.enable": "true", "num.partitions": "3"}
    try:
        with LocalBroker(settings=settings) as broker:
            yield broker.bootstrap
    except MissingToolError as error:
        without_kafka(str(error))


@pytest.fixture
def app(
    terminal: Terminal, creating_broker: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The name of an app that is not there yet, named by SAYIIR_BACKEND."""
    name = f"t-{secrets.token_hex(4)}"
    monkeypatch.setenv("SAYIIR_BACKEND", f"kafka://{creating_broker}/{name}")
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    return name


def look_at(bootstrap: str, topic: str) -> TopicDescription:
    async def look() -> TopicDescription:
        cluster = Cluster(bootstrap, {})
        await cluster.open()
        try:
            return (await describe(cluster, [topic])).topics[topic]
        finally:
            await cluster.close()

    return asyncio.run(look())


def as_admin(
    bootstrap: str, work: Callable[[Any], Coroutine[object, object, None]]
) -> None:
    async def body() -> None:
        async with kafka_app.admin(bootstrap) as hands:
            await work(hands)

    asyncio.run(body())


def write(bootstrap: str, topic: str) -> None:
    async def body() -> None:
        async with kafka_app.producer(bootstrap) as stranger:
            await stranger.send_and_wait(topic, b"{}", key=b"order-7")

    asyncio.run(body())


def test_what_a_broker_made_is_told_and_completed_after_a_yes(
    terminal: Terminal, creating_broker: str, app: str
) -> None:
    write(creating_broker, f"{app}.commands")
    as_admin(
        creating_broker,
        lambda hands: kafka_app.make_topic(hands, f"{app}.definitions", 3, {}),
    )
    sick = terminal("doctor")
    assert sick.code == 1
    assert "doctor --fix" in sick.out.replace("\n", "")
    assert terminal("doctor --fix").code == 2, "nobody could be asked"
    fixed = terminal("doctor --fix --yes")
    assert "no worker owns partition" in fixed.out, "its record waits for one"
    for words in (
        f"to do: delete {app}.definitions, it is empty, and make it anew",
        f"to do: make {app}.events",
        f"to do: {app}.commands is given 8 partitions",
        "to do: write the app record",
    ):
        assert words in fixed.err
    assert look_at(creating_broker, f"{app}.definitions").partitions == 1
    assert look_at(creating_broker, f"{app}.commands").partitions == 8
    assert terminal("topic check").code == 0
    assert "nothing to mend" in terminal("doctor --fix --yes").err


def test_settings_that_lose_history_are_set_and_others_kept(
    terminal: Terminal, creating_broker: str, app: str
) -> None:
    assert terminal("topic create --partitions 1").code == 0
    events = f"{app}.events"
    lossy = {"retention.ms": "999", "retention.bytes": "-1", "segment.ms": "777777"}
    as_admin(creating_broker, lambda hands: kafka_app.set_topic(hands, events, lossy))
    sick = terminal("doctor -o jsonl")
    assert sick.code == 1
    [finding] = [row for row in sick.rows() if not row["ok"]]
    assert finding["finding"] == f"{events} has retention.ms=999"
    assert finding["fix"] == "set -1; `sayiir-es doctor --fix` sets it"
    checks = {row["check"] for row in sick.rows()}
    assert checks >= {"retention", "clock", "workers"}, "the others go on"
    fixed = terminal("doctor --fix --yes")
    assert f"to do: set retention.ms=-1 on {events}" in fixed.err
    assert "1 done" in fixed.err
    settings = look_at(creating_broker, events).settings
    assert settings["retention.ms"] == "-1"
    assert settings["segment.ms"] == "777777"
    assert terminal("doctor").code == 0


def test_what_cannot_be_done_is_told_with_the_reason(
    terminal: Terminal, creating_broker: str, app: str
) -> None:
    assert terminal("topic create --partitions 1").code == 0

    async def widen(hands: Any) -> None:
        await kafka_app.raise_partitions(hands, f"{app}.commands", 2)

    as_admin(creating_broker, widen)
    fixed = terminal("doctor --fix --yes")
    assert fixed.code == 1
    assert f"for an admin: {app}.commands has 2 partitions" in fixed.err
    assert "audit import" in fixed.err
    write(creating_broker, f"{app}2.events")
    other = terminal(f"doctor --fix --yes --backend kafka://{creating_broker}/{app}2")
    assert "has history, but" in other.err
    assert other.code == 1


def test_a_broker_that_refuses_a_setting_gets_the_line_for_its_operator(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    try:
        with ManagedBroker() as managed:
            backend = f"--backend kafka://{managed.bootstrap}/shop"
            assert terminal(f"topic create --partitions 1 {backend}").code == 0
            lossy = {"retention.ms": "999"}
            as_admin(
                managed.bootstrap,
                lambda hands: kafka_app.set_topic(hands, "shop.events", lossy),
            )
            managed.refused = {"retention.ms"}
            fixed = terminal(f"doctor --fix --yes {backend}")
    except MissingToolError as error:
        without_kafka(str(error))
    assert fixed.code == 1
    assert "not done: the brokers refuse retention.ms=-1 on shop.events" in fixed.err
    assert "kafka-configs.sh --bootstrap-server 127.0.0.1:" in fixed.err
    assert "--entity-name shop.events --add-config retention.ms=-1" in fixed.err


def test_there_is_nothing_to_mend_in_a_file(terminal: Terminal) -> None:
    terminal.make_log()
    answer = terminal("doctor --fix --yes")
    assert answer.code == 0
    assert "nothing to mend" in answer.err
