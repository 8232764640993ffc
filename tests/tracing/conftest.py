"""Fixtures of the tests of traces."""

from __future__ import annotations

import pytest

from tests.tracing.spans import Spans


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """What this process traces from now on."""
    return Spans(monkeypatch)
