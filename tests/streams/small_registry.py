"""A schema registry in a thread: two requests of Confluent's REST API, and outages."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class SmallRegistry:
    """The registered schemas; fails the next `outages` requests with `status`.

    `redirect` is where reads are sent to; `headers` are those of each request.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.outages = 0
        self.status = 503
        self.redirect = ""
        self.headers: list[dict[str, str]] = []
        self.requests: list[str] = []
        self.url = ""

    def add(self, schema: str) -> int:
        """Return the id of a schema; a new id for a new schema."""
        for number, text in self.schemas.items():
            if text == schema:
                return number
        number = 100 + len(self.schemas)
        self.schemas[number] = schema
        return number

    def respond(self, path: str, body: bytes) -> tuple[int, object]:
        """Return the status and the body of a response."""
        self.requests.append(path)
        if self.outages:
            self.outages -= 1
            return self.status, {"message": "expected to work, but an outage"}
        if body:
            return 200, {"id": self.add(json.loads(body)["schema"])}
        schema = self.schemas.get(int(path.rpartition("/")[2]))
        return (404, {}) if schema is None else (200, {"schema": schema})


@contextmanager
def serve_registry() -> Generator[SmallRegistry]:
    """Serve a registry at a free port."""
    registry = SmallRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(b"")

        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name
            del format  # a test prints nothing

        def _respond(self, body: bytes) -> None:
            registry.headers.append(dict(self.headers.items()))
            status, document = registry.respond(self.path, body)
            if registry.redirect:
                status = 302
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Location", registry.redirect + self.path)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serve = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serve.start()
        registry.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield registry
        finally:
            server.shutdown()
