"""Why a broker refuses a client, in its words, and what is to be set or granted.

Theory of operation. A broker says in words that a password is wrong, and by a number
that an ACL is missing. Of a wrong protocol it says nothing: it closes the connection,
as one does that is about to stop. So who was not let in tries the other protocols
once, until a broker's answer tells which one it expects.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from sayiir_es.core.model.errors import AccessRefusedError, LogRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Several are made one after the other, and the answer is to come within 5 s.
PROBE_LIMIT_S = 1.2
# The code of an answer → what kind of resource it is about.
UNAUTHORIZED = {29: "topic", 30: "group", 31: "cluster", 53: "transactional-id"}
_SASL_ERRORS = (
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
)
_TRANSPORT_ERRORS = (KafkaError, OSError, TimeoutError)
_CONNECTION_OPTIONS = (
    "client_id",
    "request_timeout_ms",
    "ssl_context",
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_kerberos_service_name",
    "sasl_kerberos_domain_name",
    "sasl_oauth_token_provider",
)


def connection_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of a client that a single connection takes."""
    return {name: options[name] for name in _CONNECTION_OPTIONS if name in options}


def refusal_of(
    code: int, what: str, *, operation: str, name: str, options: Mapping[str, Any]
) -> LogRefusedError | None:
    """The error for a broker's answer that trying again does not change; else None.

    Args:
        code: of the answer.
        what: was asked for, behind "expected to".
        operation: the ACL that it takes, as `kafka-acls.sh` names it.
        name: of the topic or group.
        options: of the client.
    """
    error = for_code(code)
    if not code or error.retriable:
        return None
    kind = UNAUTHORIZED.get(code)
    if kind is None:
        return LogRefusedError(f"expected to {what}, but the broker answered {error()}")
    # Who may not do it with the topic may do it with the cluster: the topic is enough.
    kind = "topic" if kind == "cluster" and name else kind
    resource = f"{kind} {name}".rstrip()
    principal = _principal(options)
    return AccessRefusedError(
        f"expected to {what}, but the broker answered {error.message} to {principal}: "
        f"grant it, as by `kafka-acls.sh --add --allow-principal {principal} "
        f"--operation {operation} --{resource}`"
    )


def _principal(options: Mapping[str, Any]) -> str:
    if "SASL" in options.get("security_protocol", "PLAINTEXT"):
        user = options.get("sasl_plain_username")
        return f"User:{user}" if user else "User:…"
    if options.get("security_protocol") == "SSL":
        return "User:CN=…"
    return "User:ANONYMOUS"


def authentication_refusal(
    error: BaseException, address: str
) -> AccessRefusedError | None:
    """The error for a connection that a broker refused in words; None for others."""
    for cause in _causes(error):
        match cause:
            case SaslAuthenticationFailed():
                hint = "check sasl.username, sasl.password and sasl.mechanism"
            case UnsupportedSaslMechanismError():
                hint = "set a sasl.mechanism that it has"
            case IllegalSaslStateError():
                hint = (
                    "this port takes no SASL: set security.protocol=PLAINTEXT or SSL, "
                    "or name another port"
                )
            case ssl.SSLCertVerificationError():
                hint = _certificate_hint(cause)
            case _:
                continue
        return AccessRefusedError(
            f"expected the broker at {address} to let this client in, but "
            f"{_words(cause)}: {hint}"
        )
    return None


def _certificate_hint(error: ssl.SSLCertVerificationError) -> str:
    if "match" in error.verify_message or "mismatch" in error.verify_message:
        return (
            "reach it by a name that its certificate has, or set "
            "ssl.endpoint.identification.algorithm= to check none"
        )
    return (
        "name the certificate of whoever signed the broker's by ssl.ca.location or "
        "SAYIIR_KAFKA_SSL_CAFILE"
    )


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, KafkaError):
        said = "; ".join(str(part) for part in error.args if isinstance(part, str))
        name = getattr(error, "message", type(error).__name__)
        return f"it answered {name}{f', {said}' if said else ''}"
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


async def find_refusal(
    host: str, port: int, options: Mapping[str, Any]
) -> AccessRefusedError | None:
    """Why a broker does not let this client in; None if it does, or is not there.

    Takes as long as a few connections, and `PROBE_LIMIT_S` for each at most.
    """
    address = f"{host}:{port}"
    own = connection_options(options)
    try:
        await _try(host, port, own)
    except _TRANSPORT_ERRORS as error:
        if any(isinstance(e, UnsupportedSaslMechanismError) for e in _causes(error)):
            return await _wrong_mechanism(host, port, own)
        refusal = authentication_refusal(error, address)
        if refusal is not None:
            return refusal
        if isinstance(error, ConnectionRefusedError | TimeoutError):
            return None
        return await _wrong_protocol(host, port, own)
    return None


