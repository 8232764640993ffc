"""Holds what no linter holds of the project's conventions, by reading the tree.

Each table of exceptions says why; an entry that nothing needs any more fails too, so
that the tables cannot rot.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from tests import tree
from tests.tree import ROOT, functions, modules, own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE_LINES_ODD = 400
"""A longer module is worth a look: it may hold two ideas. No module is split, and none
is packed, for its length alone."""

MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 6
NAME_WORDS_MIN = 3

BANNED_NAMES = re.compile(
    r"(^|_)(utils?|helpers?|common|misc|base|managers?)(_|$)", re.IGNORECASE
)
BANNED_CLASSES = re.compile(r"(Utils?|Helpers?|Common|Misc|Manager)($|[A-Z])")

MORE_PARAMETERS = {
    "sayiir_es/client/client_calls.py: ClientCalls.submit": "an option of a start each",
    "sayiir_es/client/client_calls.py: ClientCalls.run": "an option of a start each",
    "sayiir_es/client/client_calls.py: ClientCalls.submit_many": (
        "an option of a start each"
    ),
    "sayiir_es/engine/attempts/dispatcher.py: Dispatcher.__init__": "one a part",
    "sayiir_es/engine/owner/inputs.py: Inputs.__init__": "one a part of the tenure",
    "sayiir_es/engine/requests/responder.py: Responder.__init__": "one a part",
    "sayiir_es/engine/attempts/local_executor.py: LocalExecutor.__init__": (
        "an option of a worker each"
    ),
    # Signatures that users of `sayiir` know.
    "sayiir_es/client/worker.py: Worker.__init__": "sayiir's, and ours beside it",
    "sayiir_es/core/authoring/tasks.py: task": "sayiir's",
    "sayiir_es/client/backends/kafka.py: KafkaBackend.__init__": "as the next one",
    "sayiir_es/log/kafka/log.py: KafkaLog.__init__": "what a cluster is opened with",
}
NOT_FROZEN = {
    "sayiir_es/core/authoring/retries.py: RetryPolicy": "sayiir takes positions",
    "sayiir_es/core/authoring/tasks.py: TaskMetadata": "sayiir takes positions",
    "sayiir_es/core/authoring/loop_result.py: LoopResult": "sayiir takes positions",
    "sayiir_es/core/authoring/steps.py: Names": "a counter while a flow is built",
    "sayiir_es/core/graph/graph.py: Graph": "frozen; its hashes are kept in its dict",
    "sayiir_es/core/model/rows.py: DictRows": "the rows themselves",
    "sayiir_es/core/model/rows.py: StagedRows": "collects what one decision changes",
}
MADE_CODE = {
    "sayiir_es/core/fast_frozen.py": "of names of fields, as `dataclasses` does",
}
BROAD_EXCEPTS = {
    "sayiir_es/engine/partition_supervisor.py: PartitionSupervisor._supervise": (
        "the supervisor of a partition: logs, and stops that partition"
    ),
    "sayiir_es/engine/owner/deciding.py: decide_or_tell": (
        "makes one decision: drops it, and quarantines its instance instead"
    ),
    "sayiir_es/client/direct_engine.py: _call": "what it calls is a user's code",
    "sayiir_es/client/direct_engine.py: _finish": "as the one before",
    "sayiir_es/engine/direct_run.py: DirectCall.returned": (
        "to encode a result may run a user's code, too"
    ),
    "sayiir_es/engine/attempts/processes/attempt_runner.py: AttemptRunner._tell_beat": (
        "user's code: the heartbeat counts without its details"
    ),
    "sayiir_es/executor/held_attempt.py: _encoded": "as the one before",
    "sayiir_es/executor/background.py: read_topic": (
        "reads for ever: logs, and subscribes again"
    ),
    "sayiir_es/executor/background.py: _take": "skips one record, and logs",
    "sayiir_es/executor/background.py: repeat": "logs, and goes on with the next",
    "sayiir_es/executor/attempt_taker.py: AttemptTaker._start": (
        "begins one attempt: logs, and hands it back"
    ),
    "sayiir_es/executor/outcome_sender.py: OutcomeSender._send": (
        "tells one outcome: logs, and its owner begins the attempt again"
    ),
    "sayiir_es/engine/attempts/remote/leases.py: Leases._tick": (
        "looks at one attempt: logs, and looks again at the next tick"
    ),
    "sayiir_es/client/runs.py: submit_many.submit_next": (
        "keeps the error of one start: `SubmitManyError` has them all"
    ),
    "sayiir_es/engine/commands/source_reads.py: SourceReads._read": (
        "reads one source for a fork: logs, and rejects that fork"
    ),
    "sayiir_es/engine/requests/responder.py: Responder._take": (
        "answers one request: refuses it, and goes on with the next"
    ),
    "sayiir_es/engine/requests/responder.py: Responder._look": (
        "tells who waited for one instance: logs, and the owner goes on"
    ),
    "sayiir_es/engine/requests/responder.py: Responder._tell_decided": (
        "tells one client what was decided: refuses it, and the owner goes on"
    ),
    "sayiir_es/engine/requests/responder.py: Responder._search.run": (
        "answers one search beside the loop: refuses it"
    ),
    "sayiir_es/client/worker_resources.py: WorkerResources.start": (
        "user's code: stops the start, with this error as the cause"
    ),
    "sayiir_es/client/worker_resources.py: WorkerResources.close": (
        "user's code: logs, and the worker ends as it does"
    ),
    "sayiir_es/log/call_thread.py: CallThread.submit.run": "raised at the caller",
    "sayiir_es/log/call_thread.py: _serve": "logged: the calls behind it are made",
    "sayiir_es/log/embedded/threads.py: ConnectionThread.call.make_call": (
        "raised at the caller"
    ),
    "sayiir_es/web/security/middleware.py: SecurityMiddleware.__call__": (
        "answers one request: logs, and tells nothing of it"
    ),
    "sayiir_es/web/masking.py: Masking._ask": "user's code: hides the value, and logs",
    # What a user's function raises, whatever it is, becomes its attempt's outcome.
    "sayiir_es/engine/attempts/local_executor.py: LocalExecutor._run_async": (
        "user's code"
    ),
    "sayiir_es/engine/attempts/local_executor.py: LocalExecutor._sync_ended.finish": (
        "user's code"
    ),
    "sayiir_es/engine/attempts/processes/attempt_runner.py: AttemptRunner.run": (
        "user's code: its modules are imported"
    ),
    "sayiir_es/engine/attempts/processes/attempt_runner.py: AttemptRunner._outcome": (
        "user's code"
    ),
    "sayiir_es/engine/attempts/processes/child.py: Child.serve": (
        "user's code: its modules are imported; told to the worker"
    ),
    "sayiir_es/engine/attempts/processes/child.py: Child._take": (
        "user's code: its modules are imported; told by each attempt"
    ),
    "sayiir_es/engine/attempts/processes/child.py: Child._shut_down": (
        "user's code: logs, and the process ends as it does"
    ),
    "sayiir_es/engine/attempts/processes/log_forwarding.py: ForwardingHandler.emit": (
        "user's code makes the text of a line: told as `logging` does"
    ),
    "sayiir_es/client/simple_run.py: SimpleRun._task": "user's code",
    "sayiir_es/client/simple_engine.py: _run_here": "user's code: told to the run",
    "sayiir_es/client/simple_engine.py: _run_on_loop": "user's code: told to the run",
    "sayiir_es/client/simple_calls.py: _serve": "user's code: raised at its caller",
    "sayiir_es/client/simple_calls.py: InContext.__await__": "a coroutine's to handle",
    "sayiir_es/engine/attempts/error_details.py: error_text": "a user's `__str__`",
    "sayiir_es/engine/attempts/error_details.py: _traceback": "a user's `__str__`",
    "sayiir_es/engine/attempts/task_threads.py: TaskThreads._run": "user's code",
    # RocksDB says everything by a plain `Exception`; subclasses are raised again.
    "sayiir_es/engine/store/rocks/view.py: StoreView._guarded": "RocksDB",
}


def _show(problems: list[str]) -> str:
    return "\n  ".join(["", *problems])


def _hold(problems: dict[str, str], allowed: dict[str, str]) -> None:
    """Fail for each problem without an exception, each exception without a problem."""
    new = [problem for name, problem in problems.items() if name not in allowed]
    old = [f"{name}: no longer needed" for name in allowed if name not in problems]
    assert not new + old, _show(new + old)


# --- sizes and names ------------------------------------------------------------------


def test_no_module_is_longer_than_six_hundred_lines() -> None:
    lengths = {m.name: m.text.count("\n") for m in modules("sayiir_es/", "tests/")}
    for name, lines in lengths.items():
        if lines > MODULE_LINES_ODD:
            warnings.warn(f"{name} has {lines} lines: one idea?", stacklevel=1)
    longer = [
        f"{name}: expected at most {MODULE_LINES_MAX} lines, but {lines}"
        for name, lines in lengths.items()
        if lines > MODULE_LINES_MAX
    ]
    assert not longer, _show(longer)


def test_no_function_is_longer_than_sixty_lines() -> None:
    problems: list[str] = []
    for module in modules("sayiir_es/", "tests/"):
        for name, function in functions(module):
            first = function.body[0]
            is_doc = isinstance(first, ast.Expr) and isinstance(
                first.value, ast.Constant
            )
            # Of what is documented at length nobody should have to shorten the text.
            text = (first.end_lineno or 0) - first.lineno + 1 if is_doc else 0
            lines = (function.end_lineno or 0) - function.lineno + 1 - text
            if lines > FUNCTION_LINES_MAX:
                problems.append(f"{module.name}: {name} has {lines} lines")
    assert not problems, _show(problems)


def test_no_function_takes_more_than_six_parameters_besides_self() -> None:
    problems: dict[str, str] = {}
    for module in modules("sayiir_es/"):
        if module.name.startswith("sayiir_es/cli/"):
            continue  # there a parameter is an option of a command
        for name, function in functions(module):
            taken = [n for n in _parameters(function) if n not in {"self", "cls"}]
            if len(taken) > PARAMETERS_MAX:
                key = f"{module.name}: {name}"
                problems[key] = f"{key} takes {len(taken)} parameters"
    _hold(problems, MORE_PARAMETERS)


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    arguments = function.args
    for one in (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
    ):
        yield one.arg
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield rest.arg


def test_each_module_says_in_its_docstring_what_it_is() -> None:
    silent = [
        m.name
        for m in modules("sayiir_es/", "tests/", "examples/", "benchmarks/")
        if ast.get_docstring(m.tree) is None
        and not (m.name.endswith("__init__.py") and not m.text.strip())
    ]
    assert not silent, _show(silent)


def test_nothing_is_named_utils_or_manager() -> None:
    problems: list[str] = []
    for module in modules("sayiir_es/", "tests/", "examples/", "benchmarks/"):
        *folders, file = module.name.removesuffix(".py").split("/")
        if any(BANNED_NAMES.search(part) for part in (*folders, file)):
            problems.append(module.name)
        problems += [
            f"{module.name}: {node.name}"
            for node in ast.walk(module.tree)
            if (isinstance(node, ast.ClassDef) and BANNED_CLASSES.search(node.name))
            or (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and not node.name.startswith("test_")  # that is a sentence
                and BANNED_NAMES.search(node.name)
            )
        ]
    assert not problems, _show(problems)


# --- the core -------------------------------------------------------------------------


def test_values_of_the_core_are_frozen_slotted_and_take_keywords_only() -> None:
    problems: dict[str, str] = {}
    for module in modules("sayiir_es/core/"):
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                missing = _missing_of_a_value(decorator)
                if missing:
                    key = f"{module.name}: {node.name}"
                    problems[key] = f"{key} lacks {', '.join(missing)}"
    _hold(problems, NOT_FROZEN)


def _missing_of_a_value(decorator: ast.expr) -> list[str]:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    if ast.unparse(call).rpartition(".")[2] != "dataclass":
        return []
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    options = {
        k.arg for k in keywords if isinstance(k.value, ast.Constant) and k.value.value
    }
    return [word for word in ("frozen", "slots", "kw_only") if word not in options]


# --- errors ---------------------------------------------------------------------------


def test_everything_is_caught_only_where_it_is_raised_again_or_supervised() -> None:
    problems: dict[str, str] = {}
    for module in modules("sayiir_es/"):
        for name, function in functions(module):
            for node in own_nodes(function):
                if isinstance(node, ast.ExceptHandler) and _swallows_all(node):
                    key = f"{module.name}: {name}"
                    problems[key] = f"{key} line {node.lineno} catches everything"
    _hold(problems, BROAD_EXCEPTS)


def _swallows_all(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and does not end by raising that same error."""
    caught = ast.walk(handler.type) if handler.type else ()
    broad = handler.type is None or any(
        isinstance(n, ast.Name) and n.id in {"Exception", "BaseException"}
        for n in caught
    )
    last = handler.body[-1]
    raises_again = isinstance(last, ast.Raise) and last.exc is None
    return broad and not raises_again


