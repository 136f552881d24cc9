"""Work that ends when it is told to, and tasks beside it that share its fate."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run until the work is done, or SIGTERM or Ctrl-C cancels it.

    Args:
        work: given the event that these signals set, for work that ends by waiting for them.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    task = asyncio.create_task(work(stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel("stopped")
    stopped.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def failing_together(tasks: Sequence[asyncio.Task[None]]) -> AsyncIterator[None]:
    """Ends the tasks with the body; the first of them to fail ends the body, with its error."""
    owner = asyncio.current_task()

    def end_owner(task: asyncio.Task[None]) -> None:
        if owner is not None and not task.cancelled() and task.exception() is not None:
            owner.cancel()

    for task in tasks:
        task.add_done_callback(end_owner)
    try:
        yield
    except asyncio.CancelledError:
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                if owner is not None:
                    owner.uncancel()  # it was no wish to end the owner, who may go on after the error
                raise error from None
        raise
    finally:
        for task in tasks:
            task.remove_done_callback(end_owner)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call in a thread; one who is cancelled leaves when the call has ended, and can let go of what it uses."""
    work = asyncio.create_task(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()  # nobody is left to be told
        raise
