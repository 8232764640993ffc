"""Fresh apps on a real Kafka whose tasks run in executors."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sayiir_es import Worker
from sayiir_es.client.backends import KafkaBackend
from tests import kafka_app

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sayiir_es import Workflow


@contextmanager
def served_app(
    bootstrap: str, folder: Path, workflow: Workflow
) -> Generator[KafkaBackend]:
    """A fresh app, with a worker that owns it and runs none of its tasks itself."""
    app = f"executors-{secrets.token_hex(4)}"
    made = KafkaBackend(bootstrap, app=app, state_dir=folder / "state")
    with Worker("w", made, drain=0).start([workflow]):
        yield made
    made.close()
    asyncio.run(kafka_app.delete_app(bootstrap, app))
