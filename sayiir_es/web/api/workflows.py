"""The workflows that workers and clients have published."""

from __future__ import annotations

from fastapi import APIRouter

from sayiir_es.operations.published_workflows import read_published
from sayiir_es.web.api.responses import ApiResponse, Workflows
from sayiir_es.web.site import SiteOfRequest

router = APIRouter(tags=["workflows"])


@router.get("/workflows", operation_id="listWorkflows", response_model=Workflows)
async def list_workflows(site: SiteOfRequest) -> ApiResponse:
    """The published workflows, with all their versions."""
    published = await read_published(site.session)
    workflows = [
        {
            "name": name,
            "versions": [
                {
                    "version": graph.version,
                    "definition_hash": graph.definition_hash,
                    "graph_digest": graph.digest,
                    "nodes": len(graph.places),
                }
                for graph in versions
            ],
        }
        for name, versions in sorted(published.items())
    ]
    return ApiResponse({"workflows": workflows})
