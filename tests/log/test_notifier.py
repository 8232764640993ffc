"""Who waits for a subject is woken once, in the order of the waiters' making."""

from __future__ import annotations

import asyncio

from sayiir_es.log.notifier import Notifier


async def test_waiters_are_woken_in_the_order_of_their_making() -> None:
    notifier, woken = Notifier(), list[str]()

    async def wait(subject: str, name: str) -> None:
        await notifier.waiter(subject)
        woken.append(name)

    order = (("b", "1"), ("a", "2"), ("c", "3"), ("a", "4"), ("b", "5"))
    tasks = [asyncio.ensure_future(wait(*waited)) for waited in order]
    await asyncio.sleep(0)
    assert notifier.wake(("a", "b", "nobody's")) == 4
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert woken == ["1", "2", "4", "5"]
    assert notifier.wake(("a", "b")) == 0
    assert notifier.wake() == 1
    await asyncio.gather(*tasks)


async def test_a_waiter_that_was_forgotten_is_not_woken() -> None:
    notifier = Notifier()
    forgotten, kept = notifier.waiter("a"), notifier.waiter("a")
    notifier.forget(forgotten)
    assert notifier.is_awaited("a")
    assert notifier.wake(("a",)) == 1
    assert kept.done()
    assert not forgotten.done()
    assert not notifier.is_awaited("a")
    notifier.forget(kept)  # was woken, and is dropped already
    assert notifier.wake() == 0
