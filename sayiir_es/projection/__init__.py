"""Views of your own: fold the events into a store that you name, each exactly once.

    def fold(cursor, found):
        match found.event.body:
            case WorkflowCompleted():
                cursor.execute("update orders set done = 1 where id = ?", …)

    project("kafka://localhost:9092/shop", SqlView(connection, "orders"), fold)

Theory of operation. What a chunk of events does to the view, and the place behind the
chunk, are one transaction of the view's own store; so after any crash the view is what
the events below its place make of it, and folding goes on from there. A place is an
offset *and* the claim in force there: without the claim, a projection that goes on in
the midst of a displaced owner's events could not tell them from valid ones. A move
names the place that it starts from and fails where that is no longer the view's: so two
processes that fold one view by accident do no harm.
"""

from __future__ import annotations

from sayiir_es.client.valid_events import FoundEvent
from sayiir_es.projection.projection import Fold, Projection, project
from sayiir_es.projection.sql_view import Cursor, SqlView
from sayiir_es.projection.view import Move, Place, View

__all__ = [
    "Cursor",
    "Fold",
    "FoundEvent",
    "Move",
    "Place",
    "Projection",
    "SqlView",
    "View",
    "project",
]
