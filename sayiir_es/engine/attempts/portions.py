"""Work in portions, to its end: others have a turn of the event loop between two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


async def finish(portions: Iterator[None]) -> None:
    """Do what is left, and give others a turn behind each portion."""
    for _ in portions:
        await asyncio.sleep(0)
