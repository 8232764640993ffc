"""Every name of `sayiir` 1.0.0 is here, with the parameters that its users know."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import import_module
from types import ModuleType

import pytest

import sayiir_es
from sayiir_es import (
    BackendError,
    DeserializationError,
    Flow,
    InstanceAlreadyExistsError,
    LoopResult,
    OnMax,
    TaskError,
    WorkflowError,
    WorkflowStatus,
    run_durable_workflow,
)
from tests.sayiir.sample_tasks import boom, double

# Frozen from the wheel: what is called, and what is an attribute. A line that is
# indented goes on with the one before.
SURFACE = """
BranchBuilder(flow, key_fn, *, keys)
BranchBuilder.branch(self, key, *task_funcs, name=None)
BranchBuilder.default_branch(self, *task_funcs, name=None)
BranchBuilder.done(self)
DurableEngine(backend, conflict_policy=None)
DurableEngine.cancel(self, instance_id, reason=None, cancelled_by=None)
DurableEngine.pause(self, instance_id, reason=None, paused_by=None)
DurableEngine.resume(self, workflow, instance_id, task_registry)
DurableEngine.run(self, workflow, instance_id, input, task_registry)
DurableEngine.send_signal(self, instance_id, signal_name, payload)
DurableEngine.unpause(self, instance_id)
Flow(name="workflow", *, metadata=None)
Flow.build(self)
Flow.delay(self, name, duration)
Flow.fork(self)
Flow.loop(self, task_func, *, max_iterations=10, on_max="fail", name=None)
Flow.route(self, key_fn, *, keys)
Flow.then(self, task_func, *, name=None)
Flow.then_flow(self, child_workflow)
Flow.wait_for_signal(self, signal_name, *, name=None, timeout=None)
FlowBuilder(name)
FlowBuilder.add_branch(self, branches, default=None)
FlowBuilder.add_child_workflow(self, child_id, child_builder)
FlowBuilder.add_fork(self, branches, join_id, join_metadata=None)
FlowBuilder.add_loop(self, body_task_id, body_metadata=None, max_iterations=10,
    on_max="fail")
FlowBuilder.build(self)
FlowBuilder.delay(self, delay_id, seconds)
FlowBuilder.next_lambda_id(self)
FlowBuilder.set_metadata_json(self, json)
FlowBuilder.then(self, task_id, metadata=None)
FlowBuilder.wait_for_signal(self, signal_id, signal_name, timeout_secs=None)
ForkBuilder(flow)
ForkBuilder.branch(self, *task_funcs, name=None)
ForkBuilder.join(self, task_func, *, name=None)
InMemoryBackend()
LoopResult.again(value)
LoopResult.done(value)
LoopResult.is_again
LoopResult.is_done
LoopResult.to_dict(self)
LoopResult.value
NodeInfo.id
NodeInfo.kind
NodeInfo.predecessor_id
NodeInfo.priority
NodeInfo.retry_policy
NodeInfo.timeout_secs
RetryPolicy(max_retries=2, initial_delay_secs=1.0, backoff_multiplier=2.0)
RetryPolicy.backoff_multiplier
RetryPolicy.initial_delay_secs
RetryPolicy.max_retries
TaskExecutionContext.instance_id
TaskExecutionContext.metadata
TaskExecutionContext.task_id
TaskExecutionContext.workflow_id
TaskExecutionContext.workflow_metadata
TaskMetadata(display_name=None, description=None, timeout_secs=None,
    retries=None, tags=None, version=None, priority=None)
