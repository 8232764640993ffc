"""What becomes of a test on Kafka where there is none."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tests import container

_HOW = (
    "no Kafka for tests: set SAYIIR_TEST_KAFKA=host:port, start a Docker engine with "
    f"{container.IMAGE}, or install Java 17 and Maven"
)

MISSING: list[str] = []
"""Why tests were skipped, for the end of the run."""


def without_kafka(reason: str) -> NoReturn:
    """Skip the test, or fail it where `CI=true` says that none may be skipped."""
    text = f"{_HOW} ({reason})"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(text, pytrace=False)
    MISSING.append(text)
    pytest.skip("no Kafka for tests")
