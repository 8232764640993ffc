"""Limits as data: what commands print, the API returns and pages show.

Times are epoch milliseconds, None where there is nothing to say.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.core.status.limit_report import LimitReport


def limit_view(limit: LimitReport) -> dict[str, object]:
    """All that is known of a limit; what it counts and its key come first."""
    names: dict[str, object] = {
        "of": limit.of,
        "key": limit.key,
        "workflow": limit.workflow,
    }
    view = names | asdict(limit)
    view["holders"] = [asdict(one) for one in limit.holders]
    view["waiting"] = [asdict(one) for one in limit.waiting]
    return view
