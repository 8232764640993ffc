"""How brokers are reached: what a `client.properties` and single settings say.

The keys are those of Java's clients and of librdkafka; where the two have two names for
one thing, both are taken. A key that has no meaning here is a warning with its name; a
value that cannot be used is an error that names file and line, or the variable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.log.kafka.properties import read_file, read_properties
from sayiir_es.log.kafka.secret import Secret
from sayiir_es.log.kafka.tls import TlsFiles, make_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.log.kafka.properties import Entry

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
DAY_MS = 24 * 60 * 60 * 1000
"""No time of a connection is longer."""

_SYNONYMS: Final = {
    "sasl.mechanisms": "sasl.mechanism",
    "sasl.password.location": "sasl.password.file",
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "socket.timeout.ms": "request.timeout.ms",
    "topic.metadata.refresh.interval.ms": "metadata.max.age.ms",
    "message.timeout.ms": "delivery.timeout.ms",
}
"""Another key → the one that is used here."""

_TAKEN: Final = frozenset(
    {
        *("security.protocol", "client.id"),
        *("sasl.mechanism", "sasl.username", "sasl.password", "sasl.password.file"),
        *("sasl.jaas.config", "ssl.endpoint.identification.algorithm"),
        *("ssl.ca.location", "ssl.ca.pem", "enable.ssl.certificate.verification"),
        *("ssl.certificate.location", "ssl.certificate.pem"),
        *("ssl.keystore.location", "ssl.key.location", "ssl.key.pem"),
        *("ssl.key.password", "ssl.key.password.file"),
        *("session.timeout.ms", "heartbeat.interval.ms", "group.instance.id"),
        *("request.timeout.ms", "delivery.timeout.ms"),
        *("metadata.max.age.ms", "retry.backoff.ms", "connections.max.idle.ms"),
    }
)

_NEEDLESS: Final = frozenset(
    {
        # The backend's URL names the brokers.
        *("bootstrap.servers", "metadata.broker.list"),
        # The files are looked at themselves; PEM has no password of the store.
        *("ssl.truststore.type", "ssl.keystore.type"),
        *("ssl.truststore.password", "ssl.keystore.password"),
    }
)
"""Keys that nearly every file has, and that are not missed here."""

_JAAS = re.compile(r"\s*([\w.$]+)\s+(?:required|requisite|sufficient|optional)\b(.*);")
_JAAS_OPTION = re.compile(r"""(\w+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s";]+))""")


