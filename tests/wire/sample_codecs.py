"""Codecs as users write them: they encrypt, compress, or pickle."""

from __future__ import annotations

import base64
import pickle
import zlib
from typing import Any

from cryptography.fernet import Fernet

from sayiir_es import JsonCodec, PayloadCodec

KEY = base64.urlsafe_b64encode(b"k" * 32)


class Encrypting(PayloadCodec):
    """Bytes that only the holder of the key reads."""

    content_type = "application/vnd.example.encrypted"

    def __init__(self, inner: PayloadCodec | None = None, key: bytes = KEY) -> None:
        self._inner = inner or JsonCodec()
        self._box = Fernet(key)

    def encode(self, value: object) -> bytes:
        """Encrypt what the inner codec makes."""
        return self._box.encrypt(self._inner.encode(value))

    def decode(self, data: bytes, hint: Any = Any) -> object:
        """Decrypt it."""
        return self._inner.decode(self._box.decrypt(data), hint)


class Compressing(PayloadCodec):
    """Bytes of fewer bytes."""

    content_type = "application/vnd.example.deflate"

    def encode(self, value: object) -> bytes:
        """Compress JSON."""
        return zlib.compress(JsonCodec().encode(value))

    def decode(self, data: bytes, hint: Any = Any) -> object:
        """Expand it."""
        return JsonCodec().decode(zlib.decompress(data), hint)


class Pickling(PayloadCodec):
    """Values of any type, whatever the annotation says."""

    content_type = "application/vnd.example.pickle"

    def encode(self, value: object) -> bytes:
        """Pickle it."""
        return pickle.dumps(value)

    def decode(self, data: bytes, hint: Any = Any) -> object:
        """The object itself."""
        del hint
        return pickle.loads(data)  # noqa: S301 (of our own)


class Spaced(PayloadCodec):
    """JSON in another form."""

    content_type = "application/json"

    def encode(self, value: object) -> bytes:
        """JSON between spaces."""
        return b" " + JsonCodec().encode(value) + b" "

    def decode(self, data: bytes, hint: Any = Any) -> object:
        """Any JSON."""
        return JsonCodec().decode(data, hint)
