"""The TLS context of a client: whom it trusts, and by what it is known itself.

Everything is PEM. Java's binary stores are refused with the commands that convert them.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.log.kafka.properties import Entry
    from sayiir_es.log.kafka.secret import Secret

_PEM = b"-----BEGIN "
_BINARY = (
    "expected certificates in PEM, but {path!r} is a store of Java's or in PKCS#12: "
    "`keytool -importkeystore -srckeystore {path} -destkeystore store.p12 "
    "-deststoretype PKCS12` (needless for PKCS#12), then `openssl pkcs12 -in store.p12 "
    "{options}-out {out}`, and name that file"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The settings that are about TLS, and what was made of them."""

    entries: Mapping[str, Entry]
    key_password: Secret | None
    checks_host: bool
    verifies: bool


def make_context(files: TlsFiles, warnings: list[str]) -> ssl.SSLContext:
    """The context for a client.

    Raises:
        SettingsError: if a file cannot be used; names the setting.
    """
    context = ssl.create_default_context()
    _trust(context, files)
    context.check_hostname = files.checks_host and files.verifies
    if not files.verifies:
        context.verify_mode = ssl.CERT_NONE
        warnings.append(
            "enable.ssl.certificate.verification=false: anybody may pass for a broker"
        )
    _identify(context, files)
    return context


def _trust(context: ssl.SSLContext, files: TlsFiles) -> None:
    entry = files.entries.get("ssl.ca.pem")
    if entry is not None:
        try:
            context.load_verify_locations(cadata=entry.value)
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"{entry.source}: expected certificates in PEM, but {error}"
            ) from error
        return
    entry = files.entries.get("ssl.ca.location")
    if entry is None or entry.value.strip() in ("", "probe"):
        return
    path = entry.value.strip()
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
            return
        _check_pem(path, "-nokeys ", "ca.pem")
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise SettingsError(
            f"{entry.source}: expected certificates in PEM in {path!r}, but {error}"
        ) from error
    except (OSError, SettingsError) as error:
        raise SettingsError(f"{entry.source}: {_text(error, path)}") from error


def _identify(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Load the client's own certificate and key, if it has one."""
    entries = files.entries
    chain, key = entries.get("ssl.certificate.pem"), entries.get("ssl.key.pem")
    if chain is not None:
        with tempfile.TemporaryDirectory(prefix="sayiir-") as folder:
            # The library reads certificates from files only.
            paths = [Path(folder) / "chain.pem", Path(folder) / "key.pem"]
            for path, entry in zip(paths, (chain, key), strict=True):
                path.touch(mode=0o600)
                path.write_text(entry.value if entry is not None else chain.value)
            _load(context, files, chain, str(paths[0]), str(paths[1]))
        return
    store = entries.get("ssl.keystore.location")
    if store is not None:
        _load(context, files, store, store.value.strip(), None)
        return
    certificate = entries.get("ssl.certificate.location")
    own_key = entries.get("ssl.key.location")
    if certificate is None and own_key is not None:
        raise SettingsError(
            f"{own_key.source}: expected ssl.certificate.location too, but it is not "
            "set"
        )
    if certificate is not None:
        key_path = None if own_key is None else own_key.value.strip()
        _load(context, files, certificate, certificate.value.strip(), key_path)


def _load(
    context: ssl.SSLContext, files: TlsFiles, entry: Entry, chain: str, key: str | None
) -> None:
    asked: list[bool] = []

    def password() -> str:
        # Without it the library would ask the terminal.
        asked.append(True)
        return files.key_password or ""

    try:
        _check_pem(chain, "", "client.pem")
        context.load_cert_chain(chain, key, password)
    except ssl.SSLError as error:
        if asked:
            problem = "does not open it" if files.key_password else "is not set"
            reason = f"expected a password of the key, but ssl.key.password {problem}"
        else:
            reason = (
                f"expected a certificate and its key in PEM in {chain!r}"
                f"{f' and {key!r}' if key else ''}, but {error}"
            )
        raise SettingsError(f"{entry.source}: {reason}") from error
    except (OSError, SettingsError, ValueError) as error:
        path = key if key and Path(chain).exists() else chain
        raise SettingsError(f"{entry.source}: {_text(error, path)}") from error


def _check_pem(path: str, options: str, out: str) -> None:
    """Refuse a binary store with the commands that convert it."""
    with Path(path).open("rb") as file:
        begin = file.read(1 << 16)
    if _PEM not in begin:
        raise SettingsError(_BINARY.format(path=path, options=options, out=out))


def _text(error: Exception, path: str) -> str:
    if isinstance(error, OSError):
        return f"expected a file that can be read at {path!r}, but {error.strerror}"
    return str(error)
