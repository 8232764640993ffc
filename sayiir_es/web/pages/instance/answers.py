"""The answer to a request for an instance's page, or for a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import Response

from sayiir_es.core.model.errors import NotFoundError, UsageError
from sayiir_es.core.model.rows import get_value
from sayiir_es.engine.clock import SystemClock
from sayiir_es.operations.text import to_json
from sayiir_es.web.pages.instance.actions import FIELDS, possible_actions
from sayiir_es.web.pages.instance.drawn_tabs import graph_drawing, timeline_tab
from sayiir_es.web.pages.instance.history_tab import (
    event_text,
    find_event,
    history_tab,
    state_behind,
)
from sayiir_es.web.pages.instance.node_panel import node_panel
from sayiir_es.web.pages.instance.shown import TABS
from sayiir_es.web.pages.instance.top import top_of
from sayiir_es.web.pages.templates import page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Request

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.web.pages.instance.shown import Query, ShownInstance

NAMES = {"timeline": "Timeline", "graph": "Graph", "history": "History"}


def answer(
    request: Request,
    shown: ShownInstance,
    query: Query,
    *,
    form: Mapping[str, str] | None = None,
    wrong: str = "",
) -> Response:
    """The page, the part of it, or the file that a query asks for.

    `form` is what was typed and `wrong` why it was refused.

    Raises:
        NotFoundError: if what is asked for is not there.
    """
    match query.part:
        case "value":
            return _file(_value_text(shown, query.name), "value.json")
        case "snapshot":
            data = shown.history.state(query.at).data()
            return _file(to_json(shown.masking.fields(data), indent=2), "state.json")
        case "event":
            entry = find_event(shown, query.name)
            return _file(event_text(shown, entry, indent=2), "event.json")
        case "history":
            lines = (event_text(shown, one) for one in shown.history.events)
            text = "".join(f"{line}\n" for line in lines)
            return _file(text, "history.jsonl", "application/x-ndjson")
        case "state":
            state = state_behind(shown, query)
            return page(request, "instance/state.html", shown=shown, state=state)
        case "node":
            panel = node_panel(shown, query.name)
            return page(request, "instance/node.html", shown=shown, panel=panel)
        case "" | "summary" | "signals" | "tab":
            return _page(request, shown, query, dict(form or {}), wrong)
        case _:
            raise UsageError(f"expected a part of the page, but {query.part!r:.100}")


def _page(
    request: Request,
    shown: ShownInstance,
    query: Query,
    form: Mapping[str, str],
    wrong: str,
) -> Response:
    status = shown.status
    names = {"": "page", "tab": f"{query.tab}"}
    template = f"instance/{names.get(query.part, query.part)}.html"
    is_wanted = query.part in ("", "tab")
    now_ms = SystemClock().now_ms()
    values: dict[str, object] = {
        "shown": shown,
        "query": query,
        "top": None if status is None else top_of(shown, status),
        "possible": frozenset() if status is None else possible_actions(status),
        "tabs": [(shown.link(tab=tab), NAMES[tab]) for tab in TABS],
        "current": shown.link(tab=query.tab),
        "form": {**dict.fromkeys(FIELDS, ""), **form},
        "wrong": wrong,
        "versions": _versions(shown),
        "content": f"instance/{query.tab}.html",
    }
    if is_wanted:
        values["tab"] = _tab(shown, query, now_ms)
        is_history = query.tab == "history"
        values["state"] = state_behind(shown, query) if is_history else None
        is_node = query.tab == "graph" and query.name
        values["panel"] = node_panel(shown, query.name) if is_node else None
    code = 422 if wrong else 200
    return page(request, template, status_code=code, **values)


def _tab(shown: ShownInstance, query: Query, now_ms: int) -> object:
    match query.tab:
        case "timeline":
            return timeline_tab(shown, query, now_ms)
        case "graph":
            return graph_drawing(shown, now_ms)
        case "history":
            return history_tab(shown, query)


def _versions(shown: ShownInstance) -> list[Graph]:
    """The graphs of its workflow that it could go on with, the newest first."""
    if not shown.is_live or shown.status is None:
        return []
    name = shown.status.workflow
    return [one for one in shown.history.graphs.values() if one.name == name][::-1]


def _value_text(shown: ShownInstance, reference: str) -> str:
    data = get_value(shown.history.rows(), reference)
    if data is None:
        raise NotFoundError(
            f"expected a value of {shown.instance_id!r} under {reference!r:.200}, but "
            "there is none"
        )
    return to_json(shown.masking.payload(data), indent=2)


def _file(text: str, name: str, media_type: str = "application/json") -> Response:
    """A file to download: a browser never shows it as a page of ours."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(
        text.encode("utf-8", "backslashreplace"), media_type=media_type, headers=headers
    )
