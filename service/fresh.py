"""A last good value, refreshed behind the requests: one fetch at a time, again before it is needed, and less eagerly
while it fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

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

    def begin(self) -> asyncio.Task[None]:
        """Begin it, unless it is under way; it goes on behind the caller."""
        if self._task is None:
            self._task = asyncio.create_task(self._fetch())
            self._task.add_done_callback(self._landed)
        return self._task

    async def join(self) -> None:
        """Begin it, or wait for the one that is under way; a caller that is cancelled cancels it for no other."""
        await asyncio.shield(self.begin())

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


class Fresh(Generic[T]):
    """The last good value, which serves until its hard age while no newer one can be had.

    Args:
        fetch: Gets a new value, or raises.
        reason: What ``failure`` says of what was raised; raises it again where it is a mistake of ours.
        hard_age: Seconds until a value that could not be renewed is no longer relied on.
        pause: Seconds between fetches that callers cause.
        eager: Whether they may cause one at once after one that went well.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        reason: Callable[[Exception], str],
        *,
        hard_age: float,
        pause: float,
        eager: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._reason, self._clock = fetch, reason, clock
        self._hard_age, self._pause, self._eager = hard_age, pause, eager
        self._value: T | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._flight = Flight(self._renew)
        self.failure: str | None = None

    @property
    def value(self) -> T | None:
        """The last good value; None when there was none, or it is too old."""
        return self._value if self._clock() - self._fetched_at < self._hard_age else None

    @property
    def age(self) -> float | None:
        """Seconds since the last good value was fetched; None before the first."""
        return None if self._value is None else self._clock() - self._fetched_at

    @property
    def may_ask(self) -> bool:
        """Whether a caller may cause a fetch, or join the one that is under way."""
        if self._flight.under_way or (self._eager and self.failure is None):
            return True
        return self._clock() - self._tried_at >= self._pause

    @property
    def under_way(self) -> bool:
        """Whether a fetch has begun and not ended."""
        return self._flight.under_way

    @property
    def state(self) -> str:
        """``ok``, ``stale`` (the last good value serves), ``unavailable``."""
        return "unavailable" if self.value is None else "ok" if self.failure is None else "stale"

    def begin(self) -> None:
        """Fetch behind the caller, unless a fetch is under way."""
        self._flight.begin()

    async def refresh(self) -> None:
        """Fetch, or wait for the fetch that is under way; a failure is told by ``failure``."""
        await self._flight.join()

    async def keep(self, soft_age: float) -> None:
        """Fetch now and again before the soft age is reached; runs until cancelled."""
        await self._flight.repeat(soft_age, lambda: self.failure is not None)

    async def _renew(self) -> None:
        self._tried_at = self._clock()
        try:
            value = await self._fetch()
        except Exception as failure:  # network, file system and parsers have no common base
            self.failure = self._reason(failure)
            return
        self._value, self._fetched_at, self.failure = value, self._clock(), None
