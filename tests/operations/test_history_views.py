"""What is waited for, histories with what belongs together, and painted graphs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.core.model.events import RouteChosen, SignalConsumed
from sayiir_es.operations.drawing.painting import NodePaint, Painting
from sayiir_es.operations.drawing.svg import draw_svg_in_page
from sayiir_es.operations.history_groups import grouped
from sayiir_es.operations.pending import Pending, pending_of
from sayiir_es.operations.timeline.folding import timeline_of
from sayiir_es.operations.timeline.painting import painting_of
from sayiir_es.testing import given
from tests.operations.histories import ORDER, history_of, rich_history
from tests.operations.rich_workflow import rich

if TYPE_CHECKING:
    from sayiir_es.audit.history import History

HOSTILE = '"><img onerror=x>\x1b[2J\u202e'


@pytest.fixture(scope="module")
def history() -> History:
    return rich_history()


@task(retries=RetryPolicy(max_retries=4, initial_delay_secs=12.0), timeout="30s")
def fails(_: Any) -> None:
    raise TimeoutError("the bank is slow")


# --- groups ---------------------------------------------------------------------------


def test_an_attempt_is_one_group_from_due_to_outcome(history: History) -> None:
    groups = [group for group in grouped(history.events) if group.path == "charge"]
    assert [(g.attempt, g.state, [one.event.kind for one in g.events]) for g in groups][
        :3
    ] == [
        (1, "retried", ["PositionUpdated", "DeadlineSet", "RetryRecorded"]),
        (2, "retried", ["DeadlineSet", "RetryRecorded"]),
        (3, "done", ["DeadlineSet", "TaskCompleted"]),
    ]


def test_waits_and_delays_are_groups_with_their_ends(history: History) -> None:
    kinds = {
        group.path: [one.event.kind for one in group.events]
        for group in grouped(history.events)
        if group.title in ("Delay", "Signal")
    }
    assert kinds == {
        "approval": ["SignalAwaited", "SignalTimedOut"],
        "cool_off": ["DelayStarted", "DelayElapsed"],
    }


def test_no_event_is_lost_or_twice_in_groups(history: History) -> None:
    groups = grouped(history.events)
    offsets = [entry.offset for group in groups for entry in group.events]
    assert sorted(offsets) == [entry.offset for entry in history.events]
    firsts = [group.first.offset for group in groups]
    assert firsts == sorted(firsts)


def test_a_route_ends_the_attempt_of_its_key_function() -> None:
    def key(_: Any) -> str:
        return "big"

    @task
    def large(value: Any) -> Any:
        return value

    flow = Flow("routed").route(key, keys=["big"]).branch("big", large).done().build()
    events = given(flow, 1).result.events
    (group,) = [
        group
        for group in grouped(history_of(events).events)
        if isinstance(group.last.event.body, RouteChosen)
    ]
    assert (group.title, group.state, len(group.events)) == ("Route", "done", 2)


# --- what is waited for ---------------------------------------------------------------


def test_pending_attempts_say_their_last_error_and_their_next_try() -> None:
    flow = Flow("retrying").then(fails).build()
    events = given(flow, None).until_backoff("fails", attempt=2).result.events
    pending = pending_of(history_of(events, flow.graph).rows(), flow.graph)
    (attempt,) = pending.attempts
    assert (attempt.path, attempt.attempt, attempt.most) == ("fails", 3, 5)
    assert attempt.not_before > events[-1].at
    assert attempt.failure is not None
    assert attempt.failure.error == "TimeoutError: the bank is slow"
    assert "in fails" in attempt.failure.details.source_line


def test_pending_signals_say_until_when() -> None:
    events = given(rich, ORDER).after("10s").result.events
    history = history_of(events, rich.graph)
    pending = pending_of(history.rows(), rich.graph)
    (signal,) = pending.signals
    assert (signal.path, signal.signal) == ("approval", "approval")
    assert signal.until_at is not None
    assert signal.until_at - events[-1].at == 48 * 3_600_000


def test_nothing_is_pending_once_it_has_ended(history: History) -> None:
    assert pending_of(history.rows(), rich.graph) == Pending()


# --- states behind events -------------------------------------------------------------


def test_a_step_is_the_state_and_the_diff_by_one_fold(history: History) -> None:
    for at in (1, 4, history.last):
        snapshot, changes = history.step(at)
        assert snapshot == history.state(at)
        assert changes == history.diff(at - 1, at)
    assert history.step(0)[1] == []


# --- painted graphs -------------------------------------------------------------------


def test_the_graph_is_painted_with_states_in_colour_and_words(history: History) -> None:
    events = [entry.event for entry in history.events]
    painting = painting_of(timeline_of(events, now_ms=0, graph=rich.graph))
    assert painting.get("charge") == NodePaint(state="undone", attempts=3)
    assert painting.get("loop_0@2/weigh").words == "✓ done ×3"
    assert painting.get("hand_over").state == "failed"
    svg = draw_svg_in_page(
        rich.graph, painting=painting, address=lambda path: f"/x?name={path}&tab=graph"
    )
    root = ET.fromstring(svg)  # noqa: S314 (ours)
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "✕ failed" in texts
    assert "↺ undone ×3" in texts
    links = [node.get("href") for node in root.iter() if node.tag == "a"]
    assert "/x?name=hand_over&tab=graph" in links
    assert len(links) == len([p for p in rich.graph.places if "@compensate" not in p])
    assert "style" not in svg


def test_what_was_not_reached_is_said_by_its_class() -> None:
    svg = draw_svg_in_page(rich.graph, painting=Painting(nodes={}))
    assert svg.count('class="node is-not_reached"') == svg.count("<title>")


def test_hostile_names_stay_text_in_a_painted_graph() -> None:
    @task
    def plain(value: Any) -> Any:
        return value

    graph = Flow(HOSTILE).then(plain, name=HOSTILE).build().graph
    painting = Painting(nodes={graph.first: NodePaint(state="failed")})
    svg = draw_svg_in_page(graph, painting=painting, address=quote)
    ET.fromstring(svg)  # noqa: S314 (ours)
    assert not re.search("<img|\x1b|\u202e", svg)


def test_a_signal_that_came_ends_its_wait() -> None:
    scenario = given(rich, ORDER).after("10s").signal("approval", {"ok": True})
    events = scenario.result.events
    groups = grouped(history_of(events).events)
    (wait,) = [group for group in groups if group.path == "approval"]
    assert isinstance(wait.last.event.body, SignalConsumed)
    assert wait.state == "done"
