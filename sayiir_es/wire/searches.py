"""Searches as data of a request, and the groups by which instances are counted.

An owner of an older build passes over criteria that it does not know, and would find
too many. So a search with one of these is asked for by a name that only newer builds
know (`is_new`); and this build refuses a criterion that it does not know.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Literal, TypeAlias, cast, get_args

from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.core.status.search import (
    TIMES,
    Search,
    check_waiting_for,
)

Groups: TypeAlias = Literal[
    "all", "status", "workflow", "version", "error_type", "error", "waiting_for"
]
GROUPS: tuple[Groups, ...] = get_args(Groups)

_OLD_GROUPS: frozenset[Groups] = frozenset(("all", "status", "workflow", "error_type"))
_NEW_CRITERIA = (
    *("version", "error_in", "waiting_for", "id_prefix", "id_contains", "parent"),
)
_CRITERIA = frozenset(item.name for item in fields(Search)) - {"statuses"} | {"status"}


def is_new(search: Search, by: Groups = "all") -> bool:
    """Whether an owner of an older build would answer something else."""
    criteria = [getattr(search, name) for name in _NEW_CRITERIA]
    return by not in _OLD_GROUPS or any(one is not None for one in criteria)


def group_key(*parts: str | None) -> str:
    """The key of a group of several parts, such as an error and a node: JSON."""
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def group_parts(key: str) -> tuple[str | None, ...]:
    """The parts of a group by its key.

    Raises:
        DecodeError: if it is no such key.
    """
    try:
        parts: object = json.loads(key)
    except ValueError as error:
        raise DecodeError(f"expected the key of a group, but {key!r:.200}") from error
    if not isinstance(parts, list):
        raise DecodeError(f"expected the key of a group, but {key!r:.200}")
    texts = cast("list[object]", parts)
    return tuple(None if text is None else str(text) for text in texts)


def search_data(search: Search) -> dict[str, object]:
    """A search as data of a request."""
    data = {item.name: getattr(search, item.name) for item in fields(search)}
    for name in _NEW_CRITERIA:
        if data[name] is None:
            del data[name]
    return {"status": data.pop("statuses") or None, **data}


def read_search(request: Fields) -> Search:
    """The search of a request.

    Raises:
        DecodeError: if it is none, or has a criterion that this build does not know.
    """
    data = Fields(request.data.get("search"), "request.search")
    unknown = sorted(str(name) for name in data.data if name not in _CRITERIA)
    if unknown:
        known = ", ".join(sorted(_CRITERIA))
        raise DecodeError(f"expected criteria of {known}, but {unknown[0]!r:.100}")
    by = data.text_or_none("by") or "started"
    order = data.text_or_none("order")
    texts = Fields(data.data.get("attributes") or {}, "request.search.attributes")
    if by not in TIMES:
        raise data.wrong("by", f"one of {', '.join(TIMES)}", by)
    if order is not None and order not in TIMES:
        raise data.wrong("order", f"one of {', '.join(TIMES)}", order)
    return Search(
        statuses=_read_statuses(data),
        workflow=data.text_or_none("workflow"),
        attributes={str(name): texts.text(str(name)) for name in texts.data},
        since_ms=data.integer_or_none("since_ms"),
        until_ms=data.integer_or_none("until_ms"),
        by="updated" if by == "updated" else "started",
        error_type=data.text_or_none("error_type"),
        order=next((name for name in TIMES if name == order), None),
        version=data.text_or_none("version"),
        error_in=data.text_or_none("error_in"),
        waiting_for=_read_waiting_for(data),
        id_prefix=data.text_or_none("id_prefix"),
        id_contains=data.text_or_none("id_contains"),
        parent=data.text_or_none("parent"),
    )


def _read_statuses(search: Fields) -> tuple[str, ...]:
    """One status, or a list of them."""
    match search.data.get("status"):
        case None:
            return ()
        case str():
            return (search.text("status"),)
        case _:
            return search.texts("status")


def _read_waiting_for(search: Fields) -> str | None:
    waiting_for = search.text_or_none("waiting_for")
    try:
        return None if waiting_for is None else check_waiting_for(waiting_for)
    except ValueError as error:
        raise DecodeError(f"{error} at request.search.waiting_for") from error


def read_groups(request: Fields) -> Groups:
    """By what a request counts.

    Raises:
        DecodeError: if it is nothing that this build knows.
    """
    name = request.text_or_none("by") or "all"
    for group in GROUPS:
        if name == group:
            return group
    raise request.wrong("by", f"one of {', '.join(GROUPS)}", name)
