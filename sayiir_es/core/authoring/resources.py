"""Resources: what tasks name that no node gives, such as a pool or a client.

Theory of operation. A keyword-only parameter is given, in this order, the context, the
input of the run, the result of the node of that id that surely ran, or the resource of
that name. `build` fixes the first three in the graph. A resource belongs to a process:
no graph knows of it, and it is bound to the functions where they are about to run.
"""

from __future__ import annotations

import copy
from difflib import get_close_matches
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, cast

from sayiir_es.core.authoring.needs import CONTEXT, WORKFLOW_INPUT, keyword_only
from sayiir_es.core.authoring.workflow import ResourceParameter
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sayiir_es.core.authoring.workflow import Workflow

RESERVED = (CONTEXT, WORKFLOW_INPUT)


def bind_resources(
    workflow: Workflow, resources: Mapping[str, object] | None, *, giver: str
) -> Workflow:
    """The workflow whose functions have the resources that they name.

    `giver` is what the caller calls where they come from.

    Raises:
        ResourceError: if a function names what is not there.
    """
    names = checked_names(resources, giver=giver)
    wanted = workflow.resource_parameters
    if wanted is None:
        wanted = workflow.resource_parameters = tuple(_wanted_by(workflow))
    missing = [
        _what_is_missing(workflow, one, names, giver)
        for one in wanted
        if one.is_required and one.name not in names
    ]
    if missing:
        raise ResourceError("\n".join(missing))
    given = [one for one in wanted if one.name in names]
    if not given:
        return workflow
    bound = copy.copy(workflow)
    bound.prepared = bound.runnables = bound.direct = None
    bound.resource_parameters = ()
    bound.functions = functions = dict(workflow.functions)
    for one in given:
        function = functions[one.path]
        # Its marks and annotations stay.
        named = partial(function, **{one.name: names[one.name]})
        functions[one.path] = update_wrapper(named, function)
    return bound


def checked_names(resources: object, *, giver: str) -> dict[str, object]:
    """The resources, if they are a mapping by names that a parameter can have.

    Raises:
        ResourceError: if they are not.
    """
    if resources is None:
        return {}
    try:
        names = dict(cast("Mapping[object, object]", resources))
    except (TypeError, ValueError) as error:
        raise ResourceError(
            f"expected {giver} to be a mapping of resources by name, but "
            f"{type(resources).__name__}"
        ) from error
    checked: dict[str, object] = {}
    for name, resource in names.items():
        if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
            raise ResourceError(
                f"expected {giver} to name resources as parameters can be named, and "
                f"none {' or '.join(RESERVED)}, but {name!r}"
            )
        checked[name] = resource
    return checked


def _wanted_by(workflow: Workflow) -> Iterator[ResourceParameter]:
    for path, function in workflow.functions.items():
        parameters = keyword_only(function)
        if not parameters:
            continue
        place = workflow.graph.place(path)
        node = None if place is None else place.node
        needs = node.needs if isinstance(node, TaskNode) else ()
        fixed = {*RESERVED, *(need.name for need in needs)}
        for name, is_required in parameters.items():
            if name not in fixed:
                yield ResourceParameter(path=path, name=name, is_required=is_required)


def _what_is_missing(
    workflow: Workflow, wanted: ResourceParameter, names: Collection[str], giver: str
) -> str:
    task_id = workflow.graph.places[wanted.path].node.id
    listed = ", ".join(sorted(names)) or "none"
    ids = {place.node.id for place in workflow.graph.places.values()}
    close = get_close_matches(wanted.name, [*names, *ids, *RESERVED], n=1)
    meant = f"; is {close[0]!r} meant?" if close else ""
    return (
        f"expected {giver} to have the resource {wanted.name!r}, which task "
        f"{task_id!r} of {workflow.workflow_id!r} names, but it has {listed}{meant}"
    )
