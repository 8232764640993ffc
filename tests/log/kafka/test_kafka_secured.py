"""A broker with TLS, SASL and ACLs: who is let in, and what the others are told."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import AccessRefusedError
from sayiir_es.log.kafka.client_config import read_config
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.membership import KafkaMembership
from sayiir_es.log.port import Topic
from tests.captured_logs import capture_logs
from tests.certificates import Authority
from tests.kafka_app import record, until
from tests.secured_broker import password_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.secured_broker import SecuredBroker

pytestmark = pytest.mark.kafka

TOLD_S = 5.0
ZERO = frozenset({0})
LOST_S = 3.0
"""How long the right to a group stays away behind the end of a session."""


def log_of(broker: SecuredBroker, listener: str, file: Path, app: str = "") -> KafkaLog:
    return KafkaLog.configured(
        broker.port(listener),
        read_config(file),
        client={},
        app=app or f"t-{secrets.token_hex(4)}",
        partitions=1,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    )


async def told(log: KafkaLog) -> str:
    """What who cannot open a log is told, soon enough."""
    began_s = time.monotonic()
    with pytest.raises(AccessRefusedError) as caught:
        await log.open(create=True)
    assert time.monotonic() - began_s < TOLD_S
    return str(caught.value)


@pytest.mark.parametrize("listener", ["SASLSSL", "SASLPLAIN"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
async def test_a_log_is_opened_written_and_joined_by_each_mechanism(
    secured_kafka: SecuredBroker, listener: str, mechanism: str
) -> None:
    file = secured_kafka.config("admin", listener, sasl_mechanism=mechanism)
    log = log_of(secured_kafka, listener, file)
    try:
        await log.open(create=True)
        assert await log.produce(Topic.COMMANDS, 0, record(b"x")) == 0
        appender = await log.appender(0)
        assert await appender.append([record(b"e")]) == 0
        await appender.close()
        member = KafkaMembership(log)
        await member.join()
        assert member.current().partitions == ZERO
        await member.leave()
    finally:
        await log.close()


async def test_a_log_is_opened_by_a_certificate_of_ones_own(
    secured_kafka: SecuredBroker,
) -> None:
    chain, key = secured_kafka.authority.issue("member", password="pw")  # noqa: S106
    secured_kafka.give_all("CN=member")
    file = secured_kafka.folder / "mutual.properties"
    file.write_text(
        f"security.protocol=SSL\nssl.ca.location={secured_kafka.authority.path}\n"
        f"ssl.certificate.location={chain}\nssl.key.location={key}\n"
        "ssl.key.password=pw\n"
    )
    log = log_of(secured_kafka, "MUTUAL", file)
    try:
        await log.open(create=True)
    finally:
        await log.close()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
async def test_a_wrong_password_is_told_in_the_brokers_words(
    secured_kafka: SecuredBroker, mechanism: str
) -> None:
    file = secured_kafka.config(
        "admin",
        sasl_mechanism=mechanism,
        sasl_password="not-it-at-all",  # noqa: S106
    )
    text = await told(log_of(secured_kafka, "SASLSSL", file))
    assert "it answered SASL_AUTHENTICATION_FAILED, Authentication failed" in text
    assert "check sasl.username, sasl.password" in text
    assert "not-it-at-all" not in text


async def test_a_mechanism_that_the_broker_has_not_is_told_with_those_it_has(
    secured_kafka: SecuredBroker,
) -> None:
    # Of those that a file may name it has all.
    options = dict(read_config(secured_kafka.config("admin")).options)
    options |= {
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_token_provider": token_provider(),
    }
    text = await told(KafkaLog(secured_kafka.port("SASLSSL"), app="t", **options))
    assert "answered UNSUPPORTED_SASL_MECHANISM: set one of those that it has" in text
    assert "SCRAM-SHA-512" in text


def token_provider() -> object:
    """What aiokafka asks for a token."""
    base: type = import_module("aiokafka.abc").AbstractTokenProvider

    async def token(_: object) -> str:
        return "none"

    return type("Tokens", (base,), {"token": token})()


@pytest.mark.parametrize(
    ("listener", "protocol", "words"),
    [
        ("SSL", "PLAINTEXT", "it speaks TLS: set security.protocol=SSL or SASL_SSL"),
        ("SASLSSL", "SASL_PLAINTEXT", "it speaks TLS: set security.protocol=SSL or"),
        ("SASLPLAIN", "SASL_SSL", "it speaks no TLS: set security.protocol=PLAINTEXT"),
        (
            "SASLPLAIN",
            "PLAINTEXT",
            "asks who the client is: set security.protocol=SASL",
        ),
        ("SASLSSL", "SSL", "it asks who the client is: set security.protocol=SASL_SSL"),
        ("SSL", "SASL_SSL", "it answered ILLEGAL_SASL_STATE: this port takes no SASL"),
        ("MUTUAL", "SSL", "it may ask for a certificate that it trusts; name one by"),
    ],
)
async def test_a_wrong_protocol_is_told_with_the_right_one(
    secured_kafka: SecuredBroker, listener: str, protocol: str, words: str
) -> None:
    file = secured_kafka.config("admin", listener, security_protocol=protocol)
    assert words in await told(log_of(secured_kafka, listener, file))


async def test_a_plain_client_at_a_port_with_sasl_is_told_the_mechanisms(
    secured_kafka: SecuredBroker,
) -> None:
    file = secured_kafka.config("admin", "SASLPLAIN", security_protocol="PLAINTEXT")
    text = await told(log_of(secured_kafka, "SASLPLAIN", file))
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        assert mechanism in text


async def test_a_certificate_of_another_authority_is_told(
    secured_kafka: SecuredBroker, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    file = secured_kafka.config("admin", ssl_ca_location=str(other.path))
    text = await told(log_of(secured_kafka, "SASLSSL", file))
    assert "its certificate is not trusted: " in text
    assert "by ssl.ca.location or SAYIIR_KAFKA_SSL_CAFILE" in text


async def test_a_client_certificate_of_another_authority_is_told(
    secured_kafka: SecuredBroker, tmp_path: Path
) -> None:
    chain, key = Authority(tmp_path, "other").issue("stranger")
    file = tmp_path / "client.properties"
    file.write_text(
        f"security.protocol=SSL\nssl.ca.location={secured_kafka.authority.path}\n"
        f"ssl.certificate.location={chain}\nssl.key.location={key}\n"
    )
    text = await told(log_of(secured_kafka, "MUTUAL", file))
    assert "it may ask for a certificate that it trusts" in text


# --- ACLs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "--operation Describe --topic"),
        (["DESCRIBE"], "--operation Create --topic"),
        (["DESCRIBE", "CREATE"], "--operation Write --topic"),
        (["DESCRIBE", "CREATE", "DESCRIBE_CONFIGS"], "--operation Write --topic"),
    ],
)
async def test_who_opens_is_told_the_acl_of_a_topic_that_is_missing(
    secured_kafka: SecuredBroker, given: list[str], missing: str
) -> None:
    app = f"t-{secrets.token_hex(4)}"
    for operation in given:
        secured_kafka.allow("alice", operation, "TOPIC", f"{app}.")
    log = log_of(secured_kafka, "SASLSSL", secured_kafka.config("alice"), app)
    text = await told(log)
    assert "AUTHORIZATION_FAILED to User:alice: grant it" in text
    assert f"--allow-principal User:alice {missing}" in text


@pytest.fixture
async def app_of_admin(secured_kafka: SecuredBroker) -> str:
    """An app that is there."""
    log = log_of(secured_kafka, "SASLSSL", secured_kafka.config("admin"))
    await log.open(create=True)
    await log.close()
    return log.app


async def test_who_reads_or_writes_is_told_the_acl_that_is_missing(
    secured_kafka: SecuredBroker, app_of_admin: str
) -> None:
    app = app_of_admin
    for operation in ("DESCRIBE", "DESCRIBE_CONFIGS"):
        secured_kafka.allow("alice", operation, "TOPIC", f"{app}.")
    secured_kafka.allow("alice", "READ", "TOPIC", f"{app}.definitions")
    # A broker that lets it write somewhere gives it a producer id.
    secured_kafka.allow("alice", "WRITE", "TOPIC", f"{app}.replies")
    log = log_of(secured_kafka, "SASLSSL", secured_kafka.config("alice"), app)
    try:
        await log.open(create=False)
        with pytest.raises(AccessRefusedError, match=r"Write --topic \S+\.commands`"):
            await log.produce(Topic.COMMANDS, 0, record(b"x"))
        appender = await log.appender(0)
        with pytest.raises(AccessRefusedError, match=r"Write --topic \S+\.events`"):
            await appender.append([record(b"x")])
        await appender.close()
        reader = await log.reader(Topic.EVENTS, 0, 0)
        with pytest.raises(AccessRefusedError, match=r"Read --topic \S+\.events`"):
            await reader.read(max_wait_s=TOLD_S)
        await reader.close()
        with pytest.raises(AccessRefusedError, match=r"Read --group \S+\.workers`"):
            await KafkaMembership(log).join()
    finally:
        await log.close()


async def test_a_member_that_lost_its_group_for_a_while_is_one_again(
    secured_kafka: SecuredBroker, app_of_admin: str
) -> None:
    """The heartbeats of a member, its rejoin and its successor's take-over go on."""
    app, group = app_of_admin, f"{app_of_admin}.workers"
    secured_kafka.allow("alice", "ALL", "TOPIC", f"{app}.")
    secured_kafka.allow("alice", "READ", "GROUP", group)
    file = secured_kafka.config("alice")
    logs = [log_of(secured_kafka, "SASLSSL", file, app) for _ in range(2)]
    members: list[KafkaMembership] = []
    try:
        for log in logs:
            await log.open(create=False)
            members.append(KafkaMembership(log))
        first, second = members
        await first.join()
        await second.join()
        secured_kafka.forbid("alice", "READ", "GROUP", group)
        lapses = first.current().lapses
        with capture_logs() as lines:
            # Longer than a session: the group has forgotten both.
            await until(lambda: first.current().lapses > lapses)
            await asyncio.sleep(LOST_S)
        refused = [line for line in lines if line["event"] == "membership.refused"]
        assert 1 <= len(refused) <= len(members)
        assert "--operation Read --group" in refused[0]["reason"]
        secured_kafka.allow("alice", "READ", "GROUP", group)
        given_s = time.monotonic()
        since = first.current().fresh_at_s
        await until(
            lambda: (
                min(m.current().fresh_at_s for m in members) > max(since, given_s)
                and first.current().partitions | second.current().partitions == ZERO
            ),
            limit_s=TOLD_S,
        )
        owner, other = members
        if not first.current().partitions:
            owner, other = second, first
        await owner.leave()
        await until(lambda: other.current().partitions == ZERO, limit_s=TOLD_S)
    finally:
        for member, log in zip(members, logs, strict=True):
            await member.leave()
            await log.close()


# --- passwords ------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_no_log_line_at_any_level_has_a_password(
    secured_kafka: SecuredBroker,
    mechanism: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("aiokafka", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # asyncio logs each callback with its arguments
    try:
        for password in (password_of("admin"), "wrong-pass-word"):
            file = secured_kafka.config(
                "admin", sasl_mechanism=mechanism, sasl_password=password
            )
            log = log_of(secured_kafka, "SASLSSL", file)
            try:
                await log.open(create=True)
                member = KafkaMembership(log)
                await member.join()
                await member.leave()
            except AccessRefusedError:
                assert password == "wrong-pass-word"  # noqa: S105 (a test's)
            finally:
                await log.close()
            lines = caplog.text + "".join(repr(line.args) for line in caplog.records)
            assert "Sasl" in lines
            assert password not in lines
            assert password.encode().hex() not in lines
            # What a password can be guessed from stays away, too.
            assert "sasl_auth_bytes" not in lines
    finally:
        loop.set_debug(False)
