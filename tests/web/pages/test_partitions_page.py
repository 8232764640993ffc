"""What `/partitions` and `/workers` say where nobody serves, and of what is hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import EmbeddedBackend, Flow, aio
from sayiir_es.web.pages.partitions_page import bytes_text, seconds_text
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    from pathlib import Path

parked = Flow("parked").wait_for_signal("go").build()


async def test_a_partition_without_an_owner_says_why_and_what_to_do(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    with EmbeddedBackend(path) as first:
        async with aio.WorkflowClient(first) as client:
            await client.submit(parked, "p")
    async with serving(backend=EmbeddedBackend(path)) as app, browser(app) as web:
        answer = await web.get("/partitions")
        rows = await web.get("/parts/partitions", headers={"hx-request": "true"})
        workers = await web.get("/workers")
    assert answer.status_code == rows.status_code == workers.status_code == 200
    for text in (answer.text, rows.text):
        assert "1 of 1 not served" in text
        assert "no worker owns partition 0" in text
        assert "sayiir-es worker run MODULE" in text
    assert "<html" not in rows.text
    assert "No worker is there" in workers.text


def test_sizes_and_times_are_for_people() -> None:
    assert bytes_text(None) == ""
    assert [bytes_text(one) for one in (0, 1023, 1024, 5 << 20, 3 << 40)] == [
        *("0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 TiB")
    ]
    assert [seconds_text(one) for one in (900, 90_000, 600_000, 36_000_000)] == [
        *("1 s", "90 s", "10 min", "10 h")
    ]
