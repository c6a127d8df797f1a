"""Threads for XML and signatures: a few, and a queue with an end, so that sign-ins never hold up anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from service.errors import NOT_READY, ApiError

_THREADS = 2
_MAX_WAITING = 64  # a genuine response takes 3 to 15 milliseconds, so these are done within half a second

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """The pool that all SAML providers share."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="saml")
        self._waiting = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that computes.

        Raises:
            ApiError: SYS_005 when too much waits already; and whatever ``work`` raises.
        """
        if self._waiting >= _MAX_WAITING:
            raise ApiError(NOT_READY, "saml_workers")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
