"""The page of an instance as a client without a browser gets it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import InMemoryBackend, aio
from sayiir_es.core.model.errors import SettingsError
from sayiir_es.core.model.events import WorkflowUnpaused
from sayiir_es.operations.history_cache import HistoryCache
from sayiir_es.web.imports import Imports
from sayiir_es.web.masking import DEFAULT_NAMES, Masking
from sayiir_es.web.pages.instance.shown import ShownInstance
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.settings import checked_trace_url
from sayiir_es.wire.trace_context import read_traceparent
from tests.cli.sample_workflows import approving, doubling
from tests.operations.histories import history_of, rich_history
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

UNPAUSED = WorkflowUnpaused(command_id="c", reason=None, requested_by=None)
HTML = {"accept": "text/html"}
IDS = (
    *("order-7", "a/b", "/", "//x", "a/", ".", "..", "../..", "a/../b", " ", "%2F"),
    *("a?b=c&d", "a#b", "a%00b", "é/ü", "history", "\x1b[2J", "\u202e", "+", "a\nb"),
)


@asynccontextmanager
async def site(*ids: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of pages over instances that wait for a signal."""
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [approving, doubling]),
            serving(backend=backend) as app,
            browser(app, headers=HTML) as person,
        ):
            for instance_id in ids:
                await client.submit(approving, instance_id, 2)
            yield person


async def test_every_id_has_its_page() -> None:
    async with site(*IDS) as person:
        for instance_id in IDS:
            address = instance_address(instance_id)
            found = await person.get(address)
            assert found.status_code == 200, instance_id
            assert "awaiting signal" in found.text
            # A link of the page, as it stands there, leads to the same instance.
            joined = "&amp;" if "?" in address else "?"
            assert f'{address}{joined}tab=graph"' in found.text, instance_id


async def test_an_instance_that_is_not_there_is_not_found() -> None:
    async with site() as person:
        missing = await person.get("/instances/nobody")
        assert missing.status_code == 404
        assert (
            "expected an instance &#39;nobody&#39;, but there is none" in missing.text
        )


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("tab=nothing", 422, "expected tab to be timeline or graph or history"),
        ("tab=history&at=x", 422, "expected at to be a whole number"),
        ("tab=history&at=99", 404, "with a sequence of 0 to"),
        ("part=nothing", 422, "expected a part of the page"),
        ("part=value&name=nothing", 404, "under &#39;nothing&#39;"),
        ("part=event&name=0@999", 404, "at &#39;0@999&#39;"),
        ("tab=graph&name=nothing", 404, "expected a node at &#39;nothing&#39;"),
    ],
)
async def test_a_query_that_means_nothing_says_what_was_expected(
    query: str, code: int, message: str
) -> None:
    async with site("a") as person:
        wrong = await person.get(f"/instances/a?{query}")
        assert (wrong.status_code, message in wrong.text) == (code, True), wrong.text


async def test_a_form_without_its_token_does_nothing() -> None:
    async with site("a") as person:
        refused = await person.post("/instances/a", data={"action": "cancel"})
        assert refused.status_code == 403
        assert "awaiting signal" in (await person.get("/instances/a")).text


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"action": "dance"}, "expected an action, signal, pause"),
        ({"action": "signal", "signal": "go", "payload": "{"}, "payload to be JSON"),
        ({"action": "signal", "payload": "1"}, "expected the signal&#39;s name"),
        ({"action": "retry", "input": "{"}, "input to be JSON"),
        ({"action": "retry"}, "expected a failed instance, but &#39;a&#39;"),
        ({"action": "fork", "at": "0", "new_id": "b"}, "expected the sequence of an"),
        ({"action": "fork", "at": "1"}, "expected an id for the new instance"),
        ({"action": "migrate", "to": "latest", "mapping": "a"}, "expected OLD=NEW"),
    ],
)
async def test_a_form_that_is_refused_says_why_and_keeps_what_was_typed(
    form: dict[str, str], message: str
) -> None:
    async with site("a") as person:
        await person.get("/instances/a")
        token = {"csrf_token": person.cookies["sayiir_csrf"]}
        refused = await person.post("/instances/a", data={**token, **form})
        assert refused.status_code == 422
        assert message in refused.text


async def test_a_reason_is_recorded() -> None:
    async with site("a") as person:
        await person.get("/instances/a")
        token = {"csrf_token": person.cookies["sayiir_csrf"]}
        done = await person.post(
            "/instances/a", data={**token, "action": "cancel", "reason": "too late"}
        )
        assert (done.status_code, done.headers["location"]) == (303, "/instances/a")
        after = await person.get("/instances/a")
        assert "was cancelled: too late" in after.text


