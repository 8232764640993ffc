"""`sayiir-es worker run` and `projector run`, as real processes on one file."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from sayiir_es import Flow
from sayiir_es.cli.failures import UNAVAILABLE
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.processes import ROOT, running

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

ORDER = '{"item":"teapot","amount":5}'


def test_a_worker_runs_what_clients_start_and_drains_on_sigterm(
    terminal: Terminal,
) -> None:
    words = terminal.cwd / "words"
    with running(words, "worker", "run", "examples.orders") as worker:
        worker.until("serves orders")
        started = terminal("instance start orders --id o --input", ORDER)
        assert started.code == 0, started.err
        terminal("instance signal o approval --payload", '{"ok":true}')
        assert terminal("instance history o --follow").code == 0
        result = terminal("instance result o --wait").out
        assert '"shipped": true' in result
        rows = terminal("instance history o -o jsonl").rows()
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
        assert "process owns the log" in terminal("doctor").out
        assert worker.end() == 0
        assert worker.words().count("serves orders") == 1
    assert "it is free" in terminal("doctor").out


def test_a_second_worker_waits_and_takes_over(terminal: Terminal) -> None:
    first_words, second_words = terminal.cwd / "first", terminal.cwd / "second"
    command = ("worker", "run", "tests.cli.sample_workflows", "--worker-id")
    with running(first_words, *command, "first") as first:
        first.until("serves")
        with running(second_words, *command, "second") as second:
            second.until("waits to be given")
            assert first.end(signal.SIGINT) == 0
            second.until("serves")
            terminal("instance start doubling --id d --input 4")
            assert terminal("instance result d --wait").out == "8\n"
            assert second.end(signal.SIGTERM) == 0


def test_a_worker_answers_for_its_health_while_it_runs(terminal: Terminal) -> None:
    command = ("worker", "run", "tests.cli.sample_workflows", "--http", "127.0.0.1:0")
    with running(terminal.cwd / "words", *command) as worker:
        worker.until("serves")
        worker.until("health and metrics on ")
        found = re.search(r"metrics on (http://\S+)", worker.words())
        assert found is not None
        with urlopen(f"{found[1]}/health/live", timeout=10) as live:  # noqa: S310
            assert json.load(live)["status"] == "live"
        with urlopen(f"{found[1]}/metrics", timeout=10) as metrics:  # noqa: S310
            assert b"sayiir_slots 64.0" in metrics.read()
        assert worker.end() == 0


def test_an_address_beyond_this_machine_wants_a_token(terminal: Terminal) -> None:
    result = terminal("worker run tests.cli.sample_workflows --http 0.0.0.0:0")
    assert result.code == 2
    assert "SAYIIR_API_TOKEN_FILE" in result.err


def test_a_worker_runs_only_tasks_whose_tags_it_has(terminal: Terminal) -> None:
    command = ("worker", "run", "tests.cli.sample_workflows", "--tags")
    with running(terminal.cwd / "cpu", *command, "cpu, disk") as worker:
        worker.until("serves")
        terminal("instance start rendering --id r --input 1")
        terminal("instance start doubling --id d --input 1")
        assert terminal("instance result d --wait").code == 0
        assert terminal("instance result r").code == 3
        assert worker.end() == 0
    with running(terminal.cwd / "gpu", *command, "gpu") as worker:
        assert terminal("instance result r --wait").out == "1\n"


def test_a_worker_gives_tasks_what_its_start_makes(terminal: Terminal) -> None:
    module = "tests.cli.resource_workflows"
    command = ("worker", "run", module, "--on-startup", f"{module}:open_table")
    ended = ("--on-shutdown", f"{module}:close_table")
    with running(terminal.cwd / "w", *command, *ended) as worker:
        worker.until("serves pricing")
        terminal("instance start pricing --id p --input", '"tea"')
        assert terminal("instance result p --wait").out == "3\n"
        assert worker.end() == 0
        assert "closed the table of 1" in worker.words()
    with running(terminal.cwd / "n", "worker", "run", module) as worker:
        assert worker.wait() == 2
        assert "the resource 'table', which task 'price'" in worker.words()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("worker run examples.orders --on-startup json", "expected MODULE:NAME, but"),
        (
            "worker run examples.orders --on-startup json:no",
            "a function 'no' in 'json'",
        ),
        ("worker run examples.orders --on-shutdown no.such:f", "no.such"),
        ("worker run no.such.module", "no.such.module"),
        ("worker run tests.cli.conftest", "no"),
        ("worker run json", "there is none"),
        ("worker run", "MODULE"),
        ("worker run examples.orders --backend memory:", "memory:"),
        ("projector run --partitions 7", "0 to 0"),
        ("projector run --partitions a-b", "0,2-3"),
    ],
)
def test_what_cannot_run_exits_with_two(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, typed: str, message: str
) -> None:
    terminal.make_log()
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    answer = terminal(typed)
    assert answer.code == 2
    assert message in answer.err


def test_a_module_whose_import_fails_is_not_reported_as_missing(
    terminal: Terminal,
) -> None:
    (terminal.cwd / "wants_more.py").write_text("import no_such_thing\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        terminal("worker run wants_more")


def test_a_projector_folds_beside_a_worker_and_answers_from_its_stores(
    terminal: Terminal,
) -> None:
    command = ("worker", "run", "tests.cli.sample_workflows")
    views = terminal.cwd / "views"
    project = ("projector", "run", "--partitions", "0", "--state-dir", str(views))
    with running(terminal.cwd / "w", *command) as worker:
        worker.until("serves")
        terminal("instance start doubling --id d --input 4")
        terminal("instance start approving --id a --input 4")
        assert terminal("instance result d --wait").out == "8\n"
        with running(terminal.cwd / "p", *project) as projector:
            projector.until("caught up")
            stored = terminal(f"instance show d -o json --state-dir {views}")
            assert stored.json() == terminal("instance show d -o json").json()
            listed = terminal(f"instance list -o jsonl --state-dir {views}").rows()
            assert {row["instance_id"] for row in listed} == {"a", "d"}
            only = terminal(
                f"instance list --status completed -o jsonl --state-dir {views}"
            ).rows()
            assert [row["instance_id"] for row in only] == ["d"]
            unknown = terminal(f"instance show nobody --state-dir {views}")
            assert unknown.code == 3
            assert projector.end() == 0
        assert worker.end() == 0
    claims = terminal("event tail --from-start --kind PartitionClaimed -o jsonl").rows()
    assert len(claims) == 1, "a projector owns nothing"


def test_a_projector_goes_on_where_it_stopped(terminal: Terminal) -> None:
    views = terminal.cwd / "views"
    project = ("projector", "run", "--state-dir", str(views))
    with running(
        terminal.cwd / "w", "worker", "run", "tests.cli.sample_workflows"
    ) as worker:
        worker.until("serves")
        for instance_id in ("a", "b"):
            terminal(f"instance start doubling --id {instance_id} --input 1")
            terminal(f"instance result {instance_id} --wait")
            with running(terminal.cwd / "p", *project) as projector:
                projector.until("caught up")
                assert projector.end() == 0
            result = terminal(f"instance show {instance_id} --state-dir {views}")
            assert result.code == 0


def test_a_directory_without_stores_is_reported(terminal: Terminal) -> None:
    answer = terminal(f"instance list --state-dir {terminal.cwd}")
    assert answer.code == 5
    assert "there is none" in answer.err


def test_a_worker_without_a_place_for_its_stores_ends_and_says_why(
    terminal: Terminal,
) -> None:
    (terminal.cwd / "log.db.state").write_text("no folder")
    command = ("worker", "run", "tests.cli.sample_workflows")
    with running(terminal.cwd / "words", *command) as worker:
        assert worker.wait() == UNAVAILABLE
        assert "expected a writable state directory" in worker.words()


def test_a_worker_that_can_open_no_store_ends_and_says_why(terminal: Terminal) -> None:
    folder = terminal.cwd / "log.db.state"
    folder.mkdir()
    (folder / "0").write_text("no store")
    command = ("worker", "run", "tests.cli.sample_workflows", "--worker-id", "w")
    with running(terminal.cwd / "words", *command) as worker:
        assert worker.wait() == UNAVAILABLE
        assert "expected worker 'w' to serve one of partitions [0]" in worker.words()
        assert "its store cannot be used" in worker.words()


@pytest.mark.parametrize(
    "option",
    [
        *("--drain", "--handover", "--cancel-grace"),
        *("--session-timeout", "--heartbeat-interval"),
    ],
)
def test_a_limit_of_time_that_is_none_is_named(terminal: Terminal, option: str) -> None:
    answer = terminal(f"worker run examples.orders {option} soon")
    assert answer.code == 2
    assert f"{option}: expected seconds, or a text such as 45s or 2m" in answer.err


def test_a_group_instance_id_that_kafka_does_not_take_is_named(
    terminal: Terminal,
) -> None:
    answer = terminal(
        "worker run examples.orders --backend kafka://h:1 --group-instance-id a/b"
    )
    assert answer.code != 0
    assert "--group-instance-id: expected 1 to 249" in answer.err
    assert "'a/b'" in answer.err


def test_two_definitions_of_one_name_are_named_with_their_places(
    terminal: Terminal,
) -> None:
    code = "from sayiir_es import Flow\n"
    for module, task, more in (("first", "len", ""), ("second", "str", "again = ours")):
        flow = f"ours = Flow('orders').then({task}).build()\n{more}\n"
        (terminal.cwd / f"{module}_orders.py").write_text(code + flow)
    answer = terminal("worker run first_orders second_orders")
    assert answer.code == 2
    for place in ("first_orders.ours", "second_orders.ours"):
        assert place in answer.err


def test_a_version_is_started_by_its_option(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        for version in ("9", "10", None):
            flow = Flow("orders", version=version).wait_for_signal("go").build()
            backend.thread.call(backend.session.open(create=True))
            backend.thread.call(backend.session.publish_graph(flow))
    for typed, version in (("", "10"), ("--version 9", "9")):
        started = terminal(f"instance start orders {typed} -o json")
        assert started.code == 0, started.err
        assert started.json()["version"] == version
    assert terminal("instance start orders --version 11").code == 4
    (row,) = terminal("workflow list -o jsonl").rows()
    assert (row["version"], row["versions"]) == ("10", 3)
    assert terminal("workflow show orders --version 9 -o json").json()["version"] == "9"
