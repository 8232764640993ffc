"""Limits as data of a reply, and the request for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from sayiir_es.core.status.limit_report import LimitedAttempt, LimitReport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.json_fields import Fields
    from sayiir_es.core.status.limit_report import LimitOf


@dataclass(frozen=True, slots=True, kw_only=True)
class FindLimits:
    """Asks for limits of a partition: of a key, or a page of those behind `after`.

    Of attempts, or start queues, which older builds know nothing of.
    """

    of: LimitOf = "attempts"
    key: str = ""
    after: str = ""
    count: int = 100
    at_least: int = 0


def read_find_limits(request: Fields, at_least: int) -> FindLimits:
    """The request of a record.

    Raises:
        DecodeError: if it is none.
    """
    of: LimitOf = "attempts"
    match request.text_or_none("of"):
        case None | "attempts":
            pass
        case "runs":
            of = "runs"
        case other:
            raise request.wrong("of", "attempts or runs", other)
    return FindLimits(
        of=of,
        key=request.text_or_none("key") or "",
        after=request.text_or_none("after") or "",
        count=request.integer("count"),
        at_least=at_least,
    )


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
