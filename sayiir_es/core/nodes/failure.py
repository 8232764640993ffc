"""How the failure of a node goes on: it is caught, or what was done is undone first.

Something around it catches it, or its run ends; before that what its tasks did is
undone, where they say how.

Every failure passes this: an attempt without a further one, a loop without a further
iteration, a signal that did not come, a move whose event no batch takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.catching import catching_try
from sayiir_es.core.model.compensation_events import CompensationRequested
from sayiir_es.core.model.events import ErrorCaught, WorkflowFailed
from sayiir_es.core.model.rows import chain_of
from sayiir_es.core.nodes import compensation

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.waits import Failure


def fail(draft: Draft, path: str, failure: Failure, *before: Body) -> None:
    """The node at `path` has failed; `before` are events never cut apart from that.

    An empty path is that of the whole run, which nothing catches.
    """
    around = catching_try(draft.graph, path, failure.error_type, failure.bases)
    if around is not None:
        caught = ErrorCaught(
            path=around,
            failed_path=path,
            error_type=failure.error_type,
            error=failure.error,
        )
        draft.emit_together(*before, caught)
        draft.touched.append(chain_of(around))
        return
    kind = CompensationRequested if compensation.may_be_due(draft) else WorkflowFailed
    ended = kind(path=path, error_type=failure.error_type, error=failure.error)
    draft.emit_together(*before, ended)
