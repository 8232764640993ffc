"""How many runs of a workflow go on at a time, as data: its start queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.graph.key_templates import (
    KEY_BYTES_MAX,
    LIMIT_MAX,
    UnreadableKeyError,
    check_template,
    render,
)
from sayiir_es.core.graph.paths import encode_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.json_fields import Fields

LENGTH_MAX = 100_000_000
"""The largest `queue_length`."""

QUEUE_KEY_BYTES_MAX = 240
"""The longest key of a start queue: with its prefix it is an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartQueue:
    """At most `max_running` runs of the workflow go on at a time, of each `key`.

    `key` is a template; None: all runs are of one. Where `length` others wait, a
    further run is refused; None: it waits behind any number.
    """

    max_running: int
    length: int | None = None
    key: str | None = None

    def key_of(self, workflow: str, read_input: Callable[[], bytes]) -> str:
        """The key of the queue of a run, which its workflow's name is part of.

        Raises:
            UnreadableKeyError: if the input is not what a key can be made of.
        """
        key = encode_segment(workflow)
        if self.key is not None:
            key += "/" + render(self.key, workflow, lambda _: read_input())
        size = len(key.encode())
        if size > QUEUE_KEY_BYTES_MAX:
            raise UnreadableKeyError(
                f"expected a key of a start queue of at most {QUEUE_KEY_BYTES_MAX} "
                f"bytes, but with the workflow's name it has {size}"
            )
        return key


def check_key(template: str) -> str:
    """The template of a queue's key, if it is one.

    Raises:
        ValueError: if it is empty, too long, or names what there is not.
    """
    check_template(template, "queue_key")
    if "{input" in template:
        raise ValueError(
            "expected queue_key with {workflow} or {workflow_input.FIELD}, as no task "
            f"runs yet, but {template!r}"
        )
    return template


def check_name(workflow: str) -> None:
    """Check that a workflow's name leaves room for a key.

    Raises:
        ValueError: if it is too long.
    """
    size = len(encode_segment(workflow).encode())
    if size > KEY_BYTES_MAX:
        raise ValueError(
            f"expected a name of at most {KEY_BYTES_MAX} bytes of a workflow with "
            f"max_running, but {workflow[:64]!r} has {size}"
        )


def queue_to_json(queue: StartQueue) -> dict[str, object]:
    """A start queue as JSON data."""
    return {
        "max_running": queue.max_running,
        "queue_length": queue.length,
        "queue_key": queue.key,
    }


def queue_from_json(fields: Fields | None) -> StartQueue | None:
    """The start queue of JSON data.

    Raises:
        DecodeError: if it is not one.
    """
    if fields is None:
        return None
    max_running = fields.integer("max_running", LIMIT_MAX)
    if max_running < 1:
        raise fields.wrong("max_running", "a number from 1 on", max_running)
    key = fields.text_or_none("queue_key")
    if key is not None:
        try:
            check_key(key)
        except ValueError as error:
            raise fields.wrong("queue_key", "a template of a key", key) from error
    return StartQueue(
        max_running=max_running,
        length=fields.integer_or_none("queue_length", LENGTH_MAX),
        key=key,
    )
