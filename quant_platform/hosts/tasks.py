"""Tasks beside a body of work, which share its fate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence


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
                raise error from None
        raise
    finally:
        for task in tasks:
            task.remove_done_callback(end_owner)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
