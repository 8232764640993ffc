"""A worker whose tasks may only run three at a time under one key, and write that down.

Run as a program, as `worker_process`, with a journal to write to. The monotonic clock
is one for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.core.authoring.workflow import Workflow

LIMIT = 3
TAKES_S = 5.0


def limited_workflow(journal: str) -> Workflow:
    """One task under the key that its input names; each begin and end is a line."""
    from sayiir_es import Flow, task  # noqa: PLC0415 - as in `worker_process`
    from sayiir_es.engine.attempts.task_context import (  # noqa: PLC0415
        get_task_context,
    )

    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, key: str) -> None:
        instance_id = get_task_context().instance_id
        line = [what, key, instance_id, os.getpid(), time.monotonic()]
        os.write(file, json.dumps(line).encode() + b"\n")

    @task(
        "work",
        concurrency_key="tenant:{workflow_input.tenant}",
        max_concurrency=LIMIT,
    )
    async def work(data: dict[str, str]) -> str:
        note("begin", data["tenant"])
        await asyncio.sleep(TAKES_S)
        note("end", data["tenant"])
        return data["tenant"]

    return Flow("limited").then(work).build()


def main() -> None:
    """Be the worker until SIGTERM."""
    from tests.kafka.worker_process import arguments, serve  # noqa: PLC0415 - same

    parser = arguments()
    parser.add_argument("journal")
    options = parser.parse_args()
    asyncio.run(serve(options, [limited_workflow(options.journal)], slots=200))


if __name__ == "__main__":
    main()
