"""What an export shows of a record for analysis: its fields, beside its exact bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import DecodeError, EncodeError, UnknownEventError
from sayiir_es.log.port import Topic
from sayiir_es.wire.commands import decode_command, encode_command_json
from sayiir_es.wire.event_json import event_to_json
from sayiir_es.wire.events import decode_event
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from sayiir_es.audit.export.places import Place
    from sayiir_es.log.port import Record


def decode_fields(place: Place, record: Record) -> object:
    """The fields of a record, as JSON can hold them; None if they cannot be read.

    Events as `event_to_json` shows them; commands as their JSON form, with the ids
    resolved; definitions and dead letters as they are where that is JSON.
    """
    value = record.value
    if value is None:
        return None
    try:
        match place.topic:
            case Topic.EVENTS:
                return event_to_json(decode_event(value))
            case Topic.COMMANDS:
                command = decode_command(
                    key=record.key,
                    value=value,
                    partition=place.partition,
                    offset=record.offset,
                )
                return decode_payload(encode_command_json(command))
            case _:
                return decode_payload(value)
    except (DecodeError, EncodeError, UnknownEventError):
        return None
