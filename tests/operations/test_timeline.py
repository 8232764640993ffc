"""Timelines as data, and what draws them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.cli.instance.timeline_text import draw_timeline
from sayiir_es.core.model.events import (
    CommandRejected,
    Event,
    LoopIterated,
    LoopStarted,
    OutcomeRejected,
    PositionUpdated,
    SignalAwaited,
    TaskCompleted,
    WorkflowCompleted,
    WorkflowPaused,
    WorkflowStarted,
    WorkflowUnpaused,
)
from sayiir_es.operations.timeline.axis import MARKS_MAX, Axis, span_text, step_ms
from sayiir_es.operations.timeline.drafts import BARS_MAX
from sayiir_es.operations.timeline.folding import timeline_of
from sayiir_es.operations.timeline.lanes import Lane, Timeline
from sayiir_es.operations.timeline.sentences import lane_sentence
from sayiir_es.operations.timeline.svg import lane_svg
from sayiir_es.testing import given
from tests.operations.rich_workflow import rich

HOSTILE = '<img onerror="alert(1)">\x1b[2J\u202e'


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    scenario = given(rich, {"customer": "ana", "amount": 5}).to_the_end()
    events = scenario.signal("approval").to_the_end().result.events
    return timeline_of(events, now_ms=0, graph=rich.graph)


def lane(timeline: Timeline, path: str) -> Lane:
    return next(one for one in timeline.lanes if one.path == path)


def bars(timeline: Timeline, path: str) -> list[tuple[str, str]]:
    return [(bar.kind, bar.state) for bar in lane(timeline, path).bars]


def events(*bodies: tuple[int, Any]) -> list[Event]:
    return [
        Event(
            claim=0,
            instance_id="order-7",
            run=1,
            sequence=n,
            at=1_000_000 + at,
            cause="",
            body=body,
        )
        for n, (at, body) in enumerate(bodies, 1)
    ]


STARTED = WorkflowStarted(
    command_id="c",
    workflow="orders",
    definition_hash="ab",
    graph_digest="cd",
    input=b"null",
    conflict_policy="fail",
    attributes={},
)


def due(path: str, attempt: int = 1) -> PositionUpdated:
    return PositionUpdated(path=path, attempt=attempt, input="start")


def completed(path: str) -> TaskCompleted:
    return TaskCompleted(path=path, attempt=1, output=b"1", loop="none", worker="w")


def test_each_attempt_is_a_bar_and_waits_between_them_are(timeline: Timeline) -> None:
    assert bars(timeline, "charge") == [
        ("queued", "done"),
        ("attempt", "retried"),
        ("backoff", "done"),
        ("attempt", "retried"),
        ("backoff", "done"),
        ("attempt", "done"),
    ]
    assert lane(timeline, "charge").attempts == 3
    first_backoff = lane(timeline, "charge").bars[2]
    assert first_backoff.end is not None
    assert 1_990 < first_backoff.end - first_backoff.start <= 2_000
    assert lane(timeline, "charge").bars[1].detail == ("TimeoutError: the bank is slow")


def test_branches_are_lanes_below_their_fork(timeline: Timeline) -> None:
    names = [(one.depth, one.title) for one in timeline.lanes]
    at = names.index((0, "fork"))
    assert names[at : at + 5] == [
        (0, "fork"),
        (1, "pack"),
        (2, "pack"),
        (1, "bill"),
        (2, "bill"),
    ]


def test_a_fork_ends_with_its_last_branch(timeline: Timeline) -> None:
    ends = [
        lane(timeline, path).bars[-1].end
        for path in ("pack||bill", "pack||bill/pack", "pack||bill/bill")
    ]
    assert all(end is not None for end in ends)
    assert ends[0] == max(end for end in ends if end is not None)


def test_iterations_of_a_loop_share_a_lane(timeline: Timeline) -> None:
    assert [bar.label for bar in lane(timeline, "loop_0").bars] == [
        "iteration 1",
        "iteration 2",
        "iteration 3",
    ]
    assert bars(timeline, "loop_0/weigh") == [("attempt", "done")] * 3


def test_what_was_undone_and_what_undid_it_are_there(timeline: Timeline) -> None:
    assert lane(timeline, "charge").state == "undone"
    undo = lane(timeline, "charge/@compensate")
    assert (undo.kind, undo.title, undo.depth) == ("compensation", "undo charge", 1)


def test_titles_are_those_of_the_graph(timeline: Timeline) -> None:
    assert lane(timeline, "child_0").title == "child shipping"
    assert lane(timeline, "attempt_0").title == "attempt"


def test_a_rejection_is_a_tick_and_does_not_stretch_the_axis() -> None:
    late = CommandRejected(
        command="SendSignal", command_id="c", code="ended", message="expected a run"
    )
    made = timeline_of(
        events((0, STARTED), (5, WorkflowCompleted(output=b"1")), (86_400_000, late)),
        now_ms=0,
    )
    assert made.end - made.start == 5
    (tick,) = lane(made, "").ticks
    assert (tick.kind, tick.label) == (
        "rejection",
        "SendSignal rejected: expected a run",
    )
    assert Axis(made).place(tick.at) == 1


def test_what_goes_on_reaches_to_now() -> None:
    waits = SignalAwaited(path="ok", signal="ok", until_at=2_000_000)
    made = timeline_of(events((0, STARTED), (10, waits)), now_ms=1_000_500)
    (bar,) = lane(made, "ok").bars
    assert made.goes_on
    assert (bar.kind, bar.state, bar.end, bar.due_at) == (
        "signal",
        "open",
        None,
        2_000_000,
    )
    assert made.end == 1_000_500
    assert lane(made, "ok").state == "waiting"
    assert "until 1970-01-01T00:33:20.000Z" in lane_sentence(lane(made, "ok"), made)


def test_a_backoff_that_is_over_is_followed_by_a_running_attempt() -> None:
    @task(retries=RetryPolicy(max_retries=3, initial_delay_secs=60.0))
    def fails(_: Any) -> None:
        raise TimeoutError("slow")

    flow = Flow("retrying").then(fails).build()
    happened = given(flow, None).until_backoff("fails", attempt=1).result.events
    at = happened[-1].at
    assert lane(timeline_of(happened, now_ms=at + 1_000), "fails").state == "waiting"
    assert lane(timeline_of(happened, now_ms=at + 61_000), "fails").state == "running"


def test_a_pause_is_a_bar_of_the_run() -> None:
    paused = WorkflowPaused(reason="audit", requested_by="ana")
    unpaused = WorkflowUnpaused(command_id="c", reason=None, requested_by=None)
    made = timeline_of(
        events((0, STARTED), (10, paused), (30, unpaused)), now_ms=1_000_050
    )
    assert bars(made, "") == [("held", "ended"), ("run", "open")]


def test_events_of_one_millisecond_stand_one_after_another() -> None:
    made = timeline_of(
        events(
            (0, STARTED),
            (0, due("a")),
            (0, completed("a")),
            (0, due("b")),
            (0, completed("b")),
            (0, WorkflowCompleted(output=b"1")),
        ),
        now_ms=0,
    )
    first, second = lane(made, "a").bars[0], lane(made, "b").bars[0]
    assert first.end is not None
    assert 0 < made.end - made.start < 1
    assert first.start < first.end < second.start
    axis = Axis(made)
    assert axis.place(second.start) - axis.place(first.end) > 0.1
    assert [mark.label for mark in axis.marks()] == ["0"]


@pytest.mark.parametrize(
    "span_ms", [0.3, 1, 7, 900, 5_000, 61_000, 4e6, 9e7, 30 * 864e5, 1e12]
)
def test_an_axis_has_a_few_round_marks(span_ms: float) -> None:
    step = step_ms(span_ms)
    assert span_ms / step <= MARKS_MAX
    blank = Timeline(start=0, end=span_ms, lanes=(), moments=(), goes_on=False)
    labels = [mark.label for mark in Axis(blank).marks()]
    assert labels[0] == "0"
    assert len(labels) == len(set(labels)) <= MARKS_MAX + 1


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0"),
        (0.2, "< 1 ms"),
        (40, "40 ms"),
        (1_250, "1.25 s"),
        (90_000, "1 min 30 s"),
        (7_200_000, "2 h"),
        (30 * 86_400_000 + 3_600_000, "30 d 1 h"),
    ],
)
def test_a_span_has_two_units_at_most(span_ms: float, text: str) -> None:
    assert span_text(span_ms) == text


def test_by_order_a_short_step_has_as_much_room_as_a_long_wait(
    timeline: Timeline,
) -> None:
    by_time, by_order = Axis(timeline), Axis(timeline, "order")
    label = lane(timeline, "child_0/label").bars[0]
    wait = lane(timeline, "approval").bars[0]
    for axis in (by_time, by_order):
        assert axis.place(timeline.start) == 0
        assert axis.place(timeline.end) == 1
    for bar in (label, wait):
        assert bar.end is not None
    assert by_time.place(wait.end or 0) - by_time.place(wait.start) > 0.9
    assert by_order.place(wait.end or 0) - by_order.place(wait.start) == pytest.approx(
        1 / (len(timeline.moments) - 1)
    )
    assert by_order.place(label.end or 0) - by_order.place(label.start) > 0.01


def test_a_loop_of_thousands_of_iterations_shows_the_last_ones() -> None:
    bodies: list[tuple[int, Any]] = [
        (0, STARTED),
        (0, LoopStarted(path="l", input="start")),
    ]
    for n in range(3_000):
        bodies += [(n, due(f"l@{n}/t")), (n, completed(f"l@{n}/t"))]
        outcome: Any = "again"
        turn = LoopIterated(path="l", iteration=n, value=b"1", outcome=outcome)
        bodies.append((n, turn))
    made = timeline_of(events(*bodies), now_ms=0)
    turns = lane(made, "l/t")
    assert len(turns.bars) == BARS_MAX
    assert turns.attempts == 3_000
    assert lane(made, "l").bars[-1].label == "iteration 3001"


def test_hostile_names_and_errors_are_escaped_in_svg_and_terminal() -> None:
    happened = events((0, STARTED), (1, due(HOSTILE)), (2, due("plain")))
    rejected = OutcomeRejected(path=HOSTILE, attempt=1, reason=HOSTILE)
    happened.append(replace(happened[-1], body=rejected))
    made = timeline_of(happened, now_ms=1_000_009)
    axis = Axis(made)
    svg = "".join(lane_svg(one, made, axis) for one in made.lanes)
    assert "<img" not in svg
    assert "&lt;img" in svg
    text = "\n".join(line.plain for line in draw_timeline(made, "time", width=80))
    for shown in (svg, text):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_svg_has_no_style_that_a_policy_would_refuse(timeline: Timeline) -> None:
    axis = Axis(timeline)
    svg = "".join(lane_svg(one, timeline, axis) for one in timeline.lanes)
    assert "style" not in svg
    assert svg.count("<svg class") == len(timeline.lanes)
    assert svg.count('<g class="bar attempt retried">') == 2
    assert "<title>attempt 1, failed, tried again, &lt; 1 ms, TimeoutError" in svg


def test_the_terminal_draws_the_same_lanes(timeline: Timeline) -> None:
    lines = [line.plain for line in draw_timeline(timeline, "order", width=100)]
    assert len(lines) == len(timeline.lanes) + 3
    charge = next(line for line in lines if line.startswith("charge"))
    assert charge.count("✗") == 2
    assert "undone" in charge
    assert all(len(line) <= 100 for line in lines)


def test_an_instance_without_events_has_an_empty_timeline() -> None:
    made = timeline_of([], now_ms=5)
    assert (made.lanes, made.start, made.end) == ((), 0, 0)
    assert Axis(made).marks()[0].place == 0
