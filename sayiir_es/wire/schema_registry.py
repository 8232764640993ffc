"""A client of a schema registry that speaks Confluent's REST API.

Two requests are needed: one registers a schema under a subject and returns its id (the
same one each time), one returns the schema of an id. Both block.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import cast
from urllib.parse import quote, urlsplit, urlunsplit

from sayiir_es.core.model.errors import LogUnavailableError, SettingsError

LIMIT_S = 10.0
"""How long one request may take, in seconds."""

_CONTENT = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND = 404


class SchemaRegistry:
    """One registry, by its URL; it may contain user and password.

    Raises:
        SettingsError: if the URL is none of http or https.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError(
                f"expected http(s)://HOST[:PORT] of a schema registry, but {url!r}"
            )
        host = parts.netloc.rpartition("@")[2]
        path = parts.path.rstrip("/")
        self.url = urlunsplit((parts.scheme, host, path, "", ""))
        self._headers = {"Accept": _CONTENT, "Content-Type": _CONTENT}
        if parts.username is not None:
            pair = f"{parts.username}:{parts.password or ''}".encode()
            token = base64.b64encode(pair).decode()
            self._headers["Authorization"] = f"Basic {token}"

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

        Raises:
            LogUnavailableError: if the registry does not answer.
        """
        response = self._request(f"/schemas/ids/{schema_id}", None)
        text = None if response is None else response.get("schema")
        return text if isinstance(text, str) else None

    def _request(self, path: str, body: object) -> dict[str, object] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            self.url + path, data=data, headers=self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as response:  # noqa: S310
                document: object = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                reason = error.read(1000).decode(errors="replace")
            if error.code == _NOT_FOUND and body is None:
                return None
            if error.code < 500:  # noqa: PLR2004 - a 4xx: it refuses
                raise SettingsError(
                    f"expected {self.url} to take {path}, but {error.code}: {reason}"
                ) from error
            raise LogUnavailableError(
                f"expected {self.url} to answer {path}, but {error.code}: {reason}"
            ) from error
        except (OSError, ValueError) as error:
            raise LogUnavailableError(
                f"expected the schema registry {self.url} to answer, but {error}"
            ) from error
        if not isinstance(document, dict):
            return None
        return cast("dict[str, object]", document)
