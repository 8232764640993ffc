"""A client that is generated from the OpenAPI document works as its users expect."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import InMemoryBackend, aio
from sayiir_es.web.app import create_app
from sayiir_es.web.server import address_of, listen, serve
from tests.web.api.sample_flows import WORKFLOWS
from tests.web.browsers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

GENERATOR = "openapi-python-client==0.29.1"
LIMIT_S = 100


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a package that was generated, which can be imported."""
    directory = tmp_path_factory.mktemp("generated")

    async def document() -> dict[str, Any]:
        async with serving() as app:
            return app.openapi()

    (directory / "openapi.json").write_text(json.dumps(asyncio.run(document())))
    (directory / "config.json").write_text('{"post_hooks": []}')
    _generate(directory)
    sys.path.insert(0, str(directory / "generated"))
    return "sayiir_es_client"


def _generate(directory: Path) -> None:
    """Run the generator in an environment of its own: its needs are not ours."""
    fetched = _run(directory, "--version")
    if fetched.returncode != 0:
        reason = f"the generator of clients cannot be fetched: {fetched.stderr[-300:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    generated = _run(
        directory,
        *("generate", "--path", "openapi.json", "--config", "config.json"),
        *("--output-path", "generated"),
    )
    said = generated.stdout + generated.stderr
    assert generated.returncode == 0, said
    assert "warning" not in said.lower(), said


def _run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (ours)
        [
            *(sys.executable, "-m", "uv", "tool", "run", "--from", GENERATOR),
            *("openapi-python-client", *arguments),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture
async def address() -> AsyncGenerator[str]:
    """Of an API on a real socket."""
    backend, stop = InMemoryBackend(), asyncio.Event()
    listener = listen("127.0.0.1", 0)
    async with aio.Worker("w", backend, WORKFLOWS):
        app = create_app(backend, ending=stop)
        task = asyncio.create_task(serve(app, listener, stop))
        yield address_of(listener)
        stop.set()
        await task


async def test_it_starts_waits_and_reads_an_instance(
    package: str, address: str
) -> None:
    client = import_module(package).Client(base_url=address)
    models = import_module(f"{package}.models")

    def call(module: str, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = import_module(
            f"{package}.api.{module}.{name}"
        ).asyncio
        return found

    body = models.StartBody(workflow="adding", instance_id="a-1", input_={"n": 1})
    started = await call("instances", "start_instance")(
        client=client, body=body, wait="10s"
    )
    assert started.status == "completed"
    assert started.output == {"n": 2}
    shown = await call("instances", "describe_instance")("a-1", client=client)
    assert shown.workflow == "adding"
    page = await call("instances", "list_instances")(client=client, workflow="adding")
    assert [one.instance_id for one in page.instances] == ["a-1"]
    history = await call("history", "get_history")("a-1", client=client)
    assert history.events[-1].kind == "WorkflowCompleted"
    problem = await call("control", "cancel_instance")(
        "a-1", client=client, body=models.ReasonBody(reason="late")
    )
    assert (problem.code, problem.rejection) == ("command_refused", "terminal")
    waiting = models.StartBody(workflow="waiting", instance_id="w-1")
    await call("instances", "start_instance")(client=client, body=waiting)
    signal = models.SignalBody(name="approval", payload={"ok": True})
    decision = await call("control", "send_signal")("w-1", client=client, body=signal)
    assert decision.event == "SignalReceived"
    result = await call("instances", "get_instance_result")(
        "w-1", client=client, wait="10s"
    )
    assert result.output == {"ok": True}
    counts = await call("instances", "count_instances")(
        client=client, group_by="status"
    )
    assert counts.total == 2
