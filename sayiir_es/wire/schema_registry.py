"""A client of a schema registry that speaks Confluent's REST API.

Two requests are needed: one registers a schema under a subject and returns its id (the
same one each time), one returns the schema of an id. Both block.

Theory of operation. Only two answers are a verdict: a schema, and 404 for one that the
registry does not have. All else says something about the registry, not about the id: it
restarts, wants fewer requests, or no longer takes the password. That passes, and is an
error that says so. Credentials go to the configured address alone, never to where it
redirects; no message, log or `repr` shows them.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from sayiir_es.core.model.errors import LogUnavailableError, SettingsError

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from typing import IO
    from urllib.parse import SplitResult

LIMIT_S = 10.0
"""How long one request may take, in seconds."""

RESPONSE_BYTES_MAX = 1 << 20
"""The longest response that is read, in bytes. A schema of ours has a few thousand; a
longer one is none of ours."""

REASON_BYTES_MAX = 1_000
"""How much of a refusal is repeated in an error."""

_CONTENT = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND = 404
_REFUSALS = frozenset({400, 406, 409, 422})
"""What a registry answers to a schema that it does not take."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirected read, without credentials; never a redirected write."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request to make instead; None for an error with the status as it is."""
        parts = urlsplit(newurl)
        if req.data is not None or parts.scheme not in {"http", "https"}:
            return None
        bare_url = urlunsplit((parts.scheme, _host_of(parts), *parts[2:4], ""))
        request = super().redirect_request(req, fp, code, msg, headers, bare_url)
        if request is not None:
            request.remove_header("Authorization")
        return request


class SchemaRegistry:
    """One registry, by its URL; it may contain user and password.

    `url` is the same without them.

    Raises:
        SettingsError: if the URL is none of http or https.
    """

    def __init__(self, url: str) -> None:
        parts = _split(url)
        path = parts.path.rstrip("/")
        self.url = urlunsplit((parts.scheme, _host_of(parts), path, "", ""))
        self._headers = {"Accept": _CONTENT, "Content-Type": _CONTENT}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            token = base64.b64encode(pair.encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._opener = urllib.request.build_opener(_Redirects)

    def __repr__(self) -> str:
        return f"SchemaRegistry({self.url!r})"

    def register(self, subject: str, schema: str) -> int:
        """Return the id of a schema under a subject, after registering it if needed.

        Raises:
            SettingsError: if the registry refuses it; says why.
            LogUnavailableError: if the registry does not answer.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        response = self._request(path, {"schema": schema})
        schema_id = None if response is None else response.get("id")
        if not isinstance(schema_id, int):
            raise SettingsError(
                f"expected {self.url} to give {subject!r} an id, but {response!r}"
            )
        return schema_id

    def schema(self, schema_id: int) -> str | None:
        """Return the text of the schema with this id; None if there is none.

        None, too, for one that is too long to be of ours.

        Raises:
            LogUnavailableError: if the registry does not answer, or answers with
                anything but a schema or that there is none.
        """
        path = f"/schemas/ids/{schema_id}"
        response = self._request(path, None)
        if response is None:
            return None
        text = response.get("schema")
        if not isinstance(text, str):
            raise LogUnavailableError(
                f"expected {self.url} to answer {path} with a schema, but there is none"
            )
        return text

    def _request(self, path: str, body: object) -> dict[str, object] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - http or https, see `_split`
            self.url + path, data=data, headers=self._headers
        )
        try:
            with self._opener.open(request, timeout=LIMIT_S) as response:
                content: bytes = response.read(RESPONSE_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            self._refused(path, error, is_write=body is not None)
            return None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise LogUnavailableError(
                f"expected the schema registry {self.url} to answer, but "
                f"{_reason_of(error)}"
            ) from None
        if len(content) > RESPONSE_BYTES_MAX:
            return None
        try:
            document: object = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise LogUnavailableError(
                f"expected {self.url} to answer {path} with a JSON object, but "
                f"{content[:100]!r}"
            )
        return cast("dict[str, object]", document)

    def _refused(
        self, path: str, error: urllib.error.HTTPError, *, is_write: bool
    ) -> None:
        """Tell a refusal from a trouble that passes; 404 to a read is an answer.

        Raises:
            SettingsError: if it refuses the schema that was written.
            LogUnavailableError: if another try may be answered otherwise.
        """
        reason = ""
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            reason = error.read(REASON_BYTES_MAX).decode(errors="replace")
        if error.code == _NOT_FOUND and not is_write:
            return
        message = f"expected {self.url} to take {path}, but {error.code}: {reason}"
        if is_write and error.code in _REFUSALS:
            raise SettingsError(message) from None
        raise LogUnavailableError(message) from None


def _split(url: str) -> SplitResult:
    """The parts of a registry's URL.

    Its error shows nothing of it: where a part is wrong, any of it may be the password.

    Raises:
        SettingsError: if it is none of http or https.
    """
    expected = "expected http(s)://[USER:PASSWORD@]HOST[:PORT] of a schema registry"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"{expected}, but host or port cannot be read") from None
    if parts.scheme not in {"http", "https"}:
        raise SettingsError(f"{expected}, but it does not begin so")
    if not parts.hostname or port == 0:
        raise SettingsError(f"{expected}, but it names no host")
    if "@" in parts.path + parts.query + parts.fragment:
        raise SettingsError(
            f"{expected}, but there is an @ behind the host: write /, ? and # in a "
            "password as %2F, %3F and %23"
        )
    return parts


def _host_of(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _reason_of(error: Exception) -> object:
    return getattr(error, "reason", None) or str(error) or type(error).__name__
