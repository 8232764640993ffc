"""What the URL of a backend looks like, and how one that is none is told of."""

from __future__ import annotations

import re

# A place on Kafka has no `@`: what stands before one is a user and a password.
_BACKEND = re.compile(r"memory:|file:.+|kafka://[^/?#@]+(/[^/?#@]*)?/?", re.DOTALL)


def is_backend_url(url: str) -> bool:
    """Whether a URL names a backend."""
    return _BACKEND.fullmatch(url) is not None


def expected_backend(url: str) -> str:
    """What is wrong with a URL that names no backend; shows no password in it."""
    head, at, tail = url.rpartition("@")
    shown = f"{head.partition(':')[0]}:***@{tail}" if at else url
    shown = re.sub(r"\?.*", "?***", shown, flags=re.DOTALL)
    if at and url.strip().lower().startswith("kafka:"):
        return (
            "expected kafka://HOST:PORT[,HOST:PORT…]/APP without user and password, "
            f"but {shown!r}: put them into a file that SAYIIR_KAFKA_CONFIG or "
            "--kafka-config names, or set SAYIIR_KAFKA_SASL_USERNAME and "
            "SAYIIR_KAFKA_SASL_PASSWORD_FILE"
        )
    return (
        "expected memory:, file:PATH or kafka://HOST:PORT[,HOST:PORT…]/APP, but "
        f"{shown!r}"
    )
