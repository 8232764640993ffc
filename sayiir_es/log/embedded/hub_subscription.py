"""A subscription to messages that any process may post; see `log.port.Subscription`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.passing_topics import PassingSubscription
    from sayiir_es.log.port import Record


class HubSubscription:
    """What was posted to one partition by any process; see `Subscription`."""

    def __init__(
        self, passed: PassingSubscription, on_close: Callable[[], None]
    ) -> None:
        self._passed = passed
        self._on_close = on_close
        self._is_closed = False

    async def read(self) -> Sequence[Record]:
        """Wait until there are messages, and return them."""
        return await self._passed.read()

    async def close(self) -> None:
        """Stop reading."""
        if not self._is_closed:
            self._is_closed = True
            self._on_close()
            await self._passed.close()
