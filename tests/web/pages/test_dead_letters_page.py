"""Dead letters by HTTP: what must not be shown of a command that nobody can read."""

from __future__ import annotations

import asyncio
import re

from sayiir_es import InMemoryBackend, aio
from sayiir_es.log.port import NewRecord, Topic
from tests.web.browsers import browser, serving

FILLER = b" " * 20_000

VALUES = (
    b'\x00\xff\x01{"password": "hunter2"}\x80',
    b'no JSON {"card": {"number": "hunter2"}}',
    b'{"card": {"number": ["hunter2"]}' + FILLER + b', "b": 1}',
    b'{"command": "Dance", "password": "hunter2"}',
)


async def test_a_command_that_nobody_can_read_is_masked() -> None:
    with InMemoryBackend() as backend:
        async with (
            serving(backend=backend) as app,
            browser(app) as person,
            aio.Worker("w", backend, []),
        ):
            changes = app.state.site.live.follow()
            await anext(changes)
            log = app.state.site.session.log
            for value in VALUES:
                record = NewRecord(key=b"order-0", value=value)
                await log.produce(Topic.COMMANDS, 0, record)
            written = 0
            async with asyncio.timeout(20):
                while written < len(VALUES):
                    marks = (await anext(changes)).marks
                    written += sum(one.kind == "CommandDeadLettered" for one in marks)
            await changes.aclose()
            letters = (await person.get("/dead-letters")).text
            places = re.findall('href="(/dead-letters/[^"?]+)"', letters)
            assert len(places) == len(VALUES)
            for place in places:
                shown = (await person.get(place)).text
                assert "***" in shown
                assert "hunter2" not in shown
                assert b"hunter2".hex(" ") not in shown
                assert len(shown) < 150_000
