"""Whatever a request brings, the API answers in its own words, and never fails."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sayiir_es import InMemoryBackend, aio
from tests.web.api.sample_flows import WORKFLOWS
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

HOSTILE = (
    *("", "a", "\x00", "\x1b[2J", "\u202eevil", "<img src=x onerror=alert(1)>"),
    *("javascript:alert(1)", "../../etc/passwd", "%00", "a" * 300, "ü", "\ud800"),
    *("1e999", "-1", "9" * 30, "NaN", "null", "10m", "adding", "waiting", "w-1"),
    *("latest", "signal:approval", "2030-01-01", "1.x", "9" * 5000 + ".x"),
)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(HOSTILE)
    | st.text(max_size=20)
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(HOSTILE) | st.text(max_size=5), inner)
    ),
    max_leaves=6,
)


class Target:
    """An API in this process, and the loop that it runs on."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.client: httpx.AsyncClient
        self.document: dict[str, Any]
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        backend = InMemoryBackend()
        enter = self._stack.enter_async_context
        await enter(aio.Worker("w", backend, WORKFLOWS))
        app = await enter(serving(backend=backend))
        self.client = await enter(browser(app))
        self.document = app.openapi()
        body = {"workflow": "waiting", "instance_id": "w-1"}
        await self.client.post("/api/v1/instances", json=body)

    def close(self) -> None:
        """End it."""
        self.loop.run_until_complete(self._stack.aclose())
        self.loop.close()

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request, and hold the response to what every one has to be."""
        sending = self.client.request(method, path, **request)
        response = self.loop.run_until_complete(sending)
        assert response.status_code < 500, (method, path, request, response.text)
        assert response.headers["content-type"].endswith("json")
        text = response.text
        json.loads(text)
        assert not any(char < " " for char in text)
        return response


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    target = Target()
    yield target
    target.close()


def _operations(document: dict[str, Any]) -> list[tuple[str, str, list[str], str]]:
    """Method, path, names of the query, and the schema of the body, of each."""
    return [
        (
            method,
            path,
            [one["name"] for one in operation["parameters"] if one["in"] == "query"]
            if "parameters" in operation
            else [],
            json.dumps(operation.get("requestBody", {})),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def _fields_of(document: dict[str, Any], body: str) -> list[str]:
    """The names of the fields of a body."""
    found = [
        schema["properties"]
        for name, schema in document["components"]["schemas"].items()
        if f"/{name}" in body and "properties" in schema
    ]
    return sorted({name for fields in found for name in fields})


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_request_makes_it_fail(target: Target, data: st.DataObject) -> None:
    operations = _operations(target.document)
    method, path, query, body = data.draw(st.sampled_from(operations))
    texts = st.sampled_from(HOSTILE) | st.text(max_size=12)
    for name in ("{instance_id}", "{task_id}"):
        if name in path:
            segment = data.draw(st.just("w-1") | texts.filter(bool))
            path = path.replace(name, _quoted(segment))
    chosen = data.draw(st.lists(st.sampled_from(query), max_size=4)) if query else []
    params = "&".join(f"{name}={_quoted(data.draw(texts))}" for name in chosen)
    request: dict[str, Any] = {}
    if body != "{}":
        fields = _fields_of(target.document, body)
        value = data.draw(
            st.dictionaries(st.sampled_from(fields), _values, max_size=6) | _values
        )
        request["content"] = json.dumps(value)
        request["headers"] = {"content-type": "application/json"}
    address = f"{path}?{params.replace('wait=', 'x=')}" if params else path
    target.send(method, address, **request)


@settings(max_examples=60, deadline=None)
@given(
    value=_values,
    attributes=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    instance_id=st.text(min_size=1, max_size=20),
)
def test_what_is_started_can_be_looked_at(
    target: Target, value: object, attributes: dict[str, str], instance_id: str
) -> None:
    body = {
        "workflow": "waiting",
        "instance_id": instance_id,
        "input": value,
        "attributes": attributes,
        "conflict_policy": "use_existing",
    }
    started = target.send(
        "POST",
        "/api/v1/instances",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    if started.status_code >= 400:
        assert started.status_code in (413, 422), started.text
        return
    path = f"/api/v1/instances/{_quoted(instance_id)}"
    for more in ("", "/history", "/state", "/diff?from=0", "/result"):
        assert target.send("GET", path + more).status_code in (200, 202)
    assert target.send("GET", path).json()["instance_id"] == instance_id


def test_a_body_of_any_bytes_is_answered(target: Target) -> None:
    for content in (
        b"",
        b"\x00",
        b"\xff" * 100,
        b"[" * 200_000,
        b'"\\ud800"',
        b"1e999",
    ):
        for kind in ("application/json", "text/html", "multipart/form-data", ""):
            response = target.send(
                "POST",
                "/api/v1/instances",
                content=content,
                headers={"content-type": kind},
            )
            assert response.status_code in (400, 422), response.text
