"""A run goes on with another graph: its rows move to the paths of that one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.model.child_records import OpenChild
from sayiir_es.core.model.headers import header_after, remember_command
from sayiir_es.core.model.rows import Caught, Cursor, Ending, get_run
from sayiir_es.core.model.undo_rows import UNDO_KINDS, moved_key, moved_undoable
from sayiir_es.core.model.waits import Awaiting, Ended

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event, WorkflowMigrated
    from sayiir_es.core.model.rows import Changes, Header, Row, Rows

_BY_PATH = ("c", "x", "y", "q", "o", "a")
"""How the keys of rows begin before the path of a node or a chain."""

_BY_REFERENCE = ("vresult:", "vvalue:", "lresult:", "lvalue:")
"""How those begin that name a value by a path."""


def fold_migrated(
    rows: Rows, event: Event, body: WorkflowMigrated, header: Header
) -> Changes:
    """What the run holds moves; what it waits for, it waits for as before."""
    gone, come = moves(rows, PathMapping(body.mapping))
    changes: Changes = {**dict.fromkeys(gone), **come}
    run = get_run(rows)
    if run is not None:
        changes["r"] = replace(
            run,
            definition_hash=body.definition_hash,
            graph_digest=body.graph_digest,
            version=body.version,
        )
    changes["h"] = replace(
        header_after(header, event),
        migrated=event.sequence,
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return changes


def moves(rows: Rows, mapping: PathMapping) -> tuple[set[str], Changes]:
    """The keys of the rows that a mapping moves or changes, and what comes for them."""
    gone: set[str] = set()
    come: Changes = {}
    for prefix in (*_BY_PATH, *_BY_REFERENCE, *UNDO_KINDS, "e", "j"):
        for key in tuple(rows.keys(prefix)):
            row = rows.get(key)
            new_key = _moved_key(prefix, key, mapping)
            new_row = _moved(key, row, mapping)
            if (new_key, new_row) != (key, row):
                gone.add(key)
                come[new_key] = new_row
    return gone, come


def _moved_key(prefix: str, key: str, mapping: PathMapping) -> str:
    if prefix in _BY_PATH:
        return prefix + mapping.path(key[1:])
    if prefix in UNDO_KINDS:
        return moved_key(key, mapping.path)
    return key if prefix in "ej" else key[0] + mapping.reference(key[1:])


def _moved(key: str, row: Row | None, mapping: PathMapping) -> Row | None:
    match row:
        case Cursor():
            wait = row.wait
            path = mapping.path(row.path)
            if isinstance(wait, Ended):
                wait = Ended(result=mapping.reference(wait.result))
            elif isinstance(wait, Awaiting) and wait.permit and path != row.path:
                wait = replace(wait, permit="")  # it is the old path's, and returned
            return Cursor(
                path=path,
                input=mapping.reference(row.input),
                wait=wait,
            )
        case Ending():
            interrupted_at = tuple(map(mapping.path, row.interrupted_at))
            return replace(
                row,
                path=mapping.path(row.path),
                interrupted_at=interrupted_at,
                compensated=tuple(map(mapping.path, row.compensated)),
                not_compensated=tuple(map(mapping.path, row.not_compensated)),
            )
        case OpenChild():
            return replace(row, path=mapping.path(row.path))
        case Caught():
            return replace(
                row, path=mapping.path(row.path), input=mapping.reference(row.input)
            )
        case str() if key[0] == "x":
            return mapping.reference(row)
        case str() if key[0] == "o":
            return moved_undoable(row, mapping.reference)
        case _:
            return row
