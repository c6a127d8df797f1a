"""Stopping without a failed request.

Told to stop, a replica first is a lame duck: readiness says 503 and every answer is the last of its connection, but the
listener stays open, because whoever sends requests here learns of it only after a while. Then it drains: no new
connection, what is under way ends. What does not end in time is cut, and told so. The process ends within a fixed time,
whatever a client or a thread does.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

import uvicorn

from service import errors
from service.http.admission import Admission
from service.http.protocol import BODY_IDLE_SECONDS, BODY_SECONDS, Protocol, State
from service.log import get_logger

CUT_BEFORE_END: Final = 4.0  # seconds before the process has to be gone: to answer, and to close what is open
ANSWERING: Final = 1.0  # seconds that a request has which is told to end
CLOSING: Final = 1.5  # seconds for the application to close what it holds
LEFTOVERS: Final = 3.0  # seconds for threads that still run when all else is done
DRAINING_BODY_IDLE: Final = 3.0  # seconds between two pieces of a body, while a stop waits for it
READING: Final = 0.05  # seconds in which what has come by then is read, before a connection is taken for idle
_LOOK_EVERY: Final = 10  # ticks of a tenth of a second
_GARBAGE: Final = (10_000, 20, 20)  # objects, and looks at the younger ones, before a look for circles of objects

log = get_logger(__name__)


class Server(uvicorn.Server):
    """uvicorn, stopping in three steps; each further signal goes on to the next.

    Args:
        config: Its HTTP protocol is ``service.http.protocol.Protocol``.
        retire: Has readiness say that no more requests are to be sent here.
        lame_duck: Seconds for which requests are still taken after the signal.
        end: Seconds after the signal at which the process is gone.
        max_body_bytes: Largest request body: a larger one may take longer.
        admission: Judges what may be begun.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        retire: Callable[[], None],
        lame_duck: float,
        end: float,
        max_body_bytes: int,
        admission: Admission,
    ) -> None:
        super().__init__(config)
        self.server_state: State = State(admission)
        self.server_state.body_seconds = BODY_SECONDS + 2 * (max_body_bytes >> 20)
        self._retire, self._lame_duck, self._end = retire, lame_duck, end
        self._signals = 0
        self._told_at = float("inf")
        self._gone_by = float("inf")
        self._told = threading.Event()
        self._looked = 0.0
        self._refused = 0
        threading.Thread(target=self._see_to_the_end, name="end", daemon=True).start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: begin to stop, or go on to the next step."""
        self._signals += 1
        self.should_exit = True
        if self._signals == 1:
            self._told_at = time.monotonic()
            self._gone_by = self._told_at + self._end
            self._told.set()

    def give_up(self) -> None:
        """Stop without being a lame duck: no request was taken yet. May be called from any thread."""
        self._lame_duck = 0
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Also looks after the connections."""
        if counter % _LOOK_EVERY == 0:
            now = asyncio.get_running_loop().time()
            elapsed, self._looked = now - (self._looked or now), now
            for connection in self._connections():
                connection.look(now, elapsed, DRAINING_BODY_IDLE if self.server_state.draining else BODY_IDLE_SECONDS)
            if refused := self.server_state.refused - self._refused:  # a line each would be one more thing to do
                self._refused += refused
                log.warning("overloaded", refused=refused, serving=len(self.server_state.tasks))
            else:
                self.server_state.known.clear()  # of a flood that is over nothing is kept: tokens are in it
        return await super().on_tick(counter)

    async def main_loop(self) -> None:
        """Serve; once told to stop, be a lame duck."""
        gc.enable()
        gc.freeze()  # what a start made stays: each look through all of it held every request up for 0.1 s
        gc.set_threshold(*_GARBAGE)
        await super().main_loop()
        self._told_at = min(self._told_at, time.monotonic())
        self.server_state.stopping = True
        self._retire()
        for connection in self._connections():
            connection.last_answer()
        log.info("stopping", lame_duck_seconds=self._lame_duck)
        await self._wait(self._lame_duck, lambda: False)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, cut what is left, close."""
        self.server_state.draining = True
        await self._close_listeners(sockets or [])
        await asyncio.sleep(READING)
        for connection in self._connections():
            connection.shutdown()
        state = self.server_state
        await self._wait(self._end - CUT_BEFORE_END, lambda: not (state.connections or state.tasks))
        await self._cut()
        try:
            async with asyncio.timeout(CLOSING):
                await self.lifespan.shutdown()
        except TimeoutError:
            log.error("stop_hangs")
        self._gone_by = min(self._gone_by, time.monotonic() + LEFTOVERS)

    def _connections(self) -> Sequence[Protocol]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Protocol)]

    async def _wait(self, seconds: float, done: Callable[[], bool]) -> None:
        """Until so many seconds after the first signal, another signal, or ``done``."""
        signals, counter = self._signals, 0
        while time.monotonic() < self._told_at + seconds and self._signals == signals and not done():
            await asyncio.sleep(0.1)
            counter += 1
            await self.on_tick(counter)

    async def _close_listeners(self, sockets: Sequence[socket.socket]) -> None:
        """Take what the kernel has accepted for us before: closing would reset it."""
        loop = asyncio.get_running_loop()
        kept = [listener.dup() for listener in sockets]
        for server in self.servers:
            server.close()
        for listener in kept:
            listener.setblocking(False)
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # no more
                    break
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._protocol, connection)
            listener.close()

    def _protocol(self) -> Protocol:
        return Protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _cut(self) -> None:
        await asyncio.sleep(0)  # a task that is cancelled before it has begun would never tell its end
        tasks = list(self.server_state.tasks)
        if tasks:
            log.error("requests_cut", count=len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=ANSWERING)
        if left := self._connections():  # a thread that cannot be cancelled, or a client that does not read
            for connection in left:
                connection.cut(errors.STOPPING)
            await asyncio.sleep(0.2)

    def _see_to_the_end(self) -> None:
        """In a thread of its own: neither a loop that is held up nor a thread that hangs keeps the process alive."""
        self._told.wait()
        while time.monotonic() < self._gone_by:
            time.sleep(0.1)
        threading.Thread(target=log.error, args=("stop_forced",), daemon=True).start()  # a full pipe may hold it up
        time.sleep(0.1)
        os._exit(0)  # what we were told to do; another code would have the platform start it again
