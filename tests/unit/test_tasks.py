"""Work that ends when it is told to, and what it leaves behind."""

import asyncio
import threading

import pytest

from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.tasks import failing_together, in_thread


async def failing() -> None:
    raise UnavailableError("the server is away")


def test_an_error_beside_the_body_ends_it_and_leaves_its_owner_uncancelled() -> None:
    async def body() -> int:
        owner = asyncio.current_task()
        assert owner is not None
        with pytest.raises(UnavailableError, match="the server is away"):
            async with failing_together([asyncio.create_task(failing())]):
                await asyncio.Event().wait()
        return owner.cancelling()

    assert asyncio.run(body()) == 0


def test_whoever_cancels_the_body_cancels_its_owner() -> None:
    async def body() -> None:
        async with failing_together([]):
            await asyncio.Event().wait()

    async def run() -> bool:
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(run())


def test_a_cancelled_call_has_ended_before_anything_it_uses_is_let_go_of() -> None:
    began, may_end, told = threading.Event(), threading.Event(), []

    def call() -> None:
        began.set()
        may_end.wait()
        told.append("the call ended")

    async def work() -> None:
        try:
            await in_thread(call)
        finally:
            told.append("what it used is closed")

    async def run() -> None:
        task = asyncio.create_task(work())
        await asyncio.to_thread(began.wait)
        task.cancel()
        await asyncio.sleep(0)
        may_end.set()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(run())
    assert told == ["the call ended", "what it used is closed"]


def test_a_call_in_a_thread_hands_its_answer_and_its_error_on() -> None:
    assert asyncio.run(in_thread(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(divmod, 7, 0))
