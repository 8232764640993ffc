"""The rules of an app's topics; needs no broker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.kafka import setting_rules, topic_rules
from sayiir_es.log.kafka.describe import ClusterDescription, TopicDescription
from sayiir_es.log.port import LogIdentity, Topic

IDENTITY = LogIdentity(cluster_id="c", partitions=8, topics={"events": "e1"})


def new_cluster(*, brokers: int = 3, replicas: int = 3) -> ClusterDescription:
    """Return the cluster right after an app's topics were created."""
    topics: dict[str, TopicDescription] = {}
    for topic in Topic:
        new = topic_rules.new_topic("app", topic, partitions=8, replicas=replicas)
        topics[new.name] = TopicDescription(
            id=new.name,
            partitions=new.partitions,
            replicas=new.replicas,
            settings={"retention.bytes": "-1", **new.settings},
        )
    return ClusterDescription(
        cluster_id="c", brokers=brokers, controller=1, topics=topics
    )


def with_settings(
    cluster: ClusterDescription, topic: Topic, **settings: str
) -> ClusterDescription:
    name = topic_rules.topic_name("app", topic)
    changes = {key.replace("_", "."): value for key, value in settings.items()}
    changed_topic = replace(
        cluster.topics[name], settings={**cluster.topics[name].settings, **changes}
    )
    return replace(cluster, topics={**cluster.topics, name: changed_topic})


def without_setting(
    cluster: ClusterDescription, topic: Topic, key: str
) -> ClusterDescription:
    name = topic_rules.topic_name("app", topic)
    settings = {k: v for k, v in cluster.topics[name].settings.items() if k != key}
    changed_topic = replace(cluster.topics[name], settings=settings)
    return replace(cluster, topics={**cluster.topics, name: changed_topic})


def with_replicas(
    cluster: ClusterDescription, topic: Topic, count: int
) -> ClusterDescription:
    name = topic_rules.topic_name("app", topic)
    changed_topic = replace(cluster.topics[name], replicas=count)
    return replace(cluster, topics={**cluster.topics, name: changed_topic})


def test_topics_as_we_make_them_pass_without_a_warning() -> None:
    assert setting_rules.check_settings("app", new_cluster()) == ()


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (
            with_settings(new_cluster(), Topic.EVENTS, max_message_bytes="500000"),
            "max.message.bytes=500000",
        ),
        (
            with_settings(new_cluster(), Topic.EVENTS, min_insync_replicas="1"),
            "app.events has min.insync.replicas=1: set 2",
        ),
        (
            with_settings(
                new_cluster(), Topic.EVENTS, unclean_leader_election_enable="true"
            ),
            "unclean.leader.election.enable=true: set false",
        ),
        (
            with_replicas(new_cluster(), Topic.EVENTS, 1),
            "app.events has one replica on 3 brokers: reassign it to 3",
        ),
        (
            with_settings(new_cluster(), Topic.COMMANDS, cleanup_policy="compact"),
            "app.commands has cleanup.policy=compact: set delete",
        ),
        (
            with_settings(
                new_cluster(),
                Topic.DEFINITIONS,
                cleanup_policy="delete",
                retention_ms="9",
            ),
            "app.definitions has cleanup.policy=delete: set compact",
        ),
    ],
)
def test_what_could_lose_history_is_refused_by_name_and_value(
    cluster: ClusterDescription, words: str
) -> None:
    with pytest.raises(UnsafeLogError, match=words):
        setting_rules.check_settings("app", cluster)


@pytest.mark.parametrize(
    ("topic", "settings"),
    [
        (Topic.EVENTS, {"retention_ms": str(2**63 - 1)}),
        (Topic.EVENTS, {"retention_bytes": str(2**63 - 1)}),
        (Topic.EVENTS, {"cleanup_policy": " delete"}),
        (Topic.EVENTS, {"cleanup_policy": ""}),
        (Topic.EVENTS, {"unclean_leader_election_enable": "False"}),
        (Topic.EVENTS, {"min_insync_replicas": "3"}),
        (
            Topic.DEFINITIONS,
            {"cleanup_policy": "compact,delete", "retention_ms": str(2**63 - 1)},
        ),
        (Topic.DEFINITIONS, {"cleanup_policy": "delete", "retention_ms": "-1"}),
        (Topic.COMMANDS, {"retention_ms": "-1"}),
    ],
)
def test_other_values_that_do_the_same_pass_without_a_warning(
    topic: Topic, settings: dict[str, str]
) -> None:
    cluster = with_settings(new_cluster(), topic, **settings)
    assert setting_rules.check_settings("app", cluster) == ()


