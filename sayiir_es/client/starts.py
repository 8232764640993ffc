"""Starts that wait for more than the owner's decision, or for less.

Theory of operation. A start that waits for the end asks for it with its own headers, so
it is one record out and one reply back. That reply may be lost with its owner: the
client asks what became of its command as long as it hears nothing, and the owner knows
an accepted one by its id. Silence of an owner is told from silence of a long run by a
question that any owner answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.projection import partition_of_instance
from sayiir_es.client.replies import check_accepted, end_status
from sayiir_es.client.requests import DECISION_AGAIN_S
from sayiir_es.client.sending import send_command
from sayiir_es.client.session import (
    REPLY_LIMIT_S,
)
from sayiir_es.core.model.errors import NoWorkerError
from sayiir_es.wire.requests import Decided, Describe

if TYPE_CHECKING:
    from sayiir_es.client.requests import Call
    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import StartWorkflow
    from sayiir_es.core.status.status import Status


async def produce_start(
    session: Session, workflow: Workflow | str, start: StartWorkflow
) -> None:
    """Start an instance without asking what becomes of it.

    It is durable then; whoever owns the partition decides on it, now or later.
    """
    if isinstance(workflow, str):
        # A name that nobody has published yet may come later.
        await session.open(create=True)
    else:
        await session.publish(workflow)
    partition = partition_of_instance(session.log, start.instance_id)
    await send_command(session.log, partition, start)


async def start_and_wait(
    session: Session,
    workflow: Workflow | str,
    start: StartWorkflow,
    *,
    timeout_s: float | None = None,
) -> Status:
    """Start an instance and wait until it has ended, by one record.

    Raises:
        TimeoutError: if it did not end within `timeout_s` seconds.
        InstanceAlreadyExistsError: under the policy `fail`.
        WorkflowError: as `Session.execute`.
    """
    await session.publish(workflow, start.version)
    await session.requests.open(create=True)
    partition = partition_of_instance(session.log, start.instance_id)
    # The decision is told too where this process may have to make it, and where it
    # leaves nothing by which the owner could know the command again.
    decided = session.backend.owns_on_call or start.conflict_policy == "use_existing"
    call = session.requests.expect(partition, decided=decided, ended=True)
    is_decided = False
    try:
        async with asyncio.timeout(timeout_s):
            if not decided:
                await session.produce(start, call)
                return await _wait_for_end(session, call, start)
            answer = await session.decide(start, call, REPLY_LIMIT_S)
            is_decided = True
            if isinstance(answer, Decided):
                check_accepted(answer, start)
            return await session.wait_for_reply(
                call, start.instance_id, parked=False, run=None, held=True
            )
    except TimeoutError as error:
        if timeout_s is None:
            raise  # none of ours
        if not is_decided:
            unanswered = await session.unanswered("StartWorkflow", partition, timeout_s)
            if decided or isinstance(unanswered, NoWorkerError):
                raise unanswered from error
        raise TimeoutError(
            f"expected {start.instance_id!r} to end within {timeout_s:g} s, but it "
            "goes on"
        ) from error
    finally:
        session.requests.forget(call)


async def _wait_for_end(session: Session, call: Call, start: StartWorkflow) -> Status:
    """Wait for the end of an instance whose start asked the owner to tell it."""
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    question = Describe(instance_id=start.instance_id)
    while not await session.requests.is_answered(call, DECISION_AGAIN_S):
        session.ownership.check()
        if await session.ask(call.partition, lambda _: question) is not None:
            heard_at = loop.time()
            if not session.ownership.has_worker:
                await session.requests.is_answered(call)
        elif loop.time() - heard_at > REPLY_LIMIT_S:
            raise await session.unanswered(
                "StartWorkflow", call.partition, REPLY_LIMIT_S
            )
    answer = call.answer
    if isinstance(answer, Decided):
        check_accepted(answer, start)
    return end_status(answer, start.instance_id)