TaskMetadata.description
TaskMetadata.display_name
TaskMetadata.priority
TaskMetadata.retries
TaskMetadata.tags
TaskMetadata.timeout_secs
TaskMetadata.version
Worker(worker_id, backend, *, poll_interval=5.0, claim_ttl=300.0)
Worker.start(self, workflows)
WorkerHandle.join(self)
WorkerHandle.shutdown(self)
Workflow.definition_hash
Workflow.iter_nodes(self)
Workflow.metadata
Workflow.workflow_id
WorkflowClient(backend, *, conflict_policy=None)
WorkflowClient.cancel(self, instance_id, *, reason=None, cancelled_by=None)
WorkflowClient.get_task_result(self, instance_id, task_id)
WorkflowClient.pause(self, instance_id, *, reason=None, paused_by=None)
WorkflowClient.send_signal(self, instance_id, signal_name, payload)
WorkflowClient.status(self, instance_id)
WorkflowClient.submit(self, workflow, instance_id, input)
WorkflowClient.unpause(self, instance_id)
WorkflowEngine()
WorkflowEngine.run(self, workflow, input, task_registry)
WorkflowStatus.cancelled_by
WorkflowStatus.delay_id
WorkflowStatus.error
WorkflowStatus.is_awaiting_signal(self)
WorkflowStatus.is_cancelled(self)
WorkflowStatus.is_completed(self)
WorkflowStatus.is_failed(self)
WorkflowStatus.is_in_progress(self)
WorkflowStatus.is_paused(self)
WorkflowStatus.is_waiting(self)
WorkflowStatus.output
WorkflowStatus.paused_by
WorkflowStatus.reason
WorkflowStatus.signal_id
WorkflowStatus.signal_name
WorkflowStatus.status
WorkflowStatus.wake_at
cancel_workflow(instance_id, backend, reason=None, cancelled_by=None)
get_task_context()
init_tracing()
parse_duration(value)
pause_workflow(instance_id, backend, reason=None, paused_by=None)
resume_workflow(workflow, instance_id, backend)
run_durable_workflow(workflow, instance_id, input_data, backend=None,
    conflict_policy=None)
run_workflow(workflow, input_data, *, instance_id=None, backend=None,
    conflict_policy=None)
send_signal(instance_id, signal_name, payload, backend)
shutdown_tracing()
task(func=None, *, name=None, timeout=None, timeout_secs=None, retries=None,
    tags=None, description=None, priority=None)