async def _try(host: str, port: int, options: Mapping[str, Any]) -> None:
    async with asyncio.timeout(PROBE_LIMIT_S):
        connection = await create_conn(host, port, **options)
        try:
            await connection.send(MetadataRequest([]))
        finally:
            connection.close()


async def _wrong_mechanism(
    host: str, port: int, options: Mapping[str, Any]
) -> AccessRefusedError:
    mechanisms = await _mechanisms(host, port, options)
    return AccessRefusedError(
        f"expected the broker at {host}:{port} to take sasl.mechanism="
        f"{options.get('sasl_mechanism')}, but it answered UNSUPPORTED_SASL_MECHANISM: "
        f"set one of those that it has: {', '.join(mechanisms or ()) or 'unknown'}"
    )


async def _wrong_protocol(
    host: str, port: int, options: Mapping[str, Any]
) -> AccessRefusedError | None:
    """Which protocol the port speaks, if it is not the client's."""
    protocol = options.get("security_protocol", "PLAINTEXT")
    has_tls = protocol in ("SSL", "SASL_SSL")
    speaks_tls, alert = await _speaks_tls(host, port, options if has_tls else {})
    expected = f"expected {host}:{port} to speak security.protocol={protocol}, but "
    if speaks_tls and not has_tls:
        return AccessRefusedError(
            f"{expected}it speaks TLS: set security.protocol=SSL or SASL_SSL, and "
            "ssl.ca.location where its authority is not the system's"
        )
    if has_tls and not speaks_tls:
        plain = {"client_id": options.get("client_id", "sayiir-es")}
        if await _mechanisms(host, port, plain) is None:
            return None
        return AccessRefusedError(
            f"{expected}it speaks no TLS: set security.protocol=PLAINTEXT or "
            "SASL_PLAINTEXT, or name another port"
        )
    if alert:
        return AccessRefusedError(
            f"expected the broker at {host}:{port} to let this client in, but it ended "
            f"the TLS handshake ({alert}): it may ask for a certificate that it "
            "trusts; name one by ssl.keystore.location, or ssl.certificate.location "
            "and ssl.key.location"
        )
    mechanisms = await _mechanisms(host, port, options)
    if mechanisms and "SASL" not in protocol:
        wanted = "SASL_SSL" if has_tls else "SASL_PLAINTEXT"
        return AccessRefusedError(
            f"{expected}it asks who the client is: set security.protocol={wanted}, "
            f"sasl.mechanism (one of {', '.join(mechanisms)}), sasl.username and "
            "sasl.password"
        )
    return None


async def _speaks_tls(
    host: str, port: int, options: Mapping[str, Any]
) -> tuple[bool, str]:
    """Whether a port speaks TLS, and how it ended the connection, if it did at once."""
    context: ssl.SSLContext | None = options.get("ssl_context")
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError) as error:
        alert = getattr(error, "reason", "") or ""
        return "ALERT" in alert, alert
    try:
        async with asyncio.timeout(PROBE_LIMIT_S / 2):
            # Who asks for another certificate ends it now; others wait for a request.
            data = await reader.read(1)
    except TimeoutError:
        return True, ""
    except OSError as error:
        return True, getattr(error, "reason", "") or str(error) or "connection reset"
    else:
        return True, "" if data else "closed"
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PROBE_LIMIT_S / 2):
                await writer.wait_closed()


async def _mechanisms(
    host: str, port: int, options: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """The SASL mechanisms of a port, none if it has no SASL; None: it does not answer.

    Asked for without TLS unless the options are of TLS.
    """
    has_tls = options.get("security_protocol") in ("SSL", "SASL_SSL")
    unnamed: dict[str, Any] = {
        "client_id": options.get("client_id", "sayiir-es"),
        "security_protocol": "SSL" if has_tls else "PLAINTEXT",
        "ssl_context": options.get("ssl_context"),
    }
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            connection = await create_conn(host, port, **unnamed)
            try:
                response: Any = await connection.send(SaslHandShakeRequest("?"))
            finally:
                connection.close()
    except _TRANSPORT_ERRORS:
        return None
    return tuple(str(name) for name in response.enabled_mechanisms)
