"""Limits as data of a reply."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sayiir_es.core.status.limit_report import LimitedAttempt, LimitReport

if TYPE_CHECKING:
    from collections.abc import Iterable


def limits_data(limits: Iterable[LimitReport]) -> list[dict[str, object]]:
    """Limits as data of a reply."""
    return [asdict(one) for one in limits]


def read_limits(data: Any) -> tuple[LimitReport, ...]:
    """The limits of a reply; a newer build may say more, an older one less.

    Raises:
        KeyError, TypeError: if they are none.
    """
    return tuple(map(_limit, data))


def _limit(data: Any) -> LimitReport:
    known = _known(LimitReport, data)
    for name in ("holders", "waiting"):
        known[name] = tuple(
            LimitedAttempt(**_known(LimitedAttempt, one)) for one in data.get(name, ())
        )
    return LimitReport(**known)


def _known(kind: type[LimitReport | LimitedAttempt], data: Any) -> dict[str, Any]:
    return {item.name: data[item.name] for item in fields(kind) if item.name in data}