@pytest.mark.parametrize(
    "hidden",
    [
        "unclean.leader.election.enable",
        "retention.ms",
        "retention.bytes",
        "cleanup.policy",
        "min.insync.replicas",
    ],
)
def test_what_the_broker_does_not_report_is_a_warning(hidden: str) -> None:
    cluster = without_setting(new_cluster(), Topic.EVENTS, hidden)
    (warning,) = setting_rules.check_settings("app", cluster)
    assert f"app.events does not show {hidden}: " in warning
    assert f"see that it is {hidden}=" in warning


def test_a_broker_that_reports_nothing_is_accepted_with_warnings() -> None:
    cluster = new_cluster()
    bare = {
        name: replace(topic, settings=dict[str, str]())
        for name, topic in cluster.topics.items()
    }
    warnings = setting_rules.check_settings("app", replace(cluster, topics=bare))
    assert len(warnings) == 2
    assert "cleanup.policy=delete,retention.ms=-1" in warnings[0]


def test_copies_that_no_write_can_reach_are_refused() -> None:
    cluster = with_settings(new_cluster(), Topic.EVENTS, min_insync_replicas="4")
    with pytest.raises(UnsafeLogError, match="refuse every write: set 2"):
        setting_rules.check_settings("app", cluster)


def test_apps_that_are_like_a_mistyped_one_are_named() -> None:
    names = [f"{app}.{t.value}" for app in ("orders", "bills") for t in Topic]
    assert topic_rules.similar_apps("Ordrs", names) == "like it are there: 'orders'"
    assert topic_rules.similar_apps("x", names) == "apps there: 'bills', 'orders'"
    assert "no app is there yet" in topic_rules.similar_apps("x", ["other"])


def test_all_faults_are_named_at_once() -> None:
    cluster = with_settings(
        new_cluster(), Topic.EVENTS, retention_ms="1", min_insync_replicas="1"
    )
    with pytest.raises(UnsafeLogError, match=r"retention\.ms.*min\.insync\.replicas"):
        setting_rules.check_settings("app", cluster)


def test_commands_that_expire_within_a_day_are_warned_of() -> None:
    cluster = with_settings(new_cluster(), Topic.COMMANDS, retention_ms="1000")
    assert (
        "a command that waits longer is lost"
        in setting_rules.check_settings("app", cluster)[0]
    )


def test_the_same_log_agrees_with_its_record() -> None:
    topic_rules.check_identity(topic_rules.app_record(IDENTITY), IDENTITY)


def test_a_topic_newer_than_the_record_is_no_fault() -> None:
    now = replace(IDENTITY, topics={"events": "e1", "snapshots": "s1"})
    topic_rules.check_identity(topic_rules.app_record(IDENTITY), now)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (replace(IDENTITY, cluster_id="d"), "expected cluster 'c', but this is 'd'"),
        (replace(IDENTITY, topics={"events": "e2"}), r"\['events'\] were deleted"),
    ],
)
def test_another_log_than_the_recorded_one_is_refused(
    now: LogIdentity, words: str
) -> None:
    with pytest.raises(UnsafeLogError, match=words):
        topic_rules.check_identity(topic_rules.app_record(IDENTITY), now)


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b"\xff"])
def test_an_app_record_that_cannot_be_read_is_refused(value: bytes) -> None:
    with pytest.raises(UnsafeLogError, match="expected an app record"):
        topic_rules.check_identity(value, IDENTITY)


def test_a_snapshots_topic_as_it_is_made_is_accepted() -> None:
    name = topic_rules.topic_name("app", Topic.SNAPSHOTS)
    topic_rules.check_snapshots(name, new_cluster().topics[name], 8)


@pytest.mark.parametrize(
    ("settings", "partitions", "words"),
    [
        ({"cleanup_policy": "delete"}, 8, "cleanup.policy=delete: set compact"),
        ({}, 9, "expected 9 partitions of app.snapshots, as events has, but there are"),
    ],
)
def test_a_snapshots_topic_that_makes_no_table_is_refused(
    settings: dict[str, str], partitions: int, words: str
) -> None:
    cluster = with_settings(new_cluster(), Topic.SNAPSHOTS, **settings)
    name = topic_rules.topic_name("app", Topic.SNAPSHOTS)
    with pytest.raises(UnsafeLogError, match=words):
        topic_rules.check_snapshots(name, cluster.topics[name], partitions)


@pytest.mark.parametrize("topic", Topic)
def test_no_topic_that_we_make_keeps_what_is_small_only_while_compressed(
    topic: Topic,
) -> None:
    new = topic_rules.new_topic("app", topic, partitions=8, replicas=3)
    assert new.settings["compression.type"] == "uncompressed"


@pytest.mark.parametrize("topic", [Topic.COMMANDS, Topic.DEFINITIONS])
def test_a_topic_that_others_write_compressed_is_warned_about(topic: Topic) -> None:
    cluster = with_settings(new_cluster(), topic, compression_type="producer")
    (warning,) = setting_rules.check_settings("app", cluster)
    assert f"app.{topic.value} has compression.type=producer: set" in warning
