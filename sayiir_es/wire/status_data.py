"""The status of an instance as data of a reply."""

from __future__ import annotations

from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.model.waits import ErrorDetails
from sayiir_es.core.status.status import Status

_STATUS_NAMES = tuple(item.name for item in fields(Status))
_status_values: Any = attrgetter(*_STATUS_NAMES)
_STATUS_LISTS = ("compensated", "not_compensated", "children")
"""Fields that are tuples; an older build says nothing of them."""
_new_status: Any = maker(Status)


def status_data(status: Status | None) -> dict[str, object] | None:
    """A status as data; None where there is none."""
    if status is None:
        return None
    data = dict(zip(_STATUS_NAMES, _status_values(status), strict=True))
    if status.error_details is not None:
        data["error_details"] = asdict(status.error_details)
    return data


def read_status(data: Any) -> Status | None:
    """The status of such data, or None."""
    return None if data is None else to_status(data)


def to_status(data: Any) -> Status:
    """The status of such data; a newer build may say more, an older one less."""
    if len(data) != len(_STATUS_NAMES):
        # A newer build may say more than this one knows, an older one nothing of
        # details.
        data = {name: data[name] for name in _STATUS_NAMES if name in data}
    values = {**data}
    details = values.get("error_details")
    if details is not None:
        values["error_details"] = ErrorDetails(
            error_class=details["error_class"],
            source_line=details["source_line"],
            causes=tuple(details["causes"]),
            traceback=details["traceback"],
        )
    for name in _STATUS_LISTS:
        values[name] = tuple(values.get(name, ()))
    status: Status = _new_status(**values)
    return status
