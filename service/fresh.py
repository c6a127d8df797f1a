"""A fetch behind the requests: one at a time, again before it is needed, and less eagerly while it fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0  # seconds


class Flight:
    """What must not be under way twice.

    Args:
        fetch: Does it; never raises, and leaves its outcome where its owner looks.
    """

    def __init__(self, fetch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._fetch = fetch
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether somebody has begun it and it has not ended."""
        return self._task is not None

    async def join(self) -> None:
        """Begin it, or wait for the one that is under way; a caller that is cancelled cancels it for nobody else."""
        if self._task is None:
            self._task = asyncio.create_task(self._fetch())
            self._task.add_done_callback(self._landed)
        await asyncio.shield(self._task)

    async def repeat(self, seconds: float, failed: Callable[[], bool]) -> None:
        """Do it now and again; runs until cancelled.

        Args:
            seconds: Between two that went well.
            failed: Whether the last one did not; the next then comes after 1 second, 2, 4, and so on up to 30.
        """
        delay = _FIRST_RETRY
        try:
            while True:
                await self.join()
                if not failed():
                    delay = _FIRST_RETRY
                    await asyncio.sleep(seconds)
                else:
                    spread = random.uniform(0.5, 1.0)  # noqa: S311  keeps replicas apart, guards nothing
                    await asyncio.sleep(delay * spread)
                    delay = min(delay * 2, _LAST_RETRY)
        finally:
            if self._task is not None:
                self._task.cancel()

    def _landed(self, _: asyncio.Task[None]) -> None:
        self._task = None