def _no_options() -> Mapping[str, Any]:
    return MappingProxyType[str, Any]({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """What is to be done differently from the defaults; None is the default.

    `options` are those of aiokafka's client; times in milliseconds.
    """

    options: Mapping[str, Any] = field(default_factory=_no_options)
    session_timeout_ms: int | None = None
    heartbeat_interval_ms: int | None = None
    delivery_timeout_ms: int | None = None
    group_instance_id: str | None = None
    warnings: tuple[str, ...] = ()


def is_group_instance_id(text: str) -> bool:
    """Whether it can be the name of a static member: Kafka's rule for such names."""
    return _GROUP_INSTANCE_ID.fullmatch(text) is not None and text not in {".", ".."}


GROUP_INSTANCE_ID_FORM: Final = "1 to 249 of the letters a-z A-Z 0-9 . _ -"
_GROUP_INSTANCE_ID = re.compile("[a-zA-Z0-9._-]{1,249}")


def read_config(path: Path | None, singles: tuple[Entry, ...] = ()) -> ClientConfig:
    """The settings of a file and of single variables, which win over it.

    Raises:
        SettingsError: if a value cannot be used, or names a file that cannot.
    """
    warnings: list[str] = []
    entries: dict[str, Entry] = {}
    for entry in (*(read_properties(path) if path is not None else ()), *singles):
        key = _SYNONYMS.get(entry.key, entry.key)
        if key in _TAKEN:
            entries[key] = entry
        elif key not in _NEEDLESS:
            warnings.append(f"{entry.source} is not known here, and has no effect")
    _let_singles_win(entries, singles)
    reading = _Reading(entries, warnings)
    return ClientConfig(
        options=MappingProxyType(reading.options()),
        session_timeout_ms=reading.number("session.timeout.ms"),
        heartbeat_interval_ms=reading.number("heartbeat.interval.ms"),
        delivery_timeout_ms=reading.number("delivery.timeout.ms"),
        group_instance_id=reading.group_instance_id(),
        warnings=tuple(warnings),
    )


_SETS: Final = (
    frozenset({"sasl.password", "sasl.password.file"}),
    frozenset({"ssl.ca.location", "ssl.ca.pem"}),
    frozenset(
        {"ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"}
    ),
    frozenset({"ssl.key.location", "ssl.key.pem", "ssl.keystore.location"}),
    frozenset({"ssl.key.password", "ssl.key.password.file"}),
)
"""Keys that say the same thing in other ways. `sasl.jaas.config` is in none of them:
user and password stand together in it, and what is named alone wins over it anyway."""


def _let_singles_win(entries: dict[str, Entry], singles: tuple[Entry, ...]) -> None:
    """Take away what the file says of the same thing under another key."""
    own = {single.key for single in singles}
    for names in _SETS:
        if own & names:
            for key in names - own:
                entries.pop(key, None)


class _Reading:
    """Turns settings into options; adds to `warnings`."""

    def __init__(self, entries: Mapping[str, Entry], warnings: list[str]) -> None:
        self._entries = entries
        self._warnings = warnings

    def options(self) -> dict[str, Any]:
        """The options of aiokafka's client."""
        options: dict[str, Any] = {}
        protocol = self._word("security.protocol", PROTOCOLS)
        if protocol is not None:
            options["security_protocol"] = protocol
        if protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
            options |= self._sasl()
        if protocol in ("SSL", "SASL_SSL"):
            options["ssl_context"] = make_context(self._tls(), self._warnings)
        self._warn_of_unused(protocol or "PLAINTEXT")
        client_id = self._text("client.id")
        if client_id:
            options["client_id"] = client_id
        for key, option in (
            ("request.timeout.ms", "request_timeout_ms"),
            ("metadata.max.age.ms", "metadata_max_age_ms"),
            ("retry.backoff.ms", "retry_backoff_ms"),
            ("connections.max.idle.ms", "connections_max_idle_ms"),
        ):
            number = self.number(key)
            if number is not None:
                options[option] = number
        return options

    def number(self, key: str) -> int | None:
        """A time in milliseconds.

        Raises:
            SettingsError: if it is none.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        text = entry.value.strip()
        if not text.isdecimal() or not 0 < int(text) <= DAY_MS:
            raise SettingsError(
                f"{entry.source}: expected milliseconds, 1 to {DAY_MS}, but "
                f"{entry.value!r:.50}"
            )
        return int(text)

    def group_instance_id(self) -> str | None:
        """The name of a static member.

        Raises:
            SettingsError: if it is none.
        """
        entry = self._entries.get("group.instance.id")
        text = None if entry is None else entry.value.strip()
        if entry is not None and not is_group_instance_id(text or ""):
            raise SettingsError(
                f"{entry.source}: expected {GROUP_INSTANCE_ID_FORM}, but "
                f"{entry.value!r:.50}"
            )
        return text

    def _text(self, key: str) -> str | None:
        entry = self._entries.get(key)
        return None if entry is None else entry.value.strip()

    def _word(self, key: str, words: tuple[str, ...]) -> str | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        word = entry.value.strip().upper()
        if word not in words:
            raise SettingsError(
                f"{entry.source}: expected one of {', '.join(words)}, but "
                f"{entry.value!r:.50}"
            )
        return word

    def _sasl(self) -> dict[str, Any]:
        module, username, password = self._jaas()
        mechanism = self._word("sasl.mechanism", MECHANISMS)
        if mechanism is None and module == "PlainLoginModule":
            mechanism = "PLAIN"
        username = self._text("sasl.username") or username
        password = self._secret("sasl.password") or password
        for what, value in (
            (f"sasl.mechanism, one of {', '.join(MECHANISMS)}", mechanism),
            ("sasl.username, or a sasl.jaas.config with one", username),
            ("sasl.password, or sasl.password.file", password),
        ):
            if not value:
                source = self._entries["security.protocol"].source
                raise SettingsError(f"{source}: expected {what} too, but it is not set")
        return {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": username,
            "sasl_plain_password": password,
        }

    def _jaas(self) -> tuple[str, str | None, Secret | None]:
        """Module, user and password of `sasl.jaas.config`; never shown in an error."""
        entry = self._entries.get("sasl.jaas.config")
        if entry is None:
            return "", None, None
        match = _JAAS.fullmatch(entry.value.strip())
        if match is None:
            raise SettingsError(
                f'{entry.source}: expected a module, required username="…" '
                'password="…"; with a semicolon, but it reads otherwise'
            )
        module = match.group(1).rpartition(".")[2]
        if module not in ("PlainLoginModule", "ScramLoginModule"):
            raise SettingsError(
                f"{entry.source}: expected PlainLoginModule or ScramLoginModule, but "
                f"{module!r:.80}"
            )
        found = {
            name: re.sub(r"\\(.)", r"\1", quoted) or bare
            for name, quoted, bare in _JAAS_OPTION.findall(match.group(2))
        }
        password = found.get("password")
        return module, found.get("username"), Secret(password) if password else None

    def _secret(self, key: str) -> Secret | None:
        entry = self._entries.get(key)
        if entry is not None:
            return Secret(entry.value)
        return self._secret_in_file(f"{key}.file")

    def _secret_in_file(self, key: str) -> Secret | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            return Secret(read_file(Path(entry.value.strip())))
        except SettingsError as error:
            raise SettingsError(f"{entry.source}: {error}") from error

    def _tls(self) -> TlsFiles:
        return TlsFiles(
            entries=self._entries,
            key_password=self._secret("ssl.key.password"),
            checks_host=self._checks_host(),
            verifies=self._word(
                "enable.ssl.certificate.verification", ("TRUE", "FALSE")
            )
            != "FALSE",
        )

    def _checks_host(self) -> bool:
        entry = self._entries.get("ssl.endpoint.identification.algorithm")
        if entry is None:
            return True
        match entry.value.strip().lower():
            case "https":
                return True
            case "" | "none":
                return False
            case _:
                raise SettingsError(
                    f"{entry.source}: expected https, or nothing to check no name, but "
                    f"{entry.value!r:.50}"
                )

    def _warn_of_unused(self, protocol: str) -> None:
        for prefix, part in (("sasl.", "SASL"), ("ssl.", "SSL")):
            unused = [e for key, e in self._entries.items() if key.startswith(prefix)]
            if unused and part not in protocol:
                self._warnings.append(
                    f"{unused[0].source} has no effect: security.protocol is {protocol}"
                )
