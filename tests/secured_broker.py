"""One real Kafka with TLS, SASL and ACLs: a port for each way to reach it.

Whoever has no ACL may do nothing. The plain port, on which tests set ACLs, is the
super-user's.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.broker import LocalBroker, free_ports
from tests.certificates import Authority

USERS = ("admin", "alice", "worker", "client", "reader", "executor", "nobody")
"""Each with both kinds of SCRAM, and with PLAIN."""

_LISTENERS = {
    "SSL": "SSL",
    "MUTUAL": "SSL",
    "SASLPLAIN": "SASL_PLAINTEXT",
    "SASLSSL": "SASL_SSL",
}
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN")
_LIMIT_S = 20
_MODULES = "org.apache.kafka.common.security"


def password_of(user: str) -> str:
    """The password of a user."""
    return f"pass-word-of-{user}"


class SecuredBroker(LocalBroker):
    """A broker with the ports of `_LISTENERS` beside the plain one."""

    def __init__(self) -> None:
        super().__init__()
        ports = free_ports(len(_LISTENERS))
        self._secured = dict(zip(_LISTENERS, ports, strict=True))
        self._certificates = tempfile.TemporaryDirectory(prefix="sayiir-tls-")
        self.folder = Path(self._certificates.name)
        self.authority = Authority(self.folder)
        self._format_options = tuple(
            f"--add-scram={mechanism}=[name={user},password={password_of(user)}]"
            for user in USERS
            for mechanism in _MECHANISMS[:2]
        )

    def close(self) -> None:
        """Kill it, and remove its data and certificates."""
        super().close()
        self._certificates.cleanup()

    def port(self, listener: str) -> str:
        """The address of a way to reach it: SSL, MUTUAL, SASLPLAIN, SASLSSL."""
        return f"127.0.0.1:{self._secured[listener]}"

    def _properties(self, node: int) -> dict[str, str]:
        plain = super()._properties(node)
        more = [f"{name}://127.0.0.1:{port}" for name, port in self._secured.items()]
        protocols = [f"{name}:{protocol}" for name, protocol in _LISTENERS.items()]
        chain, key = self.authority.issue("broker")
        store = self.folder / "broker-store.pem"
        store.write_bytes(key.read_bytes() + chain.read_bytes())
        properties = {
            **plain,
            "listeners": ",".join([plain["listeners"], *more]),
            "advertised.listeners": ",".join([plain["advertised.listeners"], *more]),
            "listener.security.protocol.map": ",".join(
                [plain["listener.security.protocol.map"], *protocols]
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer."
            "StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:admin",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.path),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(_MECHANISMS),
        }
        logins = " ".join(f'user_{user}="{password_of(user)}"' for user in USERS)
        for listener in ("saslplain", "saslssl"):
            prefix = f"listener.name.{listener}"
            properties[f"{prefix}.plain.sasl.jaas.config"] = (
                f"{_MODULES}.plain.PlainLoginModule required {logins};"
            )
            for mechanism in _MECHANISMS[:2]:
                properties[f"{prefix}.{mechanism.lower()}.sasl.jaas.config"] = (
                    f"{_MODULES}.scram.ScramLoginModule required;"
                )
        return properties

    # --- ACLs -------------------------------------------------------------------------

    def allow(self, user: str, operation: str, kind: str, name: str) -> None:
        """Let a user do something: `allow("alice", "READ", "TOPIC", "app.")`.

        A name that ends with `.` is a prefix, `*` is any. Returns when it is in force.
        """
        admin = _admin_of(self.bootstrap)
        _wait_for(admin.create_acls([_acl(user, operation, kind, name)]))

    def forbid(self, user: str, operation: str, kind: str, name: str) -> None:
        """Take back what `allow` gave."""
        filters = [_acl(user, operation, kind, name, is_filter=True)]
        admin = _admin_of(self.bootstrap)
        _wait_for(admin.delete_acls(filters))

    def give_all(self, user: str) -> None:
        """Let a user do everything with topics and groups."""
        for kind in ("TOPIC", "GROUP"):
            self.allow(user, "ALL", kind, "*")

    def config(self, user: str, listener: str = "SASLSSL", **more: str) -> Path:
        """A client.properties of a user, with other settings by their short names."""
        settings = {
            "security.protocol": _LISTENERS[listener],
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password_of(user),
            "ssl.ca.location": str(self.authority.path),
            **{name.replace("_", "."): value for name, value in more.items()},
        }
        file = self.folder / f"{user}-{listener}-{len(more)}.properties"
        file.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        return file


def _admin_of(bootstrap: str) -> Any:
    admin: Any = import_module("confluent_kafka.admin")
    return admin.AdminClient({"bootstrap.servers": bootstrap})


def _wait_for(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(_LIMIT_S)


def _acl(
    user: str, operation: str, kind: str, name: str, *, is_filter: bool = False
) -> Any:
    admin: Any = import_module("confluent_kafka.admin")
    is_prefix = name.endswith(".")
    acl = admin.AclBindingFilter if is_filter else admin.AclBinding
    return acl(
        restype=admin.ResourceType["BROKER" if kind == "CLUSTER" else kind],
        name="kafka-cluster" if kind == "CLUSTER" else name,
        resource_pattern_type=admin.ResourcePatternType[
            "PREFIXED" if is_prefix else "LITERAL"
        ],
        principal=f"User:{user}",
        host="*",
        operation=admin.AclOperation[operation],
        permission_type=admin.AclPermissionType.ALLOW,
    )
