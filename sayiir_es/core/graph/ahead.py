"""Which nodes a run may still come to, from where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import LoopNode
from sayiir_es.core.graph.paths import compensation_path, template
from sayiir_es.core.model.rows import get_cursors
from sayiir_es.core.model.undo_rows import paths_to_undo
from sayiir_es.core.model.waits import Awaiting, Broken, Looping

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.rows import Rows


def nodes_ahead(rows: Rows, graph: Graph) -> dict[str, str]:
    """The nodes that may still open, each with its path in the iterations of now.

    With them the compensations of what has completed, and is to be undone if the run
    fails or is cancelled.
    """
    begins: dict[str, str] = {}
    bodies: dict[str, str] = {}
    for path in (*paths_to_undo(rows), *paths_to_undo(rows, "n")):
        undo = compensation_path(path)
        begins[template(undo)] = undo
    for _, cursor in get_cursors(rows):
        if isinstance(cursor.wait, Awaiting | Broken):
            begins[template(cursor.path)] = cursor.path
        place = graph.place(cursor.path)
        is_loop = place is not None and isinstance(place.node, LoopNode)
        if is_loop and isinstance(cursor.wait, Looping | Broken):
            bodies[template(cursor.path)] = cursor.path
        following = graph.successor(cursor.path)
        while following is not None:
            begins[template(following)] = following
            following = graph.successor(following)
    ahead: dict[str, str] = {}
    for path, place in graph.places.items():  # a container before what is in it
        container = place.container
        around = None if container is None else ahead.get(container)
        if container is not None and around is None:
            around = bodies.get(container)
        if path in begins:
            ahead[path] = begins[path]
        elif container is not None and around is not None:
            ahead[path] = around + path[len(container) :]
    return ahead
