"""Views of your own: fold the events into a store of yours, each exactly once.

    def fold(cursor, valid_event):
        match valid_event.event.body:
            case WorkflowCompleted():
                cursor.execute("update orders set done = 1 where id = ?", …)

    project("kafka://localhost:9092/shop", SqlView(connection, "orders"), fold)

Theory of operation. The changes that a chunk of events makes in the view, and the place
after the chunk, are written in one transaction of the view's own store. So after any
crash the view is the fold of the events below its place, and folding goes on from
there. A place is an offset *and* the claim in force there: without the claim, a
projection that goes on in the middle of a displaced owner's events could not tell them
from valid ones. A move names the place that it starts from, and fails when the view is
no longer there: so two processes that fold one view by accident do no harm.
"""

from __future__ import annotations

from sayiir_es.engine.valid_events import FoundEvent
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
