"""Signals: buffered, first come first consumed, idempotent, late, timed out."""

from __future__ import annotations

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.graph.references import result_of
from sayiir_es.core.model.commands import (
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    SignalConsumed,
    WorkflowFailed,
)
from sayiir_es.core.model.limits import Limits
from tests.core.instance_runner import InstanceRunner


def runner_of(*chain: Node) -> InstanceRunner:
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
    runner = runner_of(SignalNode(id="s", signal="ok"), TaskNode(id="a"))
    runner.start(b"5")
    assert runner.kinds()[-1] == "SignalAwaited"
    events = runner.command(signal(b'{"ok":true}'))
    assert [e.kind for e in events] == [
        "SignalReceived",
        "SignalConsumed",
        "PositionUpdated",
    ]
    runner.run()
    assert runner.output == b'{"ok":true}'


def test_signals_before_the_start_are_kept_and_consumed_in_order() -> None:
    runner = runner_of(
        SignalNode(id="s", signal="ok"),
        TaskNode(id="a"),
        SignalNode(id="t", signal="ok"),
    )
    runner.command(signal(b"1"))
    runner.command(signal(b"2"))
    assert runner.header.run == 0
    runner.start()
    runner.run()
    consumed = [e.body for e in runner.events if isinstance(e.body, SignalConsumed)]
    assert [body.signal_sequence for body in consumed] == [1, 2]
    assert runner.output == b"2"


def test_names_do_not_mix() -> None:
    runner = runner_of(SignalNode(id="s", signal="ok"))
    runner.start()
    runner.command(signal(b"1", "other"))
    assert runner.header.phase == "running"
    runner.command(signal(b"2"))
    assert runner.output == b"2"


def test_a_signal_id_is_received_once() -> None:
    runner = runner_of(SignalNode(id="s", signal="ok"), SignalNode(id="t", signal="ok"))
    runner.start()
    runner.command(signal(b"1", signal_id="mail"))
    again = runner.command(signal(b"1", signal_id="mail"))
    assert again[0].body == CommandAcknowledged(
        command="SendSignal", command_id="0@2", code="duplicate", answered_by=3
    )
    assert runner.header.phase == "running"


def test_a_signal_to_an_ended_instance_is_rejected() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    runner.run()
    events = runner.command(signal(b"1"))
    assert isinstance(events[0].body, CommandRejected)
    assert events[0].body.code == "terminal"
    assert events[0].sequence > 0


def test_too_many_buffered_signals_are_refused() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    for number in range(1000):
        runner.command(signal(b"%d" % number))
    refused = runner.command(signal(b"1"))[0].body
    assert isinstance(refused, CommandRejected)
    assert refused.code == "too_many_signals"


def test_a_wait_that_times_out_gives_null() -> None:
    runner = runner_of(SignalNode(id="s", signal="ok", timeout_ms=50), TaskNode(id="a"))
    runner.start(b"5")
    runner.run()
    assert runner.output == b"null"
    assert "SignalTimedOut" in runner.kinds()


def test_a_wait_may_fail_on_its_time_out() -> None:
    runner = runner_of(
        SignalNode(id="s", signal="ok", timeout_ms=50, on_timeout="fail"),
        TaskNode(id="a"),
    )
    runner.start()
    runner.run()
    failed = runner.events[-1].body
    assert isinstance(failed, WorkflowFailed)
    assert failed.error_type == "signal_timeout"
    assert runner.executions == []


def test_a_signal_that_stands_before_the_time_out_wins() -> None:
    runner = runner_of(SignalNode(id="s", signal="ok", timeout_ms=50))
    runner.start()
    runner.now += 500
    runner.command(signal(b"7"))
    runner.run()
    assert runner.output == b"7"


def test_signals_of_a_terminated_run_are_dropped() -> None:
    runner = runner_of(
        DelayNode(id="d", duration_ms=10), SignalNode(id="s", signal="ok")
    )
    runner.start()
    runner.command(signal(b"1"))
    runner.start(conflict_policy="terminate_existing")
    runner.run()
    assert runner.header.phase == "running"
    assert runner.header.buffered == 0


