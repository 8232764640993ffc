"""asyncapi.yaml says of each topic what the code does: messages, headers, settings."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any, cast, get_args

import msgpack
import pytest
import yaml

from sayiir_es import InMemoryBackend, Worker
from sayiir_es.core.model.commands import Command
from sayiir_es.core.model.events import Body
from sayiir_es.core.status import waits
from sayiir_es.core.status.limit_report import LimitedAttempt, LimitReport
from sayiir_es.core.status.search import Search
from sayiir_es.core.status.status import Status, StatusName
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.kafka.topic_rules import new_topic
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.operations.dead_letters import all_dead_letters, mark
from sayiir_es.wire.cloud_events import cloud_event_headers
from sayiir_es.wire.commands import write_origin
from sayiir_es.wire.events import event_headers, read_headers
from sayiir_es.wire.executor_requests import (
    ExecutorRequest,
    HeldAttempt,
    OfferSlots,
    Progress,
)
from sayiir_es.wire.limit_reports import FindLimits
from sayiir_es.wire.partition_reports import (
    PartitionReport,
    RunningAttempt,
    UndecidedCommand,
)
from sayiir_es.wire.reply_address import ReplyAddress, read_reply_address
from sayiir_es.wire.requests import (
    NEW,
    Answer,
    Claimed,
    Counted,
    CountInstances,
    Decided,
    Describe,
    Described,
    DescribedPartition,
    DescribePartition,
    Ended,
    FindDecision,
    FindResult,
    FoundLimits,
    FoundResult,
    Listed,
    ListInstances,
    Refused,
    Reply,
    Request,
    StopSearch,
    Wait,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from sayiir_es.wire.snapshots import snapshot_headers
from tests.projection.history import run_of
from tests.tree import ROOT

TEXT = (ROOT / "asyncapi.yaml").read_text()
API: dict[str, Any] = yaml.safe_load(TEXT)
MESSAGES: dict[str, Any] = API["components"]["messages"]
TRAITS: dict[str, Any] = API["components"]["messageTraits"]
_msgpack: Any = msgpack  # ships no hints
KINDS = {body.__name__ for body in get_args(Body)}
COMMANDS = {command.__name__ for command in get_args(Command)}


def test_every_reference_leads_somewhere() -> None:
    references: list[str] = re.findall(r'\$ref: "([^"]+)"', TEXT)
    assert len(references) > 2 * len(MESSAGES)
    for reference in references:
        if reference.startswith("#/"):
            node: Any = API
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (ROOT / reference).is_file(), reference


def test_the_channels_are_the_topics_with_their_settings() -> None:
    assert set(API["channels"]) == {topic.value for topic in Topic}
    for topic in Topic:
        channel = API["channels"][topic.value]
        assert channel["address"] == f"{{app}}.{topic.value}"
        new = new_topic("app", topic, partitions=8, replicas=1)
        bindings = channel["bindings"]["kafka"]
        configuration = bindings["topicConfiguration"]
        assert configuration["cleanup.policy"] == [new.settings["cleanup.policy"]]
        assert str(configuration.get("retention.ms")) == new.settings.get(
            "retention.ms", "None"
        )
        assert bindings.get("partitions", 8) == new.partitions


@pytest.mark.parametrize(
    ("channel", "names", "trait"),
    [
        ("commands", COMMANDS, "command"),
        ("events", KINDS, "event"),
        ("snapshots", {"InstanceSnapshot"}, "snapshot"),
        ("attempts", {"Attempt", "AttemptCancelled"}, "attempt"),
    ],
)
def test_each_message_refers_to_its_schema(
    channel: str, names: set[str], trait: str
) -> None:
    messages = API["channels"][channel]["messages"]
    assert set(messages) == names
    for name, place in messages.items():
        assert place == {"$ref": f"#/components/messages/{name}"}
        message = MESSAGES[name]
        assert message["traits"] == [{"$ref": f"#/components/messageTraits/{trait}"}]
        assert message["payload"]["schemaFormat"].startswith(
            "application/vnd.apache.avr"
        )
        reference = message["payload"]["schema"]["$ref"]
        schema = json.loads((ROOT / reference).read_text())
        assert message["name"] == f"{schema['namespace']}.{schema['name']}"
        assert schema["name"] == name
        assert message["summary"] == schema["doc"]


def test_a_search_names_every_kind_of_wait() -> None:
    search = API["components"]["schemas"]["search"]
    pattern = search["properties"]["waiting_for"]["pattern"]
    for kind in waits.KINDS:
        assert re.fullmatch(pattern, kind), kind
        assert re.fullmatch(pattern, f"{kind}:name"), kind
    assert not re.fullmatch(pattern, "rest")


def test_the_headers_are_those_that_are_written() -> None:
    event = TRAITS["event"]["headers"]
    own_headers = dict(event_headers("TaskCompleted", 1001))
    record = to_record(run_of("i-1", 1001)[0])
    cloud_headers = cloud_event_headers(
        record.value or b"", record.headers, source=b"/x/0"
    )
    assert set(event["properties"]) == set(own_headers) | set(dict(cloud_headers))
    assert set(event["required"]) == set(own_headers)
    pattern = event["properties"]["claim"]["pattern"]
    for claim in ("-1", "0", "1001", "01", "-2", "", "1e3"):
        headers = (("kind", b"TaskCompleted"), ("claim", claim.encode()))
        readable = read_headers(headers) is not None
        assert (re.fullmatch(pattern, claim) is not None) == readable
    snapshot = TRAITS["snapshot"]["headers"]
    assert set(snapshot["required"]) == set(dict(snapshot_headers(1001)))
    assert set(snapshot["properties"]) == set(snapshot["required"])
    ((name, value),) = write_origin((3, 1042))
    origin = TRAITS["command"]["headers"]["properties"]
    assert set(origin) == {name, "reply-to", "reply-when"}
    assert re.fullmatch(origin[name]["pattern"], value.decode())


async def test_the_headers_of_a_dead_letter_are_those_that_are_written() -> None:
    backend = InMemoryBackend()
    log = backend.open_log()
    await log.open(create=True)
    garbage = NewRecord(key=b"i", value=b"{", headers=(("mine", b"1"),))
    await log.produce(Topic.COMMANDS, 0, garbage)
    reader = await log.reader(Topic.DEAD_LETTERS, 0, 0)
    with Worker("w", backend).start([]):
        chunk = await reader.read(max_wait_s=10)
    assert chunk is not None
    headers = MESSAGES["DeadLetter"]["headers"]
    assert [name for name, _ in chunk.records[0].headers] == [
        *headers["required"],
        "mine",
    ]


async def test_the_headers_of_a_mark_are_those_that_are_written() -> None:
    backend = InMemoryBackend()
    log = backend.open_log()
    await log.open(create=True)
    letter_headers = (
        ("reason", b"bad_json"),
        ("position", b"0@0"),
        ("record-key", b"i"),
    )
    record = NewRecord(key=b"0@0", value=b"{", headers=letter_headers)
    await log.produce(Topic.DEAD_LETTERS, 0, record)
    [letter] = await all_dead_letters(log)
    await mark(log, letter, "dropped", "why")
    reader = await log.reader(Topic.DEAD_LETTERS, 0, 1)
    chunk = await reader.read(max_wait_s=10)
    assert chunk is not None
    headers = MESSAGES["DeadLetterMark"]["headers"]
    assert [name for name, _ in chunk.records[0].headers] == headers["required"]
    assert chunk.records[0].value is None


SEARCH = Search(statuses=("failed", "quarantined"), attributes={"customer": "42"})
REQUESTS: list[Request | ExecutorRequest] = [
    CountInstances(search=SEARCH, by="status", at_least=7),
    FindDecision(instance_id="i", offset=3, command_id="mail-81", at_least=7),
    Describe(instance_id="i", at_least=7),
    ListInstances(search=SEARCH, limit=5, before=(1, "i"), within_ms=9, at_least=7),
    FindResult(instance_id="i", task_id="t", at_least=7),
    Wait(instance_id="i", parked=True, at_least=7),
    DescribePartition(counts=True, at_least=7),
    FindLimits(of="runs", key="orders/42", after="a", count=9, at_least=7),
    StopSearch(at_least=7),
    OfferSlots(
        executor="e",
        free=1,
        slots=2,
        tags=("gpu",),
        graphs=("ab" * 32,),
        tasks=("orders/charge",),
        ttl_ms=9,
        stopping=True,
        only_foreign=True,
        overflow=1,
        overflow_processes=2,
    ),
    Progress(
        executor="e",
        attempts=(
            HeldAttempt(
                instance_id="i",
                run=1,
                path="t",
                attempt=2,
                secret="ab" * 16,
                details=b"7",
            ),
        ),
    ),
]
STATUS = Status(
    instance_id="i",
    workflow="w",
    definition_hash="h",
    run=1,
    sequence=2,
    status="completed",
    waiting_for="nothing",
    output=b"7",
    error=None,
    error_type=None,
    reason=None,
    requested_by=None,
    wake_at=None,
    node_id=None,
    signal=None,
    started_at=1,
    updated_at=2,
    attempts={},
    attributes={},
)
ATTEMPT = LimitedAttempt(instance_id="i", path="work", since=5, permit=7)
LIMIT = LimitReport(
    key="tenant:42",
    in_use=1,
    queued=1,
    max_concurrency=1,
    holders=(ATTEMPT,),
    waiting=(ATTEMPT,),
)
REPORT = PartitionReport(
    partition=2,
    owner_id="w/1",
    worker_id="w",
    build="1",
    now=9,
    serving_since=1,
    claim=0,
    offset=3,
    events_end=3,
    next_command=1,
    commands_end=2,
    instances={"failed": 1},
    running=(RunningAttempt(instance_id="i", workflow="w", path="t", attempt=1),),
    tags=("cpu",),
    workflows=("w",),
    undecided=(UndecidedCommand(offset=1, reason="it waits"),),
    undecided_count=1,
)
ANSWERS: list[Answer] = [
    Claimed(),
    Counted(counts={"all": 1}),
    Decided(event="CommandRejected", offset=1, command="C", code="c", message="m"),
    Described(status=STATUS),
    Ended(status=None),
    Listed(statuses=((1, STATUS),), is_last=True),
    Refused(code="busy", message="m"),
    FoundResult(exists=True, result=b"7"),
    DescribedPartition(report=REPORT),
    FoundLimits(limits=(LIMIT,), is_last=True),
]


def unpack(value: bytes) -> dict[str, Any]:
    """A message as any other program reads it."""
    data: dict[str, Any] = _msgpack.unpackb(value)
    return data


def hold(data: dict[str, Any], schema: dict[str, Any]) -> None:
    """Compare the names in a map with those of its schema, in depth."""
    if "$ref" in schema:
        schema = API["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert set(schema.get("required", ())) <= set(data) <= set(schema["properties"])
    for name, value in data.items():
        inner = schema["properties"][name]
        if isinstance(value, dict) and value and "additionalProperties" not in inner:
            hold(cast("dict[str, Any]", value), inner)
        if "const" in inner:
            assert value == inner["const"]


def test_requests_are_the_maps_that_the_page_says() -> None:
    kinds = (*get_args(Request), *get_args(ExecutorRequest))
    assert {type(one) for one in REQUESTS} == set(kinds)
    channel = API["channels"]["requests"]["messages"]
    assert len(channel) == len(REQUESTS)
    for request in REQUESTS:
        data = unpack(encode_request(request))
        name = data["request"].removesuffix(NEW)
        assert channel[name] == {"$ref": f"#/components/messages/request.{name}"}
        payload = MESSAGES[f"request.{name}"]["payload"]
        hold(data, payload)
        assert set(data) == set(payload["properties"])
        assert decode_request(encode_request(request)) == request
        # What may be left out may be left out.
        least = {key: data[key] for key in payload["required"]}
        assert type(decode_request(_msgpack.packb(least))) is type(request)


def test_replies_are_the_maps_that_the_page_says() -> None:
    assert {type(one) for one in ANSWERS} == set(get_args(Answer))
    channel = API["channels"]["replies"]["messages"]
    assert len(channel) == len(ANSWERS)
    for answer in ANSWERS:
        reply = Reply(call=1, partition=2, offset=3, answer=answer)
        data = unpack(encode_reply(reply))
        name = data["reply"]
        assert channel[name] == {"$ref": f"#/components/messages/reply.{name}"}
        hold(data, MESSAGES[f"reply.{name}"]["payload"])
        assert decode_reply(encode_reply(reply)) == reply
    schemas = API["components"]["schemas"]
    hold(asdict(LIMIT), schemas["limit"])
    hold(asdict(ATTEMPT), schemas["limitedAttempt"])
    statuses = API["components"]["schemas"]["status"]["properties"]["status"]["enum"]
    assert statuses == list(get_args(StatusName))


def test_the_headers_of_a_question_are_those_that_are_written() -> None:
    address = ReplyAddress(partition=3, client="0f" * 8, call=7, ended=True)
    headers = dict(address.headers())
    command = TRAITS["command"]["headers"]["properties"]
    request = TRAITS["request"]["headers"]
    assert set(headers) == {"reply-to", "reply-when"} == set(request["properties"])
    pattern = API["components"]["schemas"]["replyTo"]["pattern"]
    for text in (
        b"3/c/7",
        b"3/c",
        b"/c/7",
        b"3//7",
        b"x/c/7",
        b"3/" + b"c" * 65 + b"/7",
    ):
        is_one = read_reply_address([("reply-to", text)], 8) is not None
        assert (re.fullmatch(pattern, text.decode()) is not None) == is_one
    for when in command["reply-when"]["enum"]:
        told = read_reply_address(
            [("reply-to", b"3/c/7"), ("reply-when", when.encode())], 8
        )
        assert told is not None
        assert (told.decided, told.ended) == ("decided" in when, "ended" in when)
