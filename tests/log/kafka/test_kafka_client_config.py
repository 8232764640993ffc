"""Java's and librdkafka's keys become the client's options, or an error with a line."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.log.kafka.client_config import ClientConfig, read_config
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.properties import Entry
from tests.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def config_of(folder: Path, text: str, **singles: str) -> ClientConfig:
    file = folder / "client.properties"
    file.write_text(text)
    entries = tuple(
        Entry(key=key.replace("_", "."), value=value, source=f"SAYIIR_{key.upper()}")
        for key, value in singles.items()
    )
    return read_config(file, entries)


def test_javas_file_and_librdkafkas_say_the_same(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    java = config_of(
        tmp_path,
        "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\n"
        "sasl.mechanism=SCRAM-SHA-512\n"
        f'sasl.jaas.config={SCRAM} required username="al" \\\n  password="p\\\\"w;";\n'
        f"ssl.truststore.type=PEM\nssl.truststore.location={authority.path}\n"
        "request.timeout.ms=7000\nsession.timeout.ms=9000\n",
    )
    librdkafka = config_of(
        tmp_path,
        "metadata.broker.list=a:1\nsecurity.protocol=sasl_ssl\n"
        'sasl.mechanisms=SCRAM-SHA-512\nsasl.username=al\nsasl.password=p"w;\n'
        f"ssl.ca.location={authority.path}\n"
        "socket.timeout.ms=7000\nsession.timeout.ms=9000\n",
    )
    for config in (java, librdkafka):
        options = dict(config.options)
        context = options.pop("ssl_context")
        assert options == {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "al",
            "sasl_plain_password": 'p"w;',
            "request_timeout_ms": 7000,
        }
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert len(context.get_ca_certs()) >= 1
        assert config.session_timeout_ms == 9000
        assert config.warnings == ()
        assert "w;" not in repr(config)


def test_an_unknown_key_is_a_warning_with_its_name(tmp_path: Path) -> None:
    config = config_of(tmp_path, "linger.ms=5\nclient.id=shop\n")
    assert config.options == {"client_id": "shop"}
    (warning,) = config.warnings
    assert "line 1: linger.ms is not known here" in warning


def test_settings_of_sasl_without_sasl_are_a_warning(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sasl.username=al\nsasl.password=pw\n")
    (warning,) = config.warnings
    assert "line 1: sasl.username has no effect: security.protocol is PLAIN" in warning


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\nsecurity.protocol=TLS", "line 2: security.protocol: expected one of PLAIN"),
        ("request.timeout.ms=soon", "line 1: request.timeout.ms: expected millisec"),
        ("session.timeout.ms=-1", "line 1: session.timeout.ms: expected milliseconds"),
        (
            "security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI\nsasl.username=a",
            "line 2: sasl.mechanism: expected one of PLAIN, SCRAM-SHA-256",
        ),
        ("security.protocol=SASL_SSL", "expected sasl.mechanism, one of PLAIN"),
        (
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=a",
            "expected sasl.password, or sasl.password.file too, but it is not set",
        ),
        (
            "security.protocol=SASL_SSL\nsasl.jaas.config=Krb5LoginModule required;",
            "expected PlainLoginModule or ScramLoginModule, but 'Krb5LoginModule'",
        ),
        (
            "security.protocol=SASL_SSL\nsasl.jaas.config=hidden",
            "line 2: sasl.jaas.config: expected a module, required username",
        ),
        (
            "security.protocol=SSL\nssl.ca.location=/nowhere/ca.pem",
            "line 2: ssl.ca.location: expected a file that can be read at '/nowhere",
        ),
        (
            "security.protocol=SSL\nssl.endpoint.identification.algorithm=ldap",
            "line 2: ssl.endpoint.identification.algorithm: expected https",
        ),
        (
            "security.protocol=SSL\nssl.key.location=own.key",
            "line 2: ssl.key.location: expected ssl.certificate.location too",
        ),
    ],
)
def test_a_wrong_value_is_an_error_with_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        config_of(tmp_path, text)
    assert problem in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_password_of_a_login_module_is_never_shown(tmp_path: Path) -> None:
    text = (
        "security.protocol=SASL_SSL\n"
        f'sasl.jaas.config={SCRAM} required username="a" password="hidden"\n'
    )
    with pytest.raises(SettingsError) as caught:
        config_of(tmp_path, text)  # the semicolon is missing
    assert "with a semicolon" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_single_settings_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("other\n")
    config = config_of(
        tmp_path,
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n"
        f'sasl.jaas.config={PLAIN} required username="al" password="pw";\n'
        "sasl.password=in the file\nclient.id=file\n",
        sasl_password_file=str(tmp_path / "password"),
        sasl_mechanism="PLAIN",
        client_id="own",
    )
    assert config.options == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "al",
        "sasl_plain_password": "other",
        "client_id": "own",
    }


@pytest.mark.parametrize("store", ["ssl.truststore.location", "ssl.keystore.location"])
def test_a_binary_store_is_refused_with_the_commands_that_convert_it(
    tmp_path: Path, store: str
) -> None:
    (tmp_path / "store.jks").write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    with pytest.raises(SettingsError) as caught:
        config_of(tmp_path, f"security.protocol=SSL\n{store}={tmp_path}/store.jks")
    assert f"line 2: {store}: expected certificates in PEM" in str(caught.value)
    assert f"keytool -importkeystore -srckeystore {tmp_path}/store.jks" in str(
        caught.value
    )
    assert "openssl pkcs12 -in store.p12" in str(caught.value)


def test_an_own_certificate_is_read_in_each_form(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.issue("client", password="key-pass")  # noqa: S106 (a test)
    (tmp_path / "store.pem").write_bytes(key.read_bytes() + chain.read_bytes())
    inline = {
        name: path.read_text().strip().replace("\n", "\\n")
        for name, path in (("chain", chain), ("key", key), ("ca", authority.path))
    }
    begin = "security.protocol=SSL\nssl.key.password=key-pass\n"
    for text in (
        f"ssl.certificate.location={chain}\nssl.key.location={key}\n",
        f"ssl.keystore.type=PEM\nssl.keystore.location={tmp_path}/store.pem\n",
        (
            f"ssl.keystore.certificate.chain={inline['chain']}\n"
            f"ssl.keystore.key={inline['key']}\n"
            f"ssl.truststore.certificates={inline['ca']}\n"
        ),
    ):
        assert isinstance(
            config_of(tmp_path, begin + text).options["ssl_context"], ssl.SSLContext
        )
    for given, problem in (("", "is not set"), ("wrong", "does not open it")):
        with pytest.raises(SettingsError, match=f"ssl.key.password {problem}"):
            config_of(
                tmp_path,
                f"security.protocol=SSL\nssl.key.password={given}\n"
                f"ssl.certificate.location={chain}\nssl.key.location={key}\n",
            )


def test_no_name_is_checked_where_the_file_says_so(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, "security.protocol=SSL\nssl.endpoint.identification.algorithm=\n"
    )
    context = config.options["ssl_context"]
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_heartbeat_fits_the_session_by_itself_and_must_fit_it() -> None:
    log = KafkaLog.configured(
        "h:1", ClientConfig(session_timeout_ms=1500), client={}, app="a"
    )
    assert (log.session_timeout_ms, log.heartbeat_interval_ms) == (1500, 500)
    config = ClientConfig(session_timeout_ms=1500, heartbeat_interval_ms=1500)
    with pytest.raises(SettingsError, match="below the session time-out of 1500 ms"):
        KafkaLog.configured("h:1", config, client={})
