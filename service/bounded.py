"""A few threads and a queue with an end, so that work of one kind never holds up anything else."""

from __future__ import annotations

import asyncio
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
        self._free = waiting
        self._full, self._reason = full, reason

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something in a thread.

        Raises:
            ApiError: Too much waits already; and whatever ``work`` raises.
        """
        if self._free <= 0:
            raise ApiError(self._full, self._reason)
        self._free -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))
        finally:
            self._free += 1

    def close(self) -> None:
        """Take no more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
