"""Answers that cost much: shared, and given up when nobody waits for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from fastapi import Request

from sayiir_es.web import shared_answers
from sayiir_es.web.shared_answers import SharedAnswers, while_asked

if TYPE_CHECKING:
    from starlette.types import Message


class Question:
    """An answer that comes when it is told to."""

    def __init__(self) -> None:
        self.asked = self.given_up = 0
        self.answer = asyncio.Event()

    async def ask(self) -> str:
        """Wait for the answer."""
        self.asked += 1
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return "so many"


async def turn() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_viewers_share_one_question_that_ends_with_the_last_of_them() -> None:
    answers, question = SharedAnswers(), Question()
    viewers = [asyncio.create_task(answers.get("k", question.ask)) for _ in range(2)]
    await turn()
    assert question.asked == 1
    viewers[0].cancel()
    await turn()
    assert question.given_up == 0
    viewers[1].cancel()
    await turn()
    assert question.given_up == 1
    question.answer.set()
    assert await answers.get("k", question.ask) == "so many"
    assert await answers.get("k", question.ask) == "so many"
    assert question.asked == 2


def request(messages: list[Message]) -> Request:
    """One whose browser sends these, and nothing after them."""

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return Request({"type": "http", "method": "GET", "headers": []}, receive)


@pytest.mark.parametrize("is_gone", [True, False])
async def test_work_is_given_up_when_the_browser_has_gone(
    monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    monkeypatch.setattr(shared_answers, "LOOK_EVERY_S", 0.01)
    question = Question()
    messages: list[Message] = [{"type": "http.disconnect"}] if is_gone else []
    if not is_gone:
        asyncio.get_running_loop().call_later(0.05, question.answer.set)
    found = await while_asked(request(messages), question.ask())
    await turn()
    assert found == (None if is_gone else "so many")
    assert question.given_up == is_gone


async def test_an_error_is_told_to_who_asked() -> None:
    async def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await while_asked(request([]), fail())
