"""Every command by its name: its function, its line of help and an example.

A function is imported when its command is called. What the help of a group shows
is repeated here, so that it needs no import; a test compares it with the docstrings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "sayiir-es"


@dataclass(frozen=True, slots=True)
class Verb:
    """A command that does something.

    Attributes:
        function: `module:function`, below this package.
        help: The first line of the function's docstring.
        example: A command line without the program's name.
    """

    function: str
    help: str
    example: str


@dataclass(frozen=True, slots=True)
class VerbGroup:
    """A command that holds others."""

    help: str
    example: str
    entries: Mapping[str, Entry]


Entry: TypeAlias = Verb | VerbGroup

_WORKER = {
    "run": Verb(
        "worker:run",
        "Own partitions and run the workflows of some modules, until SIGTERM or "
        "SIGINT.",
        "worker run examples.orders",
    ),
    "list": Verb(
        "worker_list:list_workers",
        "List the workers: build, partitions, slots, queue, tags and workflows.",
        "worker list -o json",
    ),
}
_EXECUTOR = {
    "run": Verb(
        "executor:run",
        "Run attempts that workers elsewhere decide, and own nothing, until SIGTERM or "
        "SIGINT.",
        "executor run examples.orders --tags gpu",
    ),
    "list": Verb(
        "executor_list:list_executors",
        "List the executors that offer slots: state, attempts held, tags and tasks.",
        "executor list -o json",
    ),
}
_PROJECTOR = {
    "run": Verb(
        "projector:run",
        "Fold events into RocksDB until SIGTERM; `instance show --state-dir` reads it.",
        "projector run --partitions 0 --state-dir views",
    ),
}
_TOPIC = {
    "create": Verb(
        "topic:create",
        "Make the topics of an app, with settings that keep history.",
        "topic create --partitions 8 --backend kafka://localhost:9092/sayiir",
    ),
    "check": Verb(
        "topic:check",
        "Check that no setting of the topics could lose history.",
        "topic check --backend kafka://localhost:9092/sayiir",
    ),
}
_INSTANCE = {
    "start": Verb(
        "instance.start:start",
        "Start an instance of a workflow, by its name.",
        'instance start orders --id order-7 --input \'{"item":"teapot","amount":5}\'',
    ),
    "list": Verb(
        "instance.list:list_instances",
        "List instances, the last started first, or with `--time updated` changed.",
        "instance list --status completed",
    ),
    "count": Verb(
        "instance.list:count", "Count instances.", "instance count --by status"
    ),
    "show": Verb(
        "instance.show:show",
        "Show an instance: its status, and what it waits for.",
        "instance show order-7 -o json",
    ),
    "result": Verb(
        "instance.show:result",
        "Print the output of a completed instance, as JSON.",
        "instance result order-7",
    ),
    "history": Verb(
        "instance.history:history",
        "Print the events of an instance, in order; only valid ones count.",
        "instance history order-7",
    ),
    "state": Verb(
        "instance.state:state",
        "Show the snapshot of an instance as it was, folded from its events.",
        "instance state order-7 --at 3",
    ),
    "diff": Verb(
        "instance.state:diff",
        "Show what differs between two snapshots of an instance, field by field.",
        "instance diff order-7 2 4",
    ),
    "timeline": Verb(
        "instance.timeline:timeline",
        "Draw when what ran and waited in an instance, as bars.",
        "instance timeline order-7 --by-order",
    ),
    "signal": Verb(
        "instance.control:signal",
        "Send a signal; it is buffered until a wait takes it.",
        "instance signal order-7 approval --payload '{\"ok\":true}'",
    ),
    "pause": Verb(
        "instance.control:pause",
        "Begin nothing new in an instance; what runs may end first.",
        "instance pause --workflow orders --reason audit --yes",
    ),
    "unpause": Verb(
        "instance.control:unpause",
        "Let a paused instance go on.",
        "instance unpause --workflow orders --dry-run",
    ),
    "cancel": Verb(
        "instance.control:cancel",
        "Cancel an instance; it ends when nothing runs any more.",
        "instance cancel --attribute customer=42 --reason withdrawn --yes",
    ),
    "retry": Verb(
        "instance.control:retry",
        "Let a failed instance go on from the node that failed.",
        "instance retry --status failed --workflow orders --since 2h --yes",
    ),
    "migrate": Verb(
        "instance.control:migrate",
        "Let an instance go on with another graph of its workflow.",
        "instance migrate order-7 --to latest",
    ),
    "fork": Verb(
        "instance.control:fork",
        "Begin a new instance with the history of another one, up to an event.",
        "instance fork order-7 --at 2 --new-id order-7b",
    ),
}
_EVENT = {
    "tail": Verb(
        "event:tail",
        "Print valid events, by the claim rule: what displaced owners wrote is no "
        "event.",
        "event tail --kind TaskCompleted --since 10m",
    ),
}
_AUDIT = {
    "verify": Verb(
        "audit.verify:verify",
        "Check every invariant that the topics can show; exit 1 if one is broken.",
        "audit verify",
    ),
    "replay": Verb(
        "audit.replay:replay",
        "Hold a history, or all that runs, to the workflows of today.",
        "audit replay order-7 examples.orders",
    ),
    "export": Verb(
        "audit.export:export",
        "Write every record of a log into a directory, with chains that prove them.",
        "audit export audit-2026",
    ),
    "import": Verb(
        "audit.export:import_",
        "Write an export into an empty log: the same records at the same offsets.",
        "audit import audit-2026 --backend file:copy.db",
    ),
}
_WORKFLOW = {
    "list": Verb(
        "workflow.verbs:list_workflows",
        "List the workflows that a worker or client has published.",
        "workflow list -o jsonl",
    ),
    "show": Verb(
        "workflow.verbs:show",
        "Show a workflow: its versions, and every node with its options.",
        "workflow show orders",
    ),
    "graph": Verb(
        "workflow.verbs:graph", "Draw a workflow's graph.", "workflow graph orders"
    ),
}
_DEAD_LETTER = {
    "list": Verb(
        "dead_letter.verbs:list_dead_letters",
        "List what could not be read, the last written first.",
        "dead-letter list -o jsonl",
    ),
    "show": Verb(
        "dead_letter.verbs:show",
        "Show a dead letter with the bytes that could not be read.",
        "dead-letter show 0@0",
    ),
    "retry": Verb(
        "dead_letter.verbs:retry",
        "Write the command again as it was, and print the event that answers it.",
        "dead-letter retry 0@0",
    ),
    "drop": Verb(
        "dead_letter.verbs:drop",
        "Take a dead letter off the list; the letter and its event stay on the log.",
        "dead-letter drop 0@0 --reason 'a typing error'",
    ),
}
_PARTITION = {
    "list": Verb(
        "partition:list_partitions",
        "List the partitions: owner, events, commands that wait, and what is wrong.",
        "partition list -o json",
    ),
    "show": Verb(
        "partition:show",
        "Show a partition: how far its owner is, what runs and waits, its instances.",
        "partition show 0 -o json",
    ),
    "forward": Verb(
        "partition:forward",
        "Bring home commands from partitions that somebody added to the topic.",
        "partition forward --dry-run",
    ),
    "accept-loss": Verb(
        "partition:accept_loss",
        "Serve a partition on without commands that were deleted before they were "
        "read.",
        "partition accept-loss 3 --reason 'the topic was cut'",
    ),
}
_LIMIT = {
    "list": Verb(
        "limit:list_limits",
        "List the limits that are in use, waited for, or set; and the start queues.",
        "limit list -o json",
    ),
    "show": Verb(
        "limit:show",
        "Show a limit: how much of it is in use, what was set, who has it, who waits.",
        "limit show tenant:42",
    ),
    "set": Verb(
        "limit:set_limit",
        "Set a limit at once; what is left out is as the tasks or the workflow say it.",
        "limit set tenant:42 --max-concurrency 5 --rate 10/s",
    ),
    "unset": Verb(
        "limit:unset",
        "Let a limit be what the tasks say again, or the workflow.",
        "limit unset tenant:42",
    ),
}
_SCHEMA = {
    "list": Verb(
        "schema.verbs:list_schemas",
        "List every record: the fingerprint that its bytes begin with, and what it is.",
        "schema list -o jsonl",
    ),
    "check": Verb(
        "schema.verbs:check",
        "Check that each version of a record reads what every other version wrote.",
        "schema check",
    ),
    "register": Verb(
        "schema.register:register",
        "Register every schema under its full name; those that are there stay.",
        "schema register --dry-run",
    ),
}

VERBS = VerbGroup(
    "Durable Python workflows whose only truth is a log of Avro events.",
    "demo",
    {
        "demo": Verb(
            "demo.demo:demo",
            "Run an order on one file, kill its worker with `kill -9`, and see it "
            "complete.",
            "demo",
        ),
        "dev": Verb(
            "dev.dev:dev",
            "Run workflows with worker, pages and API in one process, on a log in one "
            "file.",
            "dev",
        ),
        "doctor": Verb(
            "doctor:doctor",
            "Check log, topics, retention, clock, partitions, workers, dead letters.",
            "doctor",
        ),
        "error": Verb(
            "error:show",
            "Print the page of an error code: its cause, and what to do.",
            "error no_worker",
        ),
        "worker": VerbGroup(
            "Run and list workers.", "worker run examples.orders", _WORKER
        ),
        "executor": VerbGroup(
            "Run and list executors.",
            "executor run examples.orders --tags gpu",
            _EXECUTOR,
        ),
        "serve": Verb(
            "serve:serve",
            "Serve pages and REST API of a backend, until SIGTERM or SIGINT.",
            "serve --port 8080",
        ),
        "projector": VerbGroup(
            "Run standalone projectors.", "projector run", _PROJECTOR
        ),
        "topic": VerbGroup(
            "Make and check the topics of an app.", "topic check", _TOPIC
        ),
        "instance": VerbGroup(
            "Start, look at and steer instances.", "instance list", _INSTANCE
        ),
        "event": VerbGroup(
            "Read the stream of events.", "event tail --since 10m", _EVENT
        ),
        "audit": VerbGroup("Prove what the topics say.", "audit verify", _AUDIT),
        "workflow": VerbGroup(
            "Look at the published workflows.", "workflow list", _WORKFLOW
        ),
        "dead-letter": VerbGroup(
            "Commands that nobody could read.", "dead-letter list", _DEAD_LETTER
        ),
        "partition": VerbGroup(
            "Look at the partitions of an app, and go on behind a loss.",
            "partition list",
            _PARTITION,
        ),
        "limit": VerbGroup(
            "Look at limits of attempts and runs, and set them.", "limit list", _LIMIT
        ),
        "schema": VerbGroup(
            "List, check and publish the schemas of commands and events.",
            "schema list",
            _SCHEMA,
        ),
    },
)
"""The whole command line, in the order of its help."""
