"""What `/limits` says: keys, who has permits and who waits, with their pages."""

from __future__ import annotations

import asyncio

from sayiir_es import Flow, InMemoryBackend, aio, task
from tests.web.browsers import browser, serving


async def test_a_limit_in_use_is_shown_with_who_has_it_and_who_waits() -> None:
    opened = asyncio.Event()

    @task(concurrency_key="<api>", max_concurrency=1)
    async def work(value: object) -> object:
        await opened.wait()
        return value

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    async with (
        aio.Worker("w", backend, [flow]),
        serving(backend=backend) as app,
        browser(app) as web,
        aio.WorkflowClient(backend) as client,
    ):
        empty = await web.get("/limits")
        assert "No limit is in use, waited for, or set." in empty.text
        for number in range(2):
            await client.submit(flow, f"order/{number}", number)
        async with asyncio.timeout(20):
            while (await client.get_limit("<api>")).queued != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await client.set_limit("<api>", rate="2/s", reason="slow", set_by="ana")
        page = (await web.get("/limits")).text
        rows = (await web.get("/parts/limits", headers={"hx-request": "true"})).text
        opened.set()
    for text in (page, rows):
        assert "&lt;api&gt;" in text
        assert "<api>" not in text
        assert "order/0</a>" in text
        assert "order/1</a>" in text
        assert "2/s" in text
        assert "by ana" in text
    assert "<html" in page
    assert "<html" not in rows


async def test_a_start_queue_is_shown_beside_limits_with_who_runs_and_who_waits() -> (
    None
):
    flow = Flow("<in/out>", max_running=1, queue_length=1_234).wait_for_signal("go")
    backend = InMemoryBackend()
    async with (
        aio.Worker("w", backend, [flow.build()]),
        serving(backend=backend) as app,
        browser(app) as web,
        aio.WorkflowClient(backend) as client,
    ):
        await client.set_limit("api", max_concurrency=2)
        for number in range(2):
            await client.submit(flow.build(), f"order/{number}", number)
        key = "<in%2Fout>"
        async with asyncio.timeout(20):
            while (await client.get_limit(key, of="runs")).queued != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        page = (await web.get("/limits")).text
        await client.set_limit(key, of="runs", queue_length=5, set_by="ana")
        rows = (await web.get("/parts/limits", headers={"hx-request": "true"})).text
        found = await web.get("/?waiting_for=start%3A%3Cin%2Fout%3E")
    for text in (page, rows):
        assert text.index(">attempts</td>") < text.index(">runs</td>")
        assert "&lt;in%2Fout&gt;" in text
        assert "<in/" not in text
        assert "<in%" not in text
        assert "order/0</a>" in text
        assert "order/1</a>" in text
        assert "/?waiting_for=start%3A%3Cin%2Fout%3E" in text
    assert "at most 1,234" in page
    assert "as the workflow says" in page
    assert "at most 5<" in rows
    assert "by ana" in rows
    assert "order/1" in found.text
    assert "order/0" not in found.text
