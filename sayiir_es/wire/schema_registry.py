"""A client of a schema registry that speaks Confluent's REST API.

Two requests are all that is needed: register a schema under a subject, which gives its
id (the same one each time), and ask for the schema of an id. Both block.
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
"""How long one request may take."""

_CONTENT = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND = 404


class SchemaRegistry:
    """One registry, by its URL; user and password may stand in it.

    Raises:
        SettingsError: if the URL is none of http or https.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError(
                f"expected http(s)://HOST[:PORT] of a schema registry, but {url!r}"
            )
        place = parts.netloc.rpartition("@")[2]
        path = parts.path.rstrip("/")
        self.url = urlunsplit((parts.scheme, place, path, "", ""))
        self._headers = {"Accept": _CONTENT, "Content-Type": _CONTENT}
        if parts.username is not None:
            pair = f"{parts.username}:{parts.password or ''}".encode()
            token = base64.b64encode(pair).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def register(self, subject: str, schema: str) -> int:
        """The id of a schema under a subject, registered if it was not.

        Raises:
            SettingsError: if the registry refuses it; says why.
            LogUnavailableError: if the registry does not answer.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._ask(path, {"schema": schema})
        found = None if answer is None else answer.get("id")
        if not isinstance(found, int):
            raise SettingsError(
                f"expected {self.url} to give {subject!r} an id, but {answer!r}"
            )
        return found

    def schema(self, schema_id: int) -> str | None:
        """The schema of an id; None if there is none.

        Raises:
            LogUnavailableError: if the registry does not answer.
        """
        answer = self._ask(f"/schemas/ids/{schema_id}", None)
        found = None if answer is None else answer.get("schema")
        return found if isinstance(found, str) else None

    def _ask(self, path: str, body: object) -> dict[str, object] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            self.url + path, data=data, headers=self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:  # noqa: S310
                found: object = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(1000).decode(errors="replace")
            if error.code == _NOT_FOUND and body is None:
                return None
            if error.code < 500:  # noqa: PLR2004 - it has understood, and refuses
                raise SettingsError(
                    f"expected {self.url} to take {path}, but {error.code}: {told}"
                ) from error
            raise LogUnavailableError(
                f"expected {self.url} to answer {path}, but {error.code}: {told}"
            ) from error
        except (OSError, ValueError) as error:
            raise LogUnavailableError(
                f"expected the schema registry {self.url} to answer, but {error}"
            ) from error
        if not isinstance(found, dict):
            return None
        return cast("dict[str, object]", found)
