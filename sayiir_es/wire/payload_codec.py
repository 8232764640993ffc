"""`PayloadCodec`: how values become bytes, and which bytes stand in the log.

Theory of operation. What stands in the log is always JSON: joins and routes splice it,
owners check it, and programs in other languages read it. A codec whose bytes are no
JSON has them carried as `{"$content_type": TYPE, "$data": BASE64}`, here and nowhere
else. Such a wrapper may stand inside what was spliced, at any depth: nobody else writes
an object of exactly these two keys, for `encode` refuses it. JSON that is not wrapped
is read as JSON under every codec: a route's key is, and what comes from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from sayiir_es.core.authoring.hints import PLAIN
from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.payload import check_payload, decode_payload, encode_payload
from sayiir_es.wire.type_adapters import adapter_of

JSON = "application/json"
"""The content type of what stands in the log as it is."""

TYPE_KEY, DATA_KEY = "$content_type", "$data"

_MARK = b'"$content_type"'


class PayloadCodec(ABC):
    """Makes bytes of values, and values of bytes.

    It is called from several threads at a time, and on the event loop for async tasks:
    it must be quick, and wait for nobody.

    Attributes:
        content_type: The type of its bytes. With `application/json` they stand in the
            log as they are, and must be JSON.
    """

    content_type: str

    @abstractmethod
    def encode(self, value: object) -> bytes:
        """The bytes of a value.

        Raises:
            EncodeError: if it has none: the attempt that returned it fails for good.
        """

    @abstractmethod
    def decode(self, data: bytes, hint: Any = PLAIN) -> object:
        """The value of bytes that it made, as the type that an annotation names.

        `Any` stands for what no annotation says more of than JSON does.
        """


class JsonCodec(PayloadCodec):
    """JSON, with all types that the guide *Values* lists: what codecs build upon."""

    content_type = JSON

    def encode(self, value: object) -> bytes:
        """Compact JSON in UTF-8.

        Raises:
            EncodeError: if JSON cannot carry it; names the wrong value's type and path.
        """
        return encode_payload(value)

    def decode(self, data: bytes, hint: Any = PLAIN) -> object:
        """The value of JSON in UTF-8.

        Raises:
            DecodeError: if it is no JSON.
            pydantic.ValidationError: if it does not fit the hint.
        """
        if hint is PLAIN:
            return decode_payload(data)
        adapter = adapter_of(hint)
        return decode_payload(data) if adapter is None else adapter.read(data)


Codecs: TypeAlias = PayloadCodec | Sequence[PayloadCodec]
"""A codec; or several, of which the first writes and each reads what it wrote."""


class Payloads:
    """What stands in the log for values, by the codecs of one backend."""

    __slots__ = ("_json", "_others", "_writer", "codecs")

    def __init__(self, codec: Codecs | None = None) -> None:
        """Take the codec of a backend; None is JSON.

        Raises:
            TypeError: if it is none.
            ValueError: if two are of one content type, or there is none.
        """
        codecs = self.codecs = _checked(codec)
        self._writer = codecs[0]
        self._json: PayloadCodec = JsonCodec()
        self._others: dict[str, PayloadCodec] = {}
        for one in codecs:
            if one.content_type == JSON:
                self._json = one
            else:
                self._others[one.content_type] = one

    def encode(self, value: object) -> bytes:
        """The JSON that stands in the log for a value.

        Raises:
            EncodeError: if the codec has no bytes for it.
        """
        codec = self._writer
        if type(codec) is JsonCodec:
            return self.encode_readable(value)
        data: Any = codec.encode(value)
        if not isinstance(data, bytes):
            raise EncodeError(
                f"expected bytes of {type(codec).__name__}, but a {type(data).__name__}"
            )
        if codec.content_type != JSON:
            text = base64.b64encode(data).decode()
            return encode_payload({TYPE_KEY: codec.content_type, DATA_KEY: text})
        try:
            check_payload(data, once=True)
        except UnreadableError as error:
            raise EncodeError(f"{error} of {type(codec).__name__}") from error
        return data

    @staticmethod
    def encode_readable(value: object) -> bytes:
        """JSON that everybody can read, whatever the codec.

        Raises:
            EncodeError: if JSON cannot carry it; names the wrong value's type and path.
        """
        data = encode_payload(value)
        if _MARK in data and _holds_wrapper(decode_payload(data)):
            raise EncodeError(
                f"expected a value of one's own, but a dict of the keys {TYPE_KEY} and "
                f"{DATA_KEY}, which stand for what a codec wrote"
            )
        return data

    def decode(self, data: bytes, hint: Any = PLAIN) -> object:
        """The value of what stands in the log, as the type that a hint names.

        Raises:
            DecodeError: if it is no JSON, or of a content type without a codec.
        """
        if _MARK not in data:
            return self._json.decode(data, hint)
        value = decode_payload(data)
        part = _wrapped(value)
        if part is not None:
            return self._open(part, hint)
        if not _holds_wrapper(value):
            return self._json.decode(data, hint)
        opened = self._opened(value)
        if hint is PLAIN:
            return opened
        return JsonCodec().decode(encode_payload(opened), hint)

    def _open(self, part: tuple[str, str], hint: Any) -> object:
        content_type, text = part
        codec = self._others.get(content_type)
        if codec is None:
            listed = ", ".join((JSON, *self._others))
            raise UnreadableError(
                f"expected a value of a content type that a codec of the backend reads "
                f"({listed}), but {excerpt_of(content_type)}",
                reason="unknown_content_type",
            )
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UnreadableError(
                f"expected base64 in {DATA_KEY}, but {excerpt_of(text)}",
                reason="bad_base64",
            ) from error
        return codec.decode(data, hint)

    def _opened(self, value: object) -> object:
        """The value with what codecs wrote in place of the wrappers."""
        part = _wrapped(value)
        if part is not None:
            return self._open(part, PLAIN)
        if isinstance(value, dict):
            pairs = cast("dict[str, object]", value).items()
            return {key: self._opened(item) for key, item in pairs}
        if isinstance(value, list):
            return [self._opened(item) for item in cast("list[object]", value)]
        return value


def _checked(codec: Codecs | None) -> tuple[PayloadCodec, ...]:
    if codec is None:
        return (JsonCodec(),)
    given: Any = codec
    several: tuple[Any, ...] = (given,)
    if isinstance(given, list | tuple):
        several = tuple(cast("Sequence[Any]", given))
    for one in several:
        if not isinstance(one, PayloadCodec):
            raise TypeError(f"expected a PayloadCodec as codec, but {one!r}")
        content_type: object = getattr(one, "content_type", None)
        if not (isinstance(content_type, str) and content_type):
            raise TypeError(
                f"expected a content_type of {type(one).__name__}, but {content_type!r}"
            )
    names = {one.content_type for one in several}
    if not several or len(names) < len(several):
        raise ValueError(
            "expected codecs of different content types, but "
            f"{[one.content_type for one in several]}"
        )
    return several


def _wrapped(value: object) -> tuple[str, str] | None:
    """The content type and the base64 of a wrapper; None if it is none."""
    if not isinstance(value, dict):
        return None
    pairs = cast("dict[str, object]", value)
    if pairs.keys() != {TYPE_KEY, DATA_KEY}:
        return None
    content_type, text = pairs[TYPE_KEY], pairs[DATA_KEY]
    if isinstance(content_type, str) and isinstance(text, str):
        return content_type, text
    return None


def _holds_wrapper(value: object) -> bool:
    if _wrapped(value) is not None:
        return True
    if isinstance(value, dict):
        return any(map(_holds_wrapper, cast("dict[str, object]", value).values()))
    if isinstance(value, list):
        return any(map(_holds_wrapper, cast("list[object]", value)))
    return False


JSON_PAYLOADS = Payloads()
"""Those of a backend that names no codec."""
