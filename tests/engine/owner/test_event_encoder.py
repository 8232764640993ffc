"""An event is encoded once, and that tells how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.record_size import event_bytes
from sayiir_es.engine.owner.event_encoder import EventEncoder
from sayiir_es.engine.owner.tenure import to_record
from tests.wire.examples import EVENTS

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_encoded_event_has_the_size_that_is_worked_out_from_its_values(
    event: Event,
) -> None:
    encoder = EventEncoder()
    assert encoder.size_of(event) == event_bytes(event)
    assert encoder.take([event]) == [to_record(event)]


def test_what_a_decision_dropped_is_not_among_its_records() -> None:
    encoder = EventEncoder()
    for event in EVENTS:
        encoder.size_of(event)
    kept = EVENTS[1::2]
    assert encoder.take(kept) == [to_record(event) for event in kept]
    with pytest.raises(KeyError):
        encoder.take(EVENTS[:1])
