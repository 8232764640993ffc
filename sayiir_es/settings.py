"""Everything that the environment may set, in one class (`SAYIIR_*`).

`OTEL_*` are read by OpenTelemetry itself.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sayiir_es.backend_url import expected_backend, is_backend_url
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.memory_size import parse_memory_size
from sayiir_es.core.model.errors import SettingsError

PREFIX = "SAYIIR_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]
FileAccess = Literal["owner", "group", "all"]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_DURATIONS = (
    *("handover", "fork_read_limit", "drain", "cancel_grace"),
    *("session_timeout", "heartbeat_interval", "kafka_request_timeout"),
    "kafka_connect_limit",
)
_WORDS = ("kafka_security_protocol", "kafka_sasl_mechanism")


class Settings(BaseSettings):
    """The settings of the environment; what it does not set has its default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # `SAYIIR_BACKEND= cmd` is how a shell unsets it
        frozen=True,
        hide_input_in_errors=True,  # a traceback would show a URL with its password
    )

    backend: str = Field(default="file:.sayiir/log.db", description="the backend's URL")
    state_dir: Path | None = Field(
        default=None,
        description="where stores are kept; by default the user's state folder",
    )
    log_level: LogLevel = Field(
        default="info", description="the least level that is logged"
    )
    log_format: LogFormat | None = Field(
        default=None, description="by default `console` in a terminal, `json` elsewhere"
    )
    schema_registry_url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="http(s)://[USER:PASSWORD@]HOST[:PORT]; by default no registry",
    )
    signing_key: Path | None = Field(
        default=None,
        description="the PEM file of an Ed25519 key that signs checkpoints",
    )
    cloud_events: bool = Field(
        default=False, description="whether events on Kafka have CloudEvents' headers"
    )

    handover: float | None = Field(
        default=None,
        description="how long attempts of a partition that another worker is to own "
        "may run on: seconds, or a text such as 45s; by default 30 s",
    )
    drain: float | None = Field(
        default=None,
        description="how long a worker that ends waits for attempts that run: as "
        "above; by default 10 s",
    )
    cancel_grace: float | None = Field(
        default=None,
        description="how long an attempt may run on behind a cancel: as above; by "
        "default 10 s",
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        description='how many processes of a worker run tasks with executor="process"; '
        "by default one for each core",
    )
    process_memory: int | None = Field(
        default=None,
        description="how much memory each of them may have whose task says nothing: "
        "bytes, or a text such as 512MB or 2GiB; by default any amount",
    )
    fork_read_limit: float | None = Field(
        default=None,
        description="how long reading the history for a fork may take: seconds, or a "
        "text such as 2m; by default 60 s",
    )
    snapshots_topic: bool = Field(
        default=False,
        description="whether owners on Kafka publish each instance's latest snapshot",
    )

    kafka_connect_limit: float | None = Field(
        default=None,
        description="how long a program waits for the first broker that answers: "
        "seconds, or a text such as 2m; by default a worker 5 min, others 30 s",
    )
    kafka_config: Path | None = Field(
        default=None,
        description="a client.properties, with Java's or librdkafka's keys; what is "
        "set below wins over it",
    )
    kafka_security_protocol: SecurityProtocol | None = Field(
        default=None, description="by default PLAINTEXT"
    )
    kafka_sasl_mechanism: SaslMechanism | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: str | None = Field(default=None, repr=False)
    kafka_sasl_password_file: Path | None = None
    kafka_ssl_cafile: str | None = Field(
        default=None,
        description="a PEM file of the certificates that are trusted; by default the "
        "system's",
    )
    kafka_ssl_certfile: str | None = Field(
        default=None, description="the PEM file of the client's own certificate"
    )
    kafka_ssl_keyfile: str | None = Field(
        default=None, description="its key's; by default in the same file"
    )
    kafka_ssl_key_password: str | None = Field(default=None, repr=False)
    kafka_ssl_key_password_file: Path | None = None
    kafka_ssl_check_hostname: bool | None = Field(
        default=None,
        description="whether a broker's certificate must have the name it is reached "
        "by; by default true",
    )
    kafka_client_id: str | None = Field(
        default=None, description="by default sayiir-es"
    )
    session_timeout: float | None = Field(
        default=None,
        description="behind how long a silence a worker's partitions are given to "
        "others: seconds, or a text such as 45s; by default 6 s",
    )
    heartbeat_interval: float | None = Field(
        default=None, description="as above; by default 1 s"
    )
    group_instance_id: str | None = Field(
        default=None,
        description="the name of a worker that is to be assigned what it had when it "
        "is killed and started again within its session; of one worker only. By "
        "default none",
    )
    kafka_request_timeout: float | None = Field(
        default=None,
        description="how long a broker may take to answer, before the request is sent "
        "again: as above; by default 10 s",
    )

    file_access: FileAccess = Field(
        default="owner",
        description="who may use a new log in a file: its owner, its group, or all",
    )
    file_on_any_disk: bool = Field(
        default=False,
        description="whether a log in a file may lie on a disk that SQLite is not "
        "known to be safe on",
    )

    api_token_file: Path | None = Field(
        default=None,
        description="a file of tokens, one a line, that pages and API ask for; by "
        "default they ask for none and are reached from this machine alone",
    )
    api_read_token_file: Path | None = Field(
        default=None, description="the same for tokens that may look and not act"
    )
    api_proxy_header: str | None = Field(
        default=None,
        description="a header in which a proxy in front of pages and API names who "
        "asks, such as X-Forwarded-User; who is named needs no token",
    )
    api_proxy_addresses: str = Field(
        default="127.0.0.1,::1",
        description="addresses and networks, with commas between, from which that "
        "header is believed",
    )
    api_hosts: str = Field(
        default="",
        description="names, with commas between, by which pages and API are reached "
        "beside localhost, this machine's own and every plain address; *.NAME stands "
        "for all below it",
    )
    trace_url: str | None = Field(
        default=None,
        description="where pages link traces to, with {trace_id} in it, such as "
        "https://traces.example/trace/{trace_id}",
    )
    mask: str | None = Field(
        default=None,
        description="MODULE:FUNCTION that pages and API ask what to show in place of a "
        "value: called with its path and the value",
    )
    mask_names: str = Field(
        default="password,token,secret,authorization,card",
        description="what is in the name of a value that pages and API hide, with "
        "commas between",
    )

    @field_validator("backend")
    @classmethod
    def _names_a_backend(cls, url: str) -> str:
        if not is_backend_url(url):
            raise ValueError(expected_backend(url))
        return url

    @field_validator("state_dir")
    @classmethod
    def _can_be_a_directory(cls, path: Path | None) -> Path | None:
        if path is not None and path.exists() and not path.is_dir():
            raise ValueError(f"expected a directory, but {str(path)!r} is a file")
        return path

    @field_validator(*_DURATIONS, mode="before")
    @classmethod
    def _is_a_duration(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            number = value.strip().replace(".", "", 1).isdigit()
            return duration_ms(float(value) if number else value) / 1000
        except ValueError as error:
            raise ValueError(
                f"expected seconds, or a text such as 45s or 2m, but {value!r}"
            ) from error

    @field_validator("process_memory", mode="before")
    @classmethod
    def _is_a_memory_size(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        text = value.strip()
        return parse_memory_size(int(text) if text.isdigit() else text, what="memory")

    @field_validator(*_WORDS, mode="before")
    @classmethod
    def _in_upper_case(cls, word: object) -> object:
        return word.strip().upper() if isinstance(word, str) else word

    @field_validator("log_level", "log_format", "file_access", mode="before")
    @classmethod
    def _in_any_case(cls, word: object) -> object:
        return word.strip().lower() if isinstance(word, str) else word


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: some values cannot be used; the message names every one of them.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in detail['loc']).upper()}: "
            + _expectation(detail.get("ctx", {}), detail["input"], detail["msg"])
            for detail in error.errors()
        )
        raise SettingsError(f"expected usable settings, but {problems}") from error


def _expectation(context: dict[str, object], value: object, message: str) -> str:
    if "error" in context:  # raised by one of the validators above
        return str(context["error"])
    if "expected" in context:
        return f"expected {context['expected']}, but {value!r}"
    return f"{message}, but {value!r}"