def test_a_decision_that_grows_too_long_is_cut_and_goes_on() -> None:
    waits = [SignalNode(id=f"s{n}", signal="ok") for n in range(40)]
    runner = runner_of(DelayNode(id="d", duration_ms=10), *waits)
    runner.limits = Limits(decision_events=7)
    runner.start()
    for number in range(40):
        runner.command(signal(b"%d" % number))
    runner.run()
    assert runner.output == b"39"
    causes = [e.cause for e in runner.events if e.cause.startswith("owed:")]
    assert len(set(causes)) > 5
    for cause in set(causes):
        first = next(e for e in runner.events if e.cause == cause)
        assert cause == f"owed:{first.sequence - 1}"


def test_an_unpause_gives_every_wait_of_a_name_its_signal() -> None:
    branches = tuple(
        Branch(name=name, chain=(SignalNode(id=f"s{name}", signal="ok"),))
        for name in "ab"
    )
    runner = runner_of(ForkNode(id="f", branches=branches), TaskNode(id="j"))
    runner.start()
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.command(signal(b"1"))
    runner.command(signal(b"2"))
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    consumed = [e.body for e in runner.events if isinstance(e.body, SignalConsumed)]
    assert [body.path for body in consumed] == ["f/a/sa", "f/b/sb"]
    runner.run()
    assert runner.output == b'{"a":1,"b":2}'


def kept(
    *behind: Node, limit: int | None = None, fails: bool = False
) -> InstanceRunner:
    wait = SignalNode(
        id="s",
        signal="ok",
        timeout_ms=limit,
        on_timeout="fail" if fails else "null",
        keep_input=True,
    )
    return runner_of(wait, *behind)


def test_a_wait_that_keeps_its_input_passes_that_on_and_has_the_payload_by_name() -> (
    None
):
    runner = kept(TaskNode(id="a"))
    runner.start(b"5")
    runner.command(signal(b'{"ok":true}'))
    assert result_of(runner.rows, runner.graph, "s") == b'{"ok":true}'
    runner.run()
    assert runner.output == b"5"


def test_a_wait_that_keeps_null_passes_null_on() -> None:
    runner = runner_of(
        SignalNode(id="t", signal="first", timeout_ms=5),
        SignalNode(id="s", signal="ok", keep_input=True),
        TaskNode(id="a"),
    )
    runner.start(b"5")
    runner.run()
    runner.command(signal(b"7"))
    runner.run()
    assert runner.output == b"null"
    assert result_of(runner.rows, runner.graph, "t") == b"null"
    assert result_of(runner.rows, runner.graph, "s") == b"7"


def test_what_a_wait_keeps_flows_on_behind_a_time_out_too() -> None:
    runner = kept(TaskNode(id="a"), limit=50)
    runner.start(b"5")
    runner.run()
    assert runner.output == b"5"
    assert result_of(runner.rows, runner.graph, "s") == b"null"


def test_a_wait_that_failed_takes_another_input_to_keep() -> None:
    runner = kept(TaskNode(id="a"), limit=50, fails=True)
    runner.start(b"5")
    runner.run()
    assert isinstance(runner.events[-1].body, WorkflowFailed)
    runner.command(RetryWorkflow(instance_id="i", command_id="", input=b"6"))
    assert runner.kinds()[-2:] == ["WorkflowRetried", "SignalAwaited"]
    runner.command(signal(b"1"))
    runner.run()
    assert runner.output == b"6"


def test_a_loop_ends_by_what_a_kept_input_says() -> None:
    body = (
        TaskNode(id="t"),
        SignalNode(id="s", signal="ok", timeout_ms=5, keep_input=True),
    )
    graph = Graph(name="w", chain=(LoopNode(id="l", body=body),))
    assert graph.places["l/t"].ends_loop
