"""One browser and one server for the tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.web.pages.chromium import chromium
from tests.web.pages.trouble_world import TroubleWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


# While Playwright is open it runs an event loop in this thread, so that no test with a
# loop of its own can run: the browser lives no longer than the tests of a module.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def world() -> Iterator[TroubleWorld]:
    with TroubleWorld() as world:
        yield world
