"""Debounced starts as clients see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sayiir_es import Flow, InMemoryBackend, WorkflowClient, WorkflowError
from sayiir_es.client.commands import start_command
from sayiir_es.client.debounced_starts import Debounce, debounce_of, debounced


def echo(value: object) -> object:
    return value


W = Flow("a/b").then(echo).build()


def test_a_start_that_waits_is_submitted_and_no_instance() -> None:
    client = WorkflowClient(InMemoryBackend())
    client.submit(W, "i0", 1, debounce="1h", debounce_key="k")
    status = client.submit(
        W, "i1", 1, debounce="1h", debounce_key="k", attributes={"a": "b"}
    )
    assert status.status == "submitted"
    assert status.instance_id == "i1"
    assert status.attributes == {"a": "b"}
    assert status.waiting_for == (
        "3600000 ms without another start under '$debounce/a%2Fb/k', which would take "
        "its place"
    )
    assert client.list() == ()
    with pytest.raises(WorkflowError, match="a published workflow 'a/b'"):
        client.submit("a/b", "i3", 1, version="7", debounce="1h")


def test_times_are_said_as_everywhere() -> None:
    assert debounce_of(None, None, None) is None
    assert debounce_of("5s", None, None) == Debounce(quiet_ms=5_000)
    assert debounce_of(0.5, "k", "1d") == Debounce(
        quiet_ms=500, key="k", max_ms=86_400_000
    )
    assert debounce_of(timedelta(seconds=1), "", 1) == Debounce(
        quiet_ms=1_000, max_ms=1_000
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((None, "k", None), "expected debounce with debounce_key, but none"),
        ((None, None, "1s"), "expected debounce with debounce_max, but none"),
        ((0, None, None), "expected a debounce of 1 ms or more"),
        (("2s", None, "1s"), "no longer than debounce_max, but 2000 ms and 1000 ms"),
        (("soon", None, None), "Invalid duration"),
    ],
)
def test_what_is_no_time_is_refused(given: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        debounce_of(*given)


def test_a_start_that_comes_later_is_not_waited_for() -> None:
    client = WorkflowClient(InMemoryBackend())
    for more, name in (({"wait": True}, "wait=True"), ({"ack": "log"}, 'ack="log"')):
        options: dict[str, Any] = {"debounce": "1s", **more}
        with pytest.raises(ValueError, match=f"expected no {name} with debounce"):
            client.submit(W, "i", 1, **options)


def test_a_key_that_is_too_long_is_refused_before_anything_is_sent() -> None:
    start = start_command("w", "i", b"1", policy="fail")
    longest = Debounce(quiet_ms=1, key="k" * 244)
    assert len(debounced(start, longest).instance_id) == 256
    with pytest.raises(ValueError, match="at most 256 bytes"):
        debounced(start, Debounce(quiet_ms=1, key="k" * 245))
