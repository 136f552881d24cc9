"""Long computations beside the event loop, which never keep the process from ending."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def beside_the_loop(compute: Callable[[], T]) -> T:
    """The result of a slow function, run in a thread that is dropped when the process ends.

    ``asyncio.to_thread`` would have an exchange that is told to stop first finish making its market.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def hand_over(value: T | None, error: BaseException | None) -> None:
        if result.cancelled():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, error = None, None
        try:
            value = compute()
        except Exception as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(hand_over, value, error)

    threading.Thread(target=run, daemon=True).start()
    return await result
