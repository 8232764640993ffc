"""Every operation of the API, what it answers with, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.web.api import responses
from sayiir_es.web.api.values import WAIT_S_MAX

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI
    from pydantic import BaseModel

HIDDEN = "***"


async def _start(api: httpx.AsyncClient, workflow: str, **more: Any) -> Any:
    body = {"workflow": workflow, **more}
    response = await api.post("/instances", json=body, params={"wait": "10s"})
    assert response.status_code in (200, 202), response.text
    return _checked(response, responses.Instance)


async def _start_waiting(api: httpx.AsyncClient, instance_id: str, **more: Any) -> None:
    """Start an instance, and see it wait for its signal."""
    body = {"workflow": "waiting", "instance_id": instance_id, **more}
    response = await api.post("/instances", json=body)
    assert response.status_code == 201, response.text
    found: dict[str, object] = {}
    for _ in range(200):
        found = (await api.get(f"/instances/{instance_id}")).json()
        if found["status"] == "awaiting_signal":
            return
        await api.get(f"/instances/{instance_id}/result", params={"wait": "0.05"})
    raise AssertionError(found)


def _checked(response: httpx.Response, model: type[BaseModel]) -> Any:
    """The value of a response, which is what the document says that it is."""
    value = response.json()
    model.model_validate(value, strict=True)
    assert set(model.model_fields) <= set(value), response.text
    return value


def _problem(response: httpx.Response, status: int, code: str) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"/errors/{code}"
    assert problem["detail"]
    assert problem["title"]
    return problem


# --- starts ---------------------------------------------------------------------------


async def test_a_start_says_where_the_instance_is_at(api: httpx.AsyncClient) -> None:
    body: dict[str, object] = {
        "workflow": "waiting",
        "instance_id": "w-1",
        "input": {"a": 1},
        "attributes": {"customer": "42"},
    }
    response = await api.post("/instances", json=body)
    assert response.status_code == 201
    instance = _checked(response, responses.Instance)
    assert instance["instance_id"] == "w-1"
    assert instance["workflow"] == "waiting"
    assert instance["attributes"] == {"customer": "42"}
    again = await api.post("/instances", json=body)
    _problem(again, 409, "already_exists")
    kept = await api.post(
        "/instances", json={**body, "conflict_policy": "use_existing"}
    )
    assert kept.status_code == 200


async def test_a_debounced_start_has_no_instance_yet(api: httpx.AsyncClient) -> None:
    body = {"workflow": "adding", "instance_id": "later", "input": {"n": 1}}
    response = await api.post(
        "/debounced-starts", json={**body, "debounce": "1h", "debounce_key": "k"}
    )
    assert response.status_code == 202, response.text
    start = _checked(response, responses.DebouncedStart)
    assert (start["instance_id"], start["debounced_as"]) == (
        "later",
        "$debounce/adding/k",
    )
    _problem(await api.get("/instances/later"), 404, "not_found")
    wrong = await api.post("/debounced-starts", json={**body, "debounce": "soon"})
    _problem(wrong, 422, "invalid_request")


async def test_a_start_that_waits_brings_the_end(api: httpx.AsyncClient) -> None:
    ended = await _start(api, "adding", input={"n": 1})
    assert ended["status"] == "completed"
    assert ended["output"] == {"n": 2}
    response = await api.post(
        "/instances",
        json={"workflow": "waiting", "instance_id": "w"},
        params={"wait": "0.05"},
    )
    assert response.status_code == 202
    failed = await _start(api, "failing")
    assert failed["status"] == "failed"
    assert failed["error_type"] == "ValueError"
    assert f"token={HIDDEN}" in failed["error"]
    assert "token=abc" not in json.dumps(failed)


@pytest.mark.parametrize("as_header", [True, False])
async def test_a_start_with_a_command_id_starts_once(
    api: httpx.AsyncClient, *, as_header: bool
) -> None:
    body: dict[str, object] = {"workflow": "adding", "input": {"n": 1}}
    headers = {"idempotency-key": "c-1"} if as_header else {}
    if not as_header:
        body["command_id"] = "c-1"
    first = await api.post("/instances", json=body, headers=headers)
    second = await api.post("/instances", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["instance_id"] == second.json()["instance_id"]
    other = await api.post("/instances", json=body, headers={"idempotency-key": "c-2"})
    if as_header:
        assert other.json()["instance_id"] != first.json()["instance_id"]
    else:
        _problem(other, 422, "invalid_request")


async def test_starts_that_cannot_be_are_refused_with_a_code(
    api: httpx.AsyncClient,
) -> None:
    unknown = await api.post("/instances", json={"workflow": "nothing"})
    assert _problem(unknown, 404, "command_refused")["rejection"] == "unknown_workflow"
    wrong_hash = {"workflow": "adding", "definition_hash": "0" * 64}
    assert (await api.post("/instances", json=wrong_hash)).status_code in (404, 409)
    large = {"workflow": "adding", "input": "x" * 800_000}
    assert (
        _problem(await api.post("/instances", json=large), 413, "command_refused")[
            "rejection"
        ]
        == "too_large"
    )
    nan = '{"workflow": "adding", "input": NaN}'
    headers = {"content-type": "application/json"}
    response = await api.post("/instances", content=nan, headers=headers)
    _problem(response, 422, "encode")
    half = '{"workflow": "adding", "instance_id": "\\ud800"}'
    response = await api.post("/instances", content=half, headers=headers)
    _problem(response, 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "content", "content_type", "word"),
    [
        ("/instances", "{", "application/json", "body"),
        ("/instances", "[" * 100_000, "application/json", ""),
        ("/instances", "{}", "application/json", "body.workflow"),
        ("/instances", '{"workflow":"a","x":1}', "application/json", "body.x"),
        ("/instances", '{"workflow":""}', "application/json", "body.workflow"),
        ("/instances", '{"workflow":5}', "application/json", "body.workflow"),
        ("/instances", '{"workflow":"adding"}', "text/plain", "application/json"),
        ("/instances", b"\xff\xfe", "application/json", ""),
        ("/instances/a/fork", '{"at":0,"new_id":"b"}', "application/json", "body.at"),
        ("/bulk/cancel", '{"criteria":{}}', "application/json", "criteria"),
        ("/bulk/cancel", '{"criteria":{"since":"x"}}', "application/json", "'x'"),
    ],
)
async def test_what_a_body_lacks_is_named(
    api: httpx.AsyncClient, path: str, content: str, content_type: str, word: str
) -> None:
    headers = {"content-type": content_type}
    response = await api.post(path, content=content, headers=headers)
    assert response.status_code in (400, 422), response.text
    problem = _problem(response, response.status_code, "invalid_request")
    assert word in problem["detail"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/instances?limit=0", "limit"),
        ("/instances?limit=100000", "limit"),
        ("/instances?status=great", "status"),
        ("/instances?since=yesterday", "yesterday"),
        ("/instances?attribute=x", "attribute"),
        ("/instances?waiting_for=godot", "godot"),
        ("/instances?page_token=x", "page_token"),
        ("/instances?nonsense=1", "nonsense"),
        ("/counts?group_by=moon", "group_by"),
        ("/instances/a/history?page_token=-1", "page_token"),
        ("/instances/a/diff", "from"),
        ("/instances/a/state?at=-1", "at"),
        ("/instances/a/result?wait=soon", "'soon'"),
        (f"/instances/a/result?wait={WAIT_S_MAX + 1}", "at most"),
        ("/instances/" + "a" * 257, "256"),
        ("/instances/%FF", "UTF-8"),
    ],
)
async def test_what_an_address_gets_wrong_is_named(
    api: httpx.AsyncClient, path: str, word: str
) -> None:
    problem = _problem(await api.get(path), 422, "invalid_request")
    assert word in problem["detail"]


# --- control --------------------------------------------------------------------------


async def test_an_instance_goes_through_all_commands(api: httpx.AsyncClient) -> None:
    await _start_waiting(api, "w-1", input={"card": "4111"})
    paused = await api.post("/instances/w-1/pause", json={"reason": "lunch"})
    decision = _checked(paused, responses.Decision)
    assert decision["event"] == "PauseRequested"
    assert decision["instance"]["status"] == "paused"
    assert decision["instance"]["reason"] == "lunch"
    assert (await api.post("/instances/w-1/unpause")).status_code == 200
    signal = {"name": "approval", "payload": {"ok": True}, "signal_id": "mail-1"}
    sent = await api.post("/instances/w-1/signals", json=signal)
    assert _checked(sent, responses.Decision)["event"] == "SignalReceived"
    result = await api.get("/instances/w-1/result", params={"wait": "10s"})
    assert result.status_code == 200
    assert _checked(result, responses.InstanceResult)["output"] == {"ok": True}
    task_result = await api.get("/instances/w-1/tasks/pass_on/result")
    value = _checked(task_result, responses.TaskResult)
    assert value["result"] == {"card": HIDDEN}
    late = await api.post("/instances/w-1/cancel")
    assert _problem(late, 409, "command_refused")["rejection"] == "terminal"


async def test_a_failed_instance_is_retried_and_forked(api: httpx.AsyncClient) -> None:
    failed = await _start(api, "failing", instance_id="f-1", input=1)
    assert failed["status"] == "failed"
    retried = await api.post("/instances/f-1/retry", json={"input": 2, "reason": "x"})
    assert _checked(retried, responses.Decision)["event"] == "WorkflowRetried"
    await api.get("/instances/f-1/result", params={"wait": "10s"})
    history = (await api.get("/instances/f-1/history")).json()["events"]
    assert history[-1]["kind"] == "WorkflowFailed"
    assert history[-1]["run"] == 2
    fork = {"at": 2, "new_id": "f-2"}
    forked = await api.post("/instances/f-1/fork", json=fork)
    assert forked.status_code == 201
    assert _checked(forked, responses.Decision)["instance"]["instance_id"] == "f-2"
    again = await api.post("/instances/f-1/fork", json=fork)
    _problem(again, 409, "already_exists")


async def test_an_instance_is_migrated(api: httpx.AsyncClient) -> None:
    await _start_waiting(api, "w-1")
    response = await api.post("/instances/w-1/migrate", json={"to": "latest"})
    assert _checked(response, responses.Decision)["code"] == "unchanged"
    unknown = await api.post("/instances/w-1/migrate", json={"to": "0" * 64})
    assert unknown.status_code in (404, 409, 422)


async def test_a_command_that_is_sent_again_is_carried_out_once(
    api: httpx.AsyncClient,
) -> None:
    await _start_waiting(api, "w-1")
    headers = {"idempotency-key": "pause-1"}
    first = await api.post("/instances/w-1/pause", headers=headers)
    assert (await api.post("/instances/w-1/unpause")).status_code == 200
    second = await api.post("/instances/w-1/pause", headers=headers)
    assert first.json()["event"] == "PauseRequested"
    assert second.json()["code"] == "duplicate"
    assert second.json()["instance"]["status"] == "awaiting_signal"


async def test_commands_to_nobody_are_not_found(api: httpx.AsyncClient) -> None:
    await _start(api, "adding", input={"n": 1})
    for name in ("cancel", "pause", "unpause", "retry"):
        response = await api.post(f"/instances/nobody/{name}")
        assert response.status_code == 404, name
    for path in ("", "/result", "/history", "/state", "/diff?from=0"):
        _problem(await api.get(f"/instances/no-one{path}"), 404, "not_found")


async def test_an_id_may_have_any_characters(api: httpx.AsyncClient) -> None:
    for instance_id in ("a/b", "a b?c#d", "count", "ü\n", "..", "%2F", "<b>"):
        await _start(api, "adding", instance_id=instance_id, input={"n": 1})
        path = "/instances/" + "".join(f"%{byte:02X}" for byte in instance_id.encode())
        for more in ("", "/history", "/state", "/tasks/add_one/result"):
            response = await api.get(path + more)
            assert response.status_code == 200, (instance_id, more, response.text)
        assert (await api.get(path)).json()["instance_id"] == instance_id


# --- searches -------------------------------------------------------------------------


async def test_a_list_comes_page_by_page(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await _start(api, "adding", instance_id=f"a-{number}", input={"n": number})
    await _start(api, "failing", instance_id="f-1", attributes={"customer": "42"})
    ids: list[str] = []
    token = None
    while True:
        params: dict[str, str | int] = {"workflow": "adding", "limit": 2}
        if token is not None:
            params["page_token"] = token
        page = _checked(
            await api.get("/instances", params=params), responses.InstanceList
        )
        ids += [one["instance_id"] for one in page["instances"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert ids == [f"a-{number}" for number in (4, 3, 2, 1, 0)]
    for criteria in (
        {"attribute": "customer=42"},
        {"status": "failed"},
        {"error_type": "ValueError"},
        {"error_in": "fail"},
        {"id_prefix": "f-"},
        {"id_contains": "-1", "workflow": "failing"},
    ):
        found = (await api.get("/instances", params=criteria)).json()["instances"]
        assert [one["instance_id"] for one in found] == ["f-1"], criteria


async def test_counts_come_by_group(api: httpx.AsyncClient) -> None:
    await _start(api, "adding", input={"n": 1})
    await _start(api, "failing")
    await _start_waiting(api, "w-1")
    assert (await api.get("/counts")).json() == {"total": 3, "groups": []}
    for group, names in (
        ("workflow", {"adding", "failing", "waiting"}),
        ("status", {"completed", "failed", "awaiting_signal"}),
    ):
        response = await api.get("/counts", params={"group_by": group})
        counts = _checked(response, responses.Counts)
        assert {one["group"][group] for one in counts["groups"]} == names
        assert counts["total"] == 3
    waits = (await api.get("/counts", params={"group_by": "waiting_for"})).json()
    assert {"count": 1, "group": {"waiting_for": "signal:approval"}} in waits["groups"]
    by_error = {"group_by": "error", "status": "failed"}
    groups = (await api.get("/counts", params=by_error)).json()["groups"]
    assert groups == [
        {
            "count": 1,
            "group": {"error_type": "ValueError", "error_in": "fail"},
        }
    ]


async def test_many_are_counted_before_they_are_acted_on(
    api: httpx.AsyncClient,
) -> None:
    for number in range(3):
        await _start_waiting(api, f"w-{number}")
    body: dict[str, object] = {"criteria": {"workflow": "waiting"}, "dry_run": True}
    dry = _checked(await api.post("/bulk/cancel", json=body), responses.BulkOutcome)
    assert (dry["matched"], dry["done"]) == (3, 0)
    assert (await api.get("/counts?status=awaiting_signal")).json()["total"] == 3
    few = {**body, "dry_run": False, "limit": 2}
    _problem(await api.post("/bulk/cancel", json=few), 422, "invalid_request")
    assert (await api.get("/counts?status=awaiting_signal")).json()["total"] == 3
    wrong = {"criteria": {"workflow": "waiting"}, "to": "token=hunter2"}
    refused = (await api.post("/bulk/migrate", json=wrong)).json()
    assert refused["failed"] == 3
    assert "token=***" in refused["errors"][0]["detail"]
    for path, more in (
        ("pause", {"reason": "lunch"}),
        ("unpause", {}),
        ("migrate", {"to": "latest"}),
        ("signals", {"name": "other"}),
        ("cancel", {"reason": "no more"}),
    ):
        real = {"criteria": {"workflow": "waiting"}, **more}
        response = await api.post(f"/bulk/{path}", json=real)
        outcome = _checked(response, responses.BulkOutcome)
        assert (outcome["matched"], outcome["done"]) == (3, 3), path
    real = {"criteria": {"status": "cancelled"}, "reason": "x"}
    outcome = (await api.post("/bulk/pause", json=real)).json()
    assert (outcome["done"], outcome["failed"]) == (0, 3)
    assert outcome["errors"][0]["rejection"] == "terminal"


async def test_failed_ones_are_retried_together(api: httpx.AsyncClient) -> None:
    await _start(api, "failing", instance_id="f-1")
    body = {"criteria": {"until": "0s"}, "reason": "the bank is back"}
    outcome = (await api.post("/bulk/retry", json=body)).json()
    assert (outcome["matched"], outcome["done"]) == (1, 1)


# --- history --------------------------------------------------------------------------


async def test_a_history_comes_page_by_page(api: httpx.AsyncClient) -> None:
    await _start(api, "adding", instance_id="a-1", input={"n": 1, "secret": "x"})
    whole = _checked(await api.get("/instances/a-1/history"), responses.HistoryPage)
    events = whole["events"]
    assert events[0]["kind"] == "WorkflowStarted"
    assert events[0]["input"] == {"n": 1, "secret": HIDDEN}
    assert events[-1]["kind"] == "WorkflowCompleted"
    assert whole["next_page_token"] is None
    paged: list[Any] = []
    params: dict[str, str | int] = {"limit": 1}
    while True:
        page = (await api.get("/instances/a-1/history", params=params)).json()
        paged += page["events"]
        assert len(page["events"]) == 1
        if page["next_page_token"] is None:
            break
        params["page_token"] = page["next_page_token"]
    assert paged == events


async def test_the_state_behind_any_event_and_what_differs(
    api: httpx.AsyncClient,
) -> None:
    await _start(api, "adding", instance_id="a-1", input={"n": 1, "card": "4111"})
    first = _checked(await api.get("/instances/a-1/state?at=1"), responses.State)
    assert first["values"] == {"start": {"n": 1, "card": HIDDEN}}
    last = (await api.get("/instances/a-1/state")).json()
    assert last["status"] == "completed"
    assert last["output"] == {"n": 2, "card": HIDDEN}
    response = await api.get("/instances/a-1/diff", params={"from": 1})
    changes = _checked(response, responses.Difference)["changes"]
    by_field = {one["field"]: one for one in changes}
    assert by_field["status"]["after"] == "completed"
    assert "4111" not in response.text
    nothing = await api.get("/instances/a-1/diff", params={"from": 1, "to": 1})
    assert nothing.json() == {"changes": []}
    _problem(await api.get("/instances/a-1/state?at=99"), 404, "not_found")


async def test_workflows_are_listed(api: httpx.AsyncClient) -> None:
    await _start(api, "adding", input={"n": 1})
    response = await api.get("/workflows")
    names = [
        one["name"] for one in _checked(response, responses.Workflows)["workflows"]
    ]
    assert names == ["adding", "failing", "waiting"]


async def test_numbers_come_as_they_were_written(api: httpx.AsyncClient) -> None:
    text = '{"workflow":"waiting","instance_id":"w","input":[1e3,12345678901234567890]}'
    headers = {"content-type": "application/json"}
    await api.post("/instances", content=text, headers=headers)
    history = await api.get("/instances/w/history")
    assert "12345678901234567890" in history.text


async def test_methods_and_addresses_that_are_none(api: httpx.AsyncClient) -> None:
    _problem(await api.delete("/instances/a"), 405, "method_not_allowed")
    _problem(await api.get("/nothing"), 404, "not_found")


async def test_the_document_names_every_operation(app: FastAPI) -> None:
    document = app.openapi()
    names: list[str] = []
    for path, operations in document["paths"].items():
        assert path.startswith("/api/v1/"), path
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["summary"]
            assert operation["tags"]
            problem = operation["responses"]["422"]["content"]
            assert list(problem) == ["application/problem+json"]
    assert len(names) == len(set(names)) == 27
    assert "HTTPValidationError" not in json.dumps(document)


async def test_limits_are_listed_shown_and_set(api: httpx.AsyncClient) -> None:
    listed = _checked(await api.get("/limits"), responses.Limits)
    assert listed == {"limits": [], "next_after": None}
    body = {"max_concurrency": 5, "rate": "10/s", "reason": "slow", "command_id": "c"}
    limits = list[dict[str, Any]]()
    for _ in range(2):
        answer = await api.put("/limits/tenant%2F42", json=body)
        assert answer.status_code == 200, answer.text
        limits.append(_checked(answer, responses.Limit))
    assert limits[0] == limits[1]
    limit = limits[0]
    assert (limit["key"], limit["in_use"]) == ("tenant/42", 0)
    assert (limit["set_max_concurrency"], limit["set_rate"]) == (5, "10/s")
    await api.put("/limits/b", json={"rate": "5/h burst 2"})
    page = (await api.get("/limits", params={"limit": 1})).json()
    assert [one["key"] for one in page["limits"]] == ["b"]
    rest = await api.get("/limits", params={"after": page["next_after"]})
    assert [one["key"] for one in rest.json()["limits"]] == ["tenant/42"]
    unset = await api.put("/limits/b", json={})
    assert unset.json()["is_set"] is False
    shown = _checked(await api.get("/limits/b"), responses.Limit)
    assert shown["rate"] is None


async def test_start_queues_are_listed_shown_and_set(api: httpx.AsyncClient) -> None:
    await api.put("/limits/sync%2F42", json={"max_concurrency": 2})
    runs = {"of": "runs"}
    body = {"max_running": 5, "queue_length": 9, "reason": "slow", "command_id": "c"}
    queues = list[dict[str, Any]]()
    for _ in range(2):
        answer = await api.put("/limits/sync%2F42", params=runs, json=body)
        assert answer.status_code == 200, answer.text
        queues.append(_checked(answer, responses.Limit))
    assert queues[0] == queues[1]
    queue = queues[0]
    assert (queue["of"], queue["key"], queue["workflow"]) == ("runs", "sync/42", "sync")
    assert (queue["max_running"], queue["set_queue_length"]) == (5, 9)
    listed = _checked(await api.get("/limits"), responses.Limits)["limits"]
    assert [one["of"] for one in listed] == ["attempts", "runs"]
    only = _checked(await api.get("/limits", params=runs), responses.Limits)
    assert only == {"limits": [queue], "next_after": None}
    shown = _checked(await api.get("/limits/sync%2F42"), responses.Limit)
    assert (shown["of"], shown["set_max_concurrency"]) == ("attempts", 2)
    unset = await api.put("/limits/sync%2F42", params=runs, json={})
    assert unset.json()["is_set"] is False
    for path, params in (("", {"after": "k"}), ("", {"of": "x"}), ("/k", {"of": "x"})):
        _problem(await api.get(f"/limits{path}", params=params), 422, "invalid_request")
    for params, wrong in ((runs, {"rate": "1/s"}), ({}, {"max_running": 1})):
        answer = await api.put("/limits/k", params=params, json=wrong)
        _problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("k", {"max_concurrency": -1}),
        ("k", {"rate": "often"}),
        ("k", {"most": 5}),
        ("k" * 201, {"max_concurrency": 1}),
    ],
)
async def test_what_is_no_limit_is_refused(
    api: httpx.AsyncClient, key: str, body: dict[str, object]
) -> None:
    answer = await api.put(f"/limits/{key}", json=body)
    _problem(answer, 422, "invalid_request")
