"""Signals: buffered, first come first consumed, idempotent, late, timed out."""

from __future__ import annotations

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    DelayNode,
    ForkNode,
    Node,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.model.commands import PauseWorkflow, SendSignal, UnpauseWorkflow
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    SignalConsumed,
    WorkflowFailed,
)
from sayiir_es.core.model.limits import Limits
from tests.core.instance_runner import InstanceRunner


def play(*chain: Node) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def signal(
    payload: bytes, name: str = "ok", signal_id: str | None = None
) -> SendSignal:
    return SendSignal(
        instance_id="i",
        command_id="",
        signal=name,
        payload=payload,
        signal_id=signal_id,
    )


def test_a_wait_takes_the_payload_and_drops_what_flowed_in() -> None:
    game = play(SignalNode(id="s", signal="ok"), TaskNode(id="a"))
    game.start(b"5")
    assert game.kinds()[-1] == "SignalAwaited"
    events = game.command(signal(b'{"ok":true}'))
    assert [e.kind for e in events] == [
        "SignalReceived",
        "SignalConsumed",
        "PositionUpdated",
    ]
    game.run()
    assert game.output == b'{"ok":true}'


def test_signals_before_the_start_are_kept_and_consumed_in_order() -> None:
    game = play(
        SignalNode(id="s", signal="ok"),
        TaskNode(id="a"),
        SignalNode(id="t", signal="ok"),
    )
    game.command(signal(b"1"))
    game.command(signal(b"2"))
    assert game.header.run == 0
    game.start()
    game.run()
    consumed = [e.body for e in game.events if isinstance(e.body, SignalConsumed)]
    assert [body.signal_sequence for body in consumed] == [1, 2]
    assert game.output == b"2"


def test_names_do_not_mix() -> None:
    game = play(SignalNode(id="s", signal="ok"))
    game.start()
    game.command(signal(b"1", "other"))
    assert game.header.phase == "running"
    game.command(signal(b"2"))
    assert game.output == b"2"


def test_a_signal_id_is_received_once() -> None:
    game = play(SignalNode(id="s", signal="ok"), SignalNode(id="t", signal="ok"))
    game.start()
    game.command(signal(b"1", signal_id="mail"))
    again = game.command(signal(b"1", signal_id="mail"))
    assert again[0].body == CommandAcknowledged(
        command="SendSignal", command_id="0@2", code="duplicate", answered_by=3
    )
    assert game.header.phase == "running"


def test_a_signal_to_an_ended_instance_is_rejected() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    game.run()
    events = game.command(signal(b"1"))
    assert isinstance(events[0].body, CommandRejected)
    assert events[0].body.code == "terminal"
    assert events[0].sequence > 0


def test_too_many_buffered_signals_are_refused() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    for number in range(1000):
        game.command(signal(b"%d" % number))
    refused = game.command(signal(b"1"))[0].body
    assert isinstance(refused, CommandRejected)
    assert refused.code == "too_many_signals"


def test_a_wait_that_times_out_gives_null() -> None:
    game = play(SignalNode(id="s", signal="ok", timeout_ms=50), TaskNode(id="a"))
    game.start(b"5")
    game.run()
    assert game.output == b"null"
    assert "SignalTimedOut" in game.kinds()


def test_a_wait_may_fail_on_its_time_out() -> None:
    game = play(
        SignalNode(id="s", signal="ok", timeout_ms=50, on_timeout="fail"),
        TaskNode(id="a"),
    )
    game.start()
    game.run()
    failed = game.events[-1].body
    assert isinstance(failed, WorkflowFailed)
    assert failed.error_type == "signal_timeout"
    assert game.executions == []


def test_a_signal_that_stands_before_the_time_out_wins() -> None:
    game = play(SignalNode(id="s", signal="ok", timeout_ms=50))
    game.start()
    game.now += 500
    game.command(signal(b"7"))
    game.run()
    assert game.output == b"7"


def test_signals_of_a_terminated_run_are_dropped() -> None:
    game = play(DelayNode(id="d", duration_ms=10), SignalNode(id="s", signal="ok"))
    game.start()
    game.command(signal(b"1"))
    game.start(conflict_policy="terminate_existing")
    game.run()
    assert game.header.phase == "running"
    assert game.header.buffered == 0


def test_a_decision_that_grows_too_long_is_cut_and_goes_on() -> None:
    waits = [SignalNode(id=f"s{n}", signal="ok") for n in range(40)]
    game = play(DelayNode(id="d", duration_ms=10), *waits)
    game.limits = Limits(decision_events=7)
    game.start()
    for number in range(40):
        game.command(signal(b"%d" % number))
    game.run()
    assert game.output == b"39"
    causes = [e.cause for e in game.events if e.cause.startswith("owed:")]
    assert len(set(causes)) > 5
    for cause in set(causes):
        first = next(e for e in game.events if e.cause == cause)
        assert cause == f"owed:{first.sequence - 1}"


def test_an_unpause_gives_every_wait_of_a_name_its_signal() -> None:
    branches = tuple(
        Branch(name=name, chain=(SignalNode(id=f"s{name}", signal="ok"),))
        for name in "ab"
    )
    game = play(ForkNode(id="f", branches=branches), TaskNode(id="j"))
    game.start()
    game.command(PauseWorkflow(instance_id="i", command_id=""))
    game.command(signal(b"1"))
    game.command(signal(b"2"))
    game.command(UnpauseWorkflow(instance_id="i", command_id=""))
    consumed = [e.body for e in game.events if isinstance(e.body, SignalConsumed)]
    assert [body.path for body in consumed] == ["f/a/sa", "f/b/sb"]
    game.run()
    assert game.output == b'{"a":1,"b":2}'
