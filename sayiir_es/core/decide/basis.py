"""What a decision is made on, and the draft of one that happens in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.draft import Basis, DecisionContext, Draft
from sayiir_es.core.evolve.evolve import evolve_behind
from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.graph.lookup import get_graph
from sayiir_es.core.model.headers import header_of

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Rows


_new_basis = maker(Basis)


def basis_of(
    instance_id: str, cause: str, rows: Rows, context: DecisionContext, room: int
) -> Basis:
    """The basis of a decision about an instance with those rows."""
    return _new_basis(
        instance_id=instance_id,
        rows=rows,
        header=header_of(rows),
        cause=cause,
        context=context,
        room=room,
        fold=evolve_behind,
    )


def draft_in_run(basis: Basis) -> Draft:
    """The draft of a decision in the current run, by the graph that it started with.

    Raises:
        UnknownDefinitionError: if nobody published that graph.
    """
    return Draft(basis, get_graph(basis.rows, basis.context.definitions))
