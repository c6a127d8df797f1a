"""Whether this replica can serve: asked behind the requests, so that a dependency that hangs delays no answer.

Each check is asked every second by a task of its own. The route reads the last answers; one that is too old counts as
``unavailable``, because its dependency has stopped to answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

from service.log import get_logger

State = Literal["ok", "stale", "unavailable"]

INTERVAL: Final = 1.0  # seconds between two looks at one dependency
RETRY: Final = 0.2  # seconds while it is unavailable: traffic comes back as soon as it does
PATIENCE: Final = 2.0  # seconds that a look may take before its dependency counts as hung

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency.

    Attributes:
        ask: Tells its state; asked every second, given up after two. An exception counts as ``unavailable``.
        decisive: Whether every request needs it: while it is ``unavailable`` the replica takes no traffic. What
            belongs to some requests only is told, not decisive.
    """

    ask: Callable[[], Awaitable[State]]
    decisive: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What readiness says.

    Attributes:
        ready: Whether to send requests here.
        states: By name of the check.
    """

    ready: bool
    states: Mapping[str, State]


class Readiness:
    """Asks all checks and remembers the answers.

    Args:
        checks: By name.
        clock: Monotonic seconds.
    """

    def __init__(self, checks: Mapping[str, Check], clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = dict(checks)
        self._clock = clock
        self._told: dict[str, tuple[State, float]] = {}
        self._retired = False

    def retire(self) -> None:
        """Say from now on that no requests are to be sent here: the process stops."""
        self._retired = True

    def report(self) -> Report:
        """The last answers; never waits."""
        since = self._clock() - PATIENCE - INTERVAL
        states: dict[str, State] = {}
        for name in self._checks:
            state, told_at = self._told.get(name, ("unavailable", 0.0))
            states[name] = state if told_at >= since else "unavailable"
        bad = any(states[name] == "unavailable" and check.decisive for name, check in self._checks.items())
        return Report(not (bad or self._retired), states)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask for the duration of the block."""
        tasks = [asyncio.create_task(self._keep_asking(name, check)) for name, check in self._checks.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_asking(self, name: str, check: Check) -> None:
        while True:
            state: State = "unavailable"
            failure: Exception | None = None
            try:
                async with asyncio.timeout(PATIENCE):
                    state = await check.ask()
            except Exception as caught:  # drivers, resolvers and TLS raise what they like
                failure = caught
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # a driver took it for a failure of its own, and the stop would wait
            before = self._told.get(name, (None, 0.0))[0]
            self._told[name] = (state, self._clock())
            if state != before:
                level = log.warning if state == "unavailable" else log.info
                level("readiness_changed", check=name, state=state, exc_info=failure)
            await asyncio.sleep(RETRY if state == "unavailable" else INTERVAL)
