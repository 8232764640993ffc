"""The sentence that says what an instance waits for, when it is for a worker."""

from __future__ import annotations

import asyncio

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry


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


def test_what_a_worker_gave_up_stands_in_the_sentence_until_it_takes_it_again() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)

    async def announce(refusals: dict[int, Refusal]) -> None:
        """Say it in the name of the worker that announced itself."""
        registry = Registry()
        definitions = DefinitionFeed(backend.open_log(), registry)
        await definitions.refresh()
        (owner,) = registry.workers()
        await definitions.announce(owner, refusals)
        await definitions.close()

    with Worker("any", backend, tags=["cpu"]).start([film]):
        client.submit(film, "scene-1", "a tree")
        refusal = Refusal(code="store", reason="expected room, but there is none")
        asyncio.run(announce({0: refusal}))
        assert client.status("scene-1").waiting_for.endswith(
            "; worker 'any' gave partition 0 up: its store cannot be used: expected "
            "room, but there is none"
        )
        asyncio.run(announce({}))
        assert "gave" not in client.status("scene-1").waiting_for