# --- what may stand nowhere -----------------------------------------------------------


def test_nothing_off_a_topic_can_become_code() -> None:
    banned = {"pickle", "dill", "cloudpickle", "shelve", "marshal"}
    problems = {
        module.name: f"{module.name}:{getattr(node, 'lineno', 0)}"
        for module in modules("sayiir_es/")
        for node in ast.walk(module.tree)
        if _imported(node) & banned or _called(node) in {"eval", "exec"}
    }
    _hold(problems, MADE_CODE)


def test_tests_use_no_mocks() -> None:
    problems = [
        module.name
        for module in modules("tests/")
        for node in ast.walk(module.tree)
        if _imported(node) & {"unittest", "mock", "pytest_mock"}
    ]
    assert not problems, _show(problems)


def test_tests_of_the_core_never_sleep() -> None:
    problems = [
        f"{module.name}:{node.lineno}"
        for module in modules("tests/core/")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _called(node) == "sleep"
    ]
    assert not problems, _show(problems)


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {(node.module or "").partition(".")[0]}
    return set()


def _called(node: ast.AST) -> str:
    """The last word of what is called: `sleep` for `asyncio.sleep(…)`."""
    if not isinstance(node, ast.Call):
        return ""
    match node.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr="sleep", value=ast.Name()):
            return "sleep"
        case _:
            return ""


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    # Put together from parts, so that this file does not find itself.
    path = re.compile(r"(^|[^\w.-])/" + "(work|farm|root)/", re.MULTILINE)
    problems: list[str] = []
    for name in tree.files():
        text = (ROOT / name).read_bytes().decode(errors="replace")
        match = path.search(text)
        if match:
            line = text.count("\n", 0, match.end()) + 1
            problems.append(f"{name}:{line}: {match[0]!r}")
    assert not problems, _show(problems)


# --- tests and pages ------------------------------------------------------------------


def test_names_of_tests_are_sentences() -> None:
    short = [
        f"{module.name}: {name}"
        for module in modules("tests/")
        if module.name.rpartition("/")[2].startswith("test_")
        for name, _ in functions(module)
        if name.startswith("test_")
        and len(name.removeprefix("test_").split("_")) < NAME_WORDS_MIN
    ]
    assert not short, _show(short)