unpause_workflow(instance_id, backend)
"""
LINES = re.sub(r"\n +", " ", SURFACE).split("\n")[1:-1]

# Where its modules keep their names; of `_sayiir` what is called otherwise there.
HOMES = {
    "decorators": "task parse_duration",
    "executor": "run_workflow run_durable_workflow resume_workflow cancel_workflow "
    "pause_workflow unpause_workflow send_signal",
    "flow": "Flow ForkBuilder BranchBuilder NodeInfo Workflow",
    "loop_result": "LoopResult OnMax",
    "worker": "Worker WorkerHandle",
    "workflow_client": "WorkflowClient",
    "_sayiir": "BackendError DeserializationError InstanceAlreadyExistsError NodeInfo "
    "TaskError WorkflowError get_task_context init_tracing shutdown_tracing",
}
NATIVE = (
    "DurableEngine FlowBuilder InMemoryBackend RetryPolicy TaskExecutionContext "
    "TaskMetadata Worker WorkerHandle Workflow WorkflowClient WorkflowEngine "
    "WorkflowStatus"
)


def parameters(line: str) -> list[tuple[str, str, str | None]]:
    """Name, kind and default of each parameter of a frozen line."""
    function = ast.parse(f"def f{line[line.index('(') :]}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    optional = len(arguments.args) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [*(None for _ in range(optional))]
    defaults += arguments.defaults
    kinds_and_defaults = [
        (arg.arg, "positional or keyword", default)
        for arg, default in zip(arguments.args, defaults, strict=True)
    ]
    if arguments.vararg is not None:
        kinds_and_defaults.append((arguments.vararg.arg, "variadic positional", None))
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        kinds_and_defaults.append((arg.arg, "keyword-only", default))
    return [
        (name, kind, None if default is None else repr(ast.literal_eval(default)))
        for name, kind, default in kinds_and_defaults
    ]


@pytest.mark.parametrize("line", [line for line in LINES if "(" in line])
def test_what_is_called_takes_the_parameters_that_users_know(line: str) -> None:
    target: object = sayiir_es
    for part in line.partition("(")[0].split("."):
        target = getattr(target, part)
    assert callable(target)
    ours = dict(inspect.signature(target).parameters)
    expected = parameters(line)
    positions = [name for name, kind, _ in expected if kind != "keyword-only"]
    assert list(ours)[: len(positions)] == positions
    for name, kind, default in expected:
        parameter = ours.pop(name)
        assert parameter.kind.description == kind
        assert default is None or repr(parameter.default) == default
    assert all(
        parameter.default is not parameter.empty
        or parameter.kind is parameter.VAR_KEYWORD
        for parameter in ours.values()
    )


@pytest.mark.parametrize("line", [line for line in LINES if "(" not in line])
def test_what_is_looked_at_is_there(line: str) -> None:
    owner, name = line.split(".")
    kind = getattr(sayiir_es, owner)
    assert hasattr(kind, name) or name in inspect.signature(kind).parameters


def test_all_names_can_be_imported_at_once() -> None:
    everything: dict[str, object] = {}
    for name in sayiir_es.__all__:
        everything[name] = getattr(sayiir_es, name)
    names = {re.split(r"[.(]", line)[0] for line in LINES}
    assert names <= set(everything)
    assert set(sayiir_es.__all__) <= set(dir(sayiir_es))


def test_a_package_of_another_name_can_hand_on_every_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a project has it that changes its imports one by one."""
    for module, names in HOMES.items():
        alias = ModuleType(f"handed_on.{module}")
        for name in names.split():
            setattr(alias, name, getattr(sayiir_es, name))
        if module == "_sayiir":
            for name in NATIVE.split():
                setattr(alias, f"Py{name}", getattr(sayiir_es, name))
        monkeypatch.setitem(sys.modules, alias.__name__, alias)
    monkeypatch.setitem(sys.modules, "handed_on", sayiir_es)
    assert import_module("handed_on.flow").Flow is Flow
    assert import_module("handed_on._sayiir").PyWorkflowStatus is WorkflowStatus
    assert import_module("handed_on").task is import_module("handed_on.decorators").task


def test_what_tests_of_old_look_at_inside_a_workflow_is_there() -> None:
    flow = Flow("w", metadata={"tier": 1}).then(double).build()
    inner = flow._inner  # pyright: ignore[reportPrivateUsage]  # as they do
    registry = flow._task_registry  # pyright: ignore[reportPrivateUsage]  # as above
    assert (inner.workflow_id, inner.metadata_json) == ("w", '{"tier": 1}')
    assert inner.definition_hash == flow.definition_hash
    assert registry == {"double": double}
    engine = sayiir_es.WorkflowEngine()
    assert engine.run(inner, 2, registry) == 4
    with pytest.raises(TaskError, match="Task 'double' not found"):
        engine.run(inner, 2, {})


def test_errors_are_kinds_of_runtime_error() -> None:
    for error in (
        TaskError,
        BackendError,
        InstanceAlreadyExistsError,
        DeserializationError,
    ):
        assert error.__mro__[1:3] == (WorkflowError, RuntimeError)


def test_what_is_printed_is_what_users_know() -> None:
    flow = Flow("w").then(double).build()
    assert repr(run_durable_workflow(flow, "a", 1)) == "WorkflowStatus::Completed"
    failed = run_durable_workflow(Flow().then(boom).build(), "a", 1)
    assert repr(failed) == "WorkflowStatus::Failed(ValueError: bang)"
    assert repr(WorkflowStatus(status="in_progress")) == "WorkflowStatus::in_progress"
    assert repr(flow.iter_nodes()[0]) == "NodeInfo(id='double', kind='task')"
    assert repr(LoopResult.again(42)) == "LoopResult.again(42)"
    assert [str(policy) for policy in OnMax] == ["fail", "exit_with_last"]
    assert repr(sayiir_es.InMemoryBackend()) == "InMemoryBackend()"
    assert repr(sayiir_es.WorkflowEngine()) == "WorkflowEngine()"
