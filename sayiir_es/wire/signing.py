"""Ed25519 keys of checkpoints: reads them from PEM files, checks signatures.

Needs the extra `audit`, and an error says so; without a key nothing of it is imported.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_PUBLIC_BLOCK = re.compile(
    rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL
)


class Signer(Protocol):
    """Signs; `Ed25519PrivateKey` of `cryptography` is one."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature: 64 bytes, the same ones for the same data."""
        ...


class PublicKeys:
    """Public keys, of which any may have signed: keys are replaced now and then."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = tuple(keys)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Return whether one of these keys made the signature over the data."""
        refusal = _import("cryptography.exceptions").InvalidSignature
        for key in self._keys:
            try:
                key.verify(signature, data)
            except refusal:
                continue
            return True
        return False


def load_signer(path: Path) -> Signer:
    """Read a private key: PKCS#8 in PEM, without a password.

    Raises:
        UsageError: if it is none, or cannot be read, or `cryptography` is missing.
    """
    serialization = _import("cryptography.hazmat.primitives.serialization")
    ed25519 = _import("cryptography.hazmat.primitives.asymmetric.ed25519")
    data = _read_file(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except _key_errors() as error:
        raise UsageError(
            f"expected a private key without a password in {str(path)!r}, but {error}"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(
            f"expected an Ed25519 key in {str(path)!r}, but {type(key).__name__}"
        )
    signer: Signer = key
    return signer


def load_public_keys(path: Path) -> PublicKeys:
    """Read the public keys of a PEM file: one, or several below each other.

    Raises:
        UsageError: if there is none, or it cannot be read, or `cryptography` is
            missing.
    """
    serialization = _import("cryptography.hazmat.primitives.serialization")
    ed25519 = _import("cryptography.hazmat.primitives.asymmetric.ed25519")
    keys: list[Ed25519PublicKey] = []
    for block in _PUBLIC_BLOCK.findall(_read_file(path)):
        try:
            key = serialization.load_pem_public_key(block)
        except _key_errors() as error:
            raise UsageError(
                f"expected public keys in {str(path)!r}, but {error}"
            ) from error
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise UsageError(
                f"expected Ed25519 keys in {str(path)!r}, but {type(key).__name__}"
            )
        keys.append(key)
    if not keys:
        raise UsageError(f"expected a public key in {str(path)!r}, but there is none")
    return PublicKeys(keys)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"expected a key in {str(path)!r}, but {error.strerror or error}"
        ) from error


def _key_errors() -> tuple[type[Exception], ...]:
    exceptions = _import("cryptography.exceptions")
    return ValueError, TypeError, exceptions.UnsupportedAlgorithm


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            "expected the extra `audit` for signatures (`pip install "
            f"'sayiir-es[audit]'`), but {error}"
        ) from error
