"""The sentence that says what an instance waits for, when it is for a worker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.engine.claims import find_owner
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable


@task(tags=["gpu", "large"])
def render(scene: str) -> str:
    return f"image of {scene}"


film = Flow("film").then(render).build()
book = Flow("book").then(render, name="print").build()


def test_an_attempt_whose_owner_lacks_a_tag_waits_and_says_so() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("cpu", backend, tags=["cpu", "large"]).start([film]):
        client.submit(film, "scene-1", "a tree")
        waiting = client.status("scene-1")
        assert waiting.status == "in_progress"
        assert waiting.waiting_for.endswith(
            "; the worker that owns partition 0 lacks the tag 'gpu' for 'render'"
        )
    with Worker("gpu", backend, tags=["gpu", "large"]).start([film]):
        status = client.wait("scene-1", timeout="10s")
    assert (status.output, status.waiting_for) == (
        "image of a tree",
        "nothing: it has ended",
    )


def test_an_attempt_whose_owner_lacks_the_code_waits_and_says_so() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("films", backend).start([film]):
        client.submit(book, "book-1", "a tree")
        assert client.status("book-1").waiting_for.endswith(
            "; the worker that owns partition 0 lacks the code of 'book' for 'print'"
        )


def test_a_worker_without_tags_runs_every_task() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("any", backend).start([film]):
        client.submit(film, "scene-1", "a tree")
        assert client.wait("scene-1", timeout="10s").status == "completed"


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_what_a_worker_gave_up_stands_in_the_sentence_until_it_takes_it_again() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)

    async def announce(owner: str, refusals: dict[int, Refusal]) -> None:
        definitions = DefinitionFeed(backend.open_log(), Registry())
        await definitions.announce(owner, refusals)
        await definitions.close()

    async def find_owner_id() -> str:
        return await find_owner(backend.session.log, 0) or ""

    with Worker("any", backend, tags=["cpu"]).start([film]):
        client.submit(film, "scene-1", "a tree")
        owner = asyncio.run(find_owner_id())
    refusal = Refusal(code="store", reason="expected room, but there is none")
    asyncio.run(announce(owner, {0: refusal}))
    until(
        lambda: client.status("scene-1").waiting_for.endswith(
            "; worker 'any' gave partition 0 up: its store cannot be used: expected "
            "room, but there is none"
        )
    )
    asyncio.run(announce(owner, {}))
    assert "gave" not in client.status("scene-1").waiting_for