async def test_a_download_is_no_page_of_ours() -> None:
    async with site("a") as person:
        value = await person.get("/instances/a?part=value&name=start")
        assert value.headers["content-disposition"] == (
            'attachment; filename="value.json"'
        )
        assert value.headers["x-content-type-options"] == "nosniff"
        assert value.text == "2"
        lines = await person.get("/instances/a?part=history")
        assert lines.headers["content-type"].startswith("application/x-ndjson")
        assert len(lines.text.splitlines()) == 4


async def test_files_that_are_kept_no_longer_say_so() -> None:
    async with site() as person:
        gone = await person.get("/import/nothing")
        assert gone.status_code == 404
        assert "they are kept no longer" in gone.text


async def test_several_instances_of_a_file_are_listed_with_links() -> None:
    async with site("a/b", "c") as person:
        lines = [
            (await person.get(f"/instances/{one}?part=history")).content
            for one in ("a%2Fb", "c")
        ]
        holed = lines[1].replace(b'"instance_id":"c"', b'"instance_id":"holed"')
        lines.append(b"\n".join(holed.splitlines()[1:]))
        taken = await person.post(
            "/import",
            data={"csrf_token": person.cookies["sayiir_csrf"]},
            files={"files": ("all.jsonl", b"\n".join(lines))},
        )
        assert taken.status_code == 303
        place = taken.headers["location"]
        listed = await person.get(place)
        assert f'<a href="{place}?id=a%2Fb">a/b</a>' in listed.text
        assert "expected sequence 1 of &#39;holed&#39;" in listed.text
        one = await person.get(f"{place}?id=a%2Fb&tab=history&at=1")
        assert "Event 1 of 4" in one.text
        assert "data-live" not in one.text
        assert 'method="post"' not in one.text
        nobody = await person.get(f"{place}?id=nobody")
        assert nobody.status_code == 404
        whole = await person.get(f"{place}?id=holed")
        assert "expected sequence 1 of &#39;holed&#39;" in whole.text


async def test_ten_thousand_events_page_in_little() -> None:
    async with site("a") as person:
        kept = (await _kept(person))._kept["a"]
        last = kept.events[-1]
        for n in range(1, 10_001):
            event = replace(last.event, sequence=last.event.sequence + n, body=UNPAUSED)
            kept.events.append(replace(last, offset=last.offset + n, event=event))
        for query in ("", "&view=all", "&view=json", "&view=all&start=5000"):
            shown = await person.get(f"/instances/a?tab=history&at=9000{query}")
            assert shown.status_code == 200
            assert len(shown.content) < 300_000
            assert "Event 9,000 of 10,004" in shown.text


async def _kept(person: httpx.AsyncClient) -> HistoryCache:
    await person.get("/instances/a")
    transport = person._transport
    cache = transport.app.state.site.histories  # type: ignore[attr-defined]
    assert isinstance(cache, HistoryCache)
    return cache


# --- traces, and what is kept of files ------------------------------------------------

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def shown_with(trace_url: str) -> ShownInstance:
    return ShownInstance(
        history=rich_history(),
        status=None,
        address="/x",
        masking=Masking(names=DEFAULT_NAMES),
        is_live=False,
        trace_url=trace_url,
    )


def test_the_trace_of_an_event_is_a_link() -> None:
    shown = shown_with("https://traces.example/{trace_id}?all")
    assert shown.trace_link(TRACEPARENT) == (
        "https://traces.example/0af7651916cd43dd8448eb211c80319c?all"
    )
    assert shown.trace_link(None) is None
    assert shown_with("").trace_link(TRACEPARENT) is None


@pytest.mark.parametrize("header", [b"", b"javascript:alert(1)", b"00-x-y-01"])
def test_what_is_no_trace_context_is_passed(header: bytes) -> None:
    assert read_traceparent((("traceparent", header),)) is None


def test_a_trace_context_is_read() -> None:
    headers = (("kind", b"x"), ("traceparent", TRACEPARENT.encode()))
    assert read_traceparent(headers) == TRACEPARENT


@pytest.mark.parametrize("url", ["javascript:{trace_id}", "https://traces.example/"])
def test_a_trace_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"to be as https://traces\.example"):
        checked_trace_url(url)


def test_files_that_were_looked_at_longest_ago_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sayiir_es.operations.imported_files import Imported  # noqa: PLC0415
    from sayiir_es.web import imports  # noqa: PLC0415

    monkeypatch.setattr(imports, "IMPORTS_MAX", 2)
    events = [entry.event for entry in rich_history().events]
    one = Imported(histories={"a": history_of(events)})
    kept = Imports()
    first, second = kept.add(one), kept.add(one)
    kept.get(first)
    third = kept.add(one)
    assert list(kept._kept) == [first, third]
    assert second not in kept._kept
