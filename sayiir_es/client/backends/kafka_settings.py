"""How the environment wants Kafka's brokers to be reached (`SAYIIR_KAFKA_…`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.environment import settings_where_set
from sayiir_es.log.kafka.client_config import ClientConfig, read_config
from sayiir_es.log.kafka.properties import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.settings import Settings

_VARIABLES = (
    *("SAYIIR_KAFKA_", "SAYIIR_SESSION_TIMEOUT", "SAYIIR_HEARTBEAT_INTERVAL"),
    "SAYIIR_GROUP_INSTANCE_ID",
)

_KEYS = {
    "kafka_security_protocol": "security.protocol",
    "kafka_sasl_mechanism": "sasl.mechanism",
    "kafka_sasl_username": "sasl.username",
    "kafka_sasl_password": "sasl.password",
    "kafka_sasl_password_file": "sasl.password.file",
    "kafka_ssl_cafile": "ssl.ca.location",
    "kafka_ssl_certfile": "ssl.certificate.location",
    "kafka_ssl_keyfile": "ssl.key.location",
    "kafka_ssl_key_password": "ssl.key.password",
    "kafka_ssl_key_password_file": "ssl.key.password.file",
    "kafka_ssl_check_hostname": "ssl.endpoint.identification.algorithm",
    "kafka_client_id": "client.id",
    "session_timeout": "session.timeout.ms",
    "heartbeat_interval": "heartbeat.interval.ms",
    "group_instance_id": "group.instance.id",
    "kafka_request_timeout": "request.timeout.ms",
}
"""A setting → what it is called in a file."""


def configured(file: Path | None) -> ClientConfig:
    """What `file` says, or the one that the environment names, and single settings.

    Raises:
        SettingsError: if something cannot be used; says what and where.
    """
    settings = settings_where_set(*_VARIABLES)
    if settings is None:
        return ClientConfig() if file is None else read_config(file)
    return read_config(file or settings.kafka_config, tuple(_singles(settings)))


def _singles(settings: Settings) -> Iterator[Entry]:
    for name, key in _KEYS.items():
        value: object = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, bool):
            text = "https" if value else "none"
        elif isinstance(value, float):
            text = str(round(value * 1000))
        else:
            text = str(value)
        yield Entry(key=key, value=text, source=f"SAYIIR_{name.upper()}")
