"""Every test here runs in virtual time: it passes only where nothing is to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.testing.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], VirtualLoop]]:
    """The loop of each test."""
    return {"virtual": VirtualLoop}
