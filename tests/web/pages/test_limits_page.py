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
