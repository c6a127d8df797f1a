"""A few threads and a queue with an end, so that work of one kind never holds up anything else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from service.errors import ApiError, Error

P = ParamSpec("P")
T = TypeVar("T")


class Bounded:
    """A pool for one kind of work.

    Args:
        name: Of the threads.
        threads: How many.
        waiting: Calls that may be under way or wait; more would only wait for their end.
        full: What the next caller is told then.
        reason: For the log, with it.
    """

    def __init__(self, name: str, *, threads: int, waiting: int, full: Error, reason: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threading.BoundedSemaphore(waiting)
        self._full, self._reason = full, reason

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something in a thread. It keeps its place until it has ended, also when the caller has gone.

        Raises:
            ApiError: Too much waits already; and whatever ``work`` raises.
        """
        if not self._free.acquire(blocking=False):
            raise ApiError(self._full, self._reason)
        try:
            future = self._threads.submit(work, *args, **kwargs)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take no more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
