"""The clients that wait for instances of one partition, until a reply or their silence.

A client that waits on asks again now and then; whoever has not for `WAIT_TTL_S` is
gone. So what is held is bounded by those that live.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.model.rows import get_run
from sayiir_es.core.status.status import ENDED, is_resting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.status import Status
    from sayiir_es.wire.reply_address import ReplyAddress

WAIT_TTL_S = 150.0
"""How long, in seconds, a wait is held whose client does not ask again."""

WAITS_MAX = 200_000
"""Waits held for one partition, some hundred bytes each; more are refused."""

WaitKey: TypeAlias = tuple[str, int]
"""A client and the number of its call."""


@dataclass(frozen=True, slots=True)
class HeldWait:
    """One client's wait for one instance; `expires_s` is of the monotonic clock."""

    instance_id: str
    address: ReplyAddress
    parked: bool
    expires_s: float


class Waits:
    """The waits of one partition, by instance and by the time of their end."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[WaitKey, HeldWait] = OrderedDict()
        self._keys: dict[str, set[WaitKey]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_key)

    @property
    def is_full(self) -> bool:
        """Whether no more are taken."""
        return len(self._by_key) >= WAITS_MAX

    def hold(
        self, instance_id: str, address: ReplyAddress, now_s: float, *, parked: bool
    ) -> None:
        """Hold a wait, or hold it longer; times of the monotonic clock."""
        self._expire(now_s)
        key = (address.client, address.call)
        self._drop(key)
        self._by_key[key] = HeldWait(instance_id, address, parked, now_s + WAIT_TTL_S)
        self._keys.setdefault(instance_id, set()).add(key)

    def awaited(self, instance_ids: Iterable[str]) -> list[str]:
        """Those of these instances that somebody waits for."""
        keys = self._keys
        return [instance_id for instance_id in instance_ids if instance_id in keys]

    def may_end(self, rows: Rows, instance_id: str) -> bool:
        """Whether these rows may end a wait for the instance."""
        return any(
            may_be_over(rows, parked=self._by_key[key].parked)
            for key in self._keys.get(instance_id, ())
        )

    def take_ended(
        self, rows: Rows, instance_id: str, status: Status | None
    ) -> list[HeldWait]:
        """Remove and return the waits for an instance that its rows end."""
        keys = self._keys.get(instance_id, ())
        ended = [
            self._by_key[key]
            for key in keys
            if is_over(rows, status, parked=self._by_key[key].parked)
        ]
        for wait in ended:
            self._drop((wait.address.client, wait.address.call))
        return ended

    def _expire(self, now_s: float) -> None:
        while self._by_key:
            key, wait = next(iter(self._by_key.items()))
            if wait.expires_s > now_s:
                return
            self._drop(key)

    def _drop(self, key: WaitKey) -> None:
        wait = self._by_key.pop(key, None)
        if wait is None:
            return
        keys = self._keys[wait.instance_id]
        keys.discard(key)
        if not keys:
            del self._keys[wait.instance_id]


def may_be_over(rows: Rows, *, parked: bool) -> bool:
    """Whether `is_over` may say so: asked first, for it costs less than a status."""
    return get_run(rows) is None or is_resting(rows, parked=parked)


def is_over(rows: Rows, status: Status | None, *, parked: bool) -> bool:
    """Whether a wait is over: the run has ended, or with `parked` awaits no outcome."""
    if status is None or status.status in ENDED:
        return True
    return parked and status.status != "in_progress" and is_resting(rows, parked=True)
