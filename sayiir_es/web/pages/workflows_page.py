"""`/workflows`: what is published, how many run of it, and who has the code."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from sayiir_es.client.search import count_by_group
from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.core.status.search import STATUSES, STRANDED, Search
from sayiir_es.operations.drawing.node_text import duration_text, text_by_path
from sayiir_es.operations.drawing.svg import draw_svg_in_page
from sayiir_es.operations.published_workflows import (
    read_published,
    steps_of,
    workers_with_code,
)
from sayiir_es.web.pages.instance_filter import InstanceFilter
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import Site, SiteOfRequest
from sayiir_es.wire.searches import group_parts

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph

router = APIRouter(include_in_schema=False)

SHORT_HASH = 12

NOT_ENDED = tuple(
    name for name in STATUSES if name not in ("completed", "failed", "cancelled")
)


@router.get("/workflows")
async def show_workflows(request: Request, site: SiteOfRequest) -> Response:
    """All workflows, by name."""
    published = await read_published(site.session)
    workflows = [
        {
            "name": name,
            "address": workflow_address(versions[-1]),
            "last": versions[-1],
            "hash": versions[-1].definition_hash[:SHORT_HASH],
            "versions": len(versions),
            "steps": steps_of(versions[-1]),
            "workers": len(workers_with_code(site.session, versions[-1])),
        }
        for name, versions in sorted(published.items())
    ]
    return page(request, "workflows/list.html", workflows=workflows)


@router.get("/parts/workflow-counts")
async def show_counts(request: Request, site: SiteOfRequest, workflow: str) -> Response:
    """How many instances of a workflow there are, by status."""
    return page(
        request,
        "workflows/counts.html",
        workflow=workflow,
        shown=InstanceFilter(workflow=workflow),
        counts=await _counts(site, workflow),
    )


async def _counts(site: Site, workflow: str) -> list[tuple[str, int]]:
    async def count() -> Counter[str]:
        search = Search(workflow=workflow)
        stranded = Search(workflow=workflow, statuses=(STRANDED,))
        counts, waiting = await asyncio.gather(
            count_by_group(site.session, search, "status"),
            count_by_group(site.session, stranded, "all"),
        )
        counts[STRANDED] = waiting.total()
        return counts

    counts = await site.answers.get(("workflow", workflow), count)
    return [(name, counts[name]) for name in STATUSES if counts[name]]


@router.get("/workflows/{name:path}/{beginning}")
async def show_version(
    request: Request, site: SiteOfRequest, name: str, beginning: str
) -> Response:
    """One version: its graph, its nodes, and whether a worker has its code."""
    published = await read_published(site.session)
    versions = published.get(name, [])
    graph = next((one for one in reversed(versions) if one.digest == beginning), None)
    graph = graph or next(
        (one for one in reversed(versions) if _begins(one, beginning)), None
    )
    if graph is None:
        return await show_latest(site, f"{name}/{beginning}")
    not_ended = await _not_ended_by_version(site, name)
    return page(
        request,
        "workflows/version.html",
        graph=graph,
        drawing=Markup(draw_svg_in_page(graph)),  # noqa: S704 (it escapes)
        nodes=[
            {"path": path, "kind": node.kind, "options": " · ".join(node.options)}
            for path, node in text_by_path(graph).items()
        ],
        timeout=None if graph.timeout_ms is None else duration_text(graph.timeout_ms),
        metadata=_pretty_metadata(site, graph),
        workers=workers_with_code(site.session, graph),
        is_last=graph is versions[-1],
        versions=[
            {
                "graph": one,
                "address": workflow_address(one),
                "workers": len(workers_with_code(site.session, one)),
                "is_last": one is versions[-1],
            }
            for one in reversed(versions)
        ],
        not_ended=not_ended.get(graph.version, 0),
        by_version=not_ended,
    )


@router.get("/workflows/{name:path}")
async def show_latest(site: SiteOfRequest, name: str) -> Response:
    """Go on to the version that a start by name takes."""
    versions = (await read_published(site.session)).get(name)
    if not versions:
        raise NotFoundError(
            f"expected a published workflow {name!r:.200}, but there is none"
        )
    return RedirectResponse(workflow_address(versions[-1]))


def _begins(graph: Graph, beginning: str) -> bool:
    return graph.digest.startswith(beginning) or graph.definition_hash.startswith(
        beginning
    )


async def _not_ended_by_version(site: Site, name: str) -> dict[str | None, int]:
    """How many instances of each version have not ended: its code is needed yet."""
    search = Search(
        workflow=name, statuses=tuple(one for one in NOT_ENDED if one != STRANDED)
    )

    async def count() -> Counter[str]:
        return await count_by_group(site.session, search, "version")

    counts = await site.answers.get(("not-ended", name), count)
    return {group_parts(key)[1]: many for key, many in counts.items()}


def _pretty_metadata(site: Site, graph: Graph) -> str | None:
    if graph.metadata is None:
        return None
    value = site.masking.value(json.loads(graph.metadata))
    return json.dumps(value, indent=2, ensure_ascii=False)


def workflow_address(graph: Graph) -> str:
    """The page of one version."""
    name = quote(graph.name, safe="", errors="surrogatepass")
    return f"/workflows/{name}/{graph.definition_hash}"
