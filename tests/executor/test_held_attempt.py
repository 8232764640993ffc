"""What an executor tells of an attempt that it holds."""

from __future__ import annotations

from sayiir_es.engine.attempts.attempt import State
from sayiir_es.executor.held_attempt import HandedAttempt
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from tests.engine.attempts.test_slot_queue import NoOwner
from tests.executor.test_background import attempt_of


def test_heartbeats_are_told_once_and_for_who_waits_each_time() -> None:
    record = attempt_of("e", heartbeat_timeout_ms=1_000)
    attempt = HandedAttempt(
        record=record,
        instance_id=record.instance_id,
        run=record.run,
        path=record.path,
        number=record.attempt,
        owner=NoOwner(),
    )

    def told() -> bytes | None:
        return attempt.progress(JSON_PAYLOADS).details

    attempt.move(State.QUEUED)
    assert (told(), told()) == (b"null", b"null")
    attempt.move(State.GRANTED)
    attempt.move(State.RUNNING)
    assert told() is None
    attempt.take_beat({"done": 3})
    assert (told(), told()) == (b'{"done":3}', None)
