"""Callers, as many as one likes: each waiting for its answer, or at a fixed rate, waiting for nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httptools

T = TypeVar("T")

PATIENCE = 40.0  # seconds that a caller waits for an answer


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sends.

    Attributes:
        data: Its bytes.
        tenant: Whose rows alone the answer may hold; the body of each begins with its tenant.
        owned: How many rows the tenant has, all of which the answer must hold.
        body: Of the row that it adds.
    """

    data: bytes
    tenant: str = ""
    owned: int = 0
    body: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Attributes:
        kind: ``200``, ``503 SYS_011``, ``503 of another shape``, ``cut``, ``unreachable``, ``silent``.
        began: On the clock of ``time.monotonic``.
        seconds: Until the end of the answer, from when it was to be sent.
    """

    kind: str
    began: float
    seconds: float

    @property
    def good(self) -> bool:
        return self.kind in ("200", "201")


class _Cut(Exception):  # noqa: N818  says what happened
    """The connection ended without an answer."""


_open: set[_Connection] = set()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        _open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        _open.discard(self)
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(_Cut())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.parser, self.body = httptools.HttpResponseParser(self), b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        async with asyncio.timeout(PATIENCE):
            return await self.answer

    def data_received(self, data: bytes) -> None:
        if self.answer is not None and not self.answer.done():
            self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"connection" and value.lower() == b"close":
            self.usable = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.answer is not None
        self.answer.set_result((self.parser.get_status_code(), self.body))


class Callers:
    """Callers of one address, who keep connections open as browsers and balancers do.

    Args:
        port: On this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[_Connection] = deque()
        self.acknowledged: set[str] = set()  # bodies of rows that were said to be stored
        # Rows that were read, those among them of another tenant, and those that their owner did not get.
        self.rows = self.leaked = self.missing = 0

    async def ask(self, request: Request, due: float | None = None) -> Outcome:
        """Send one request.

        Args:
            request: What.
            due: When it was to be sent.
        """
        began = due or time.monotonic()
        kind = await self._ask(request)
        return Outcome(kind, began, time.monotonic() - began)

    async def abandon(self, request: Request, seconds: float) -> None:
        """Send one request, and hang up before it is answered.

        Args:
            request: What.
            seconds: After how long.
        """
        with suppress(OSError):
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
            connection.transport.write(request.data)
            await asyncio.sleep(seconds)
            connection.transport.abort()

    async def _ask(self, request: Request) -> str:
        while self._idle and not self._idle[-1].usable:
            self._idle.pop()
        try:
            if self._idle:
                connection = self._idle.pop()
            else:
                _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        except OSError:
            return "unreachable"
        try:
            status, body = await connection.ask(request.data)
        except _Cut:
            return "cut"
        except TimeoutError:
            connection.transport.abort()
            return "silent"
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.transport.close()
        if status < 400:
            self._account(status, body, request)
            return str(status)
        try:
            return f"{status} {json.loads(body)['error']['code']}"
        except (ValueError, KeyError, TypeError):
            return f"{status} of another shape"

    def _account(self, status: int, body: bytes, request: Request) -> None:
        if status == 201:
            self.acknowledged.add(request.body)
        elif request.tenant:
            rows = [row["body"] for row in json.loads(body)]
            own = sum(row.startswith(f"{request.tenant} ") for row in rows)
            self.rows += len(rows)
            self.leaked += len(rows) - own
            self.missing += max(0, request.owned - own)

    async def loop(
        self, callers: int, seconds: float, request: Callable[[int], Request], pause: float = 0
    ) -> list[Outcome]:
        """So many callers, each of whom asks again when it has its answer.

        Args:
            callers: How many.
            seconds: How long.
            request: What the caller of a number sends.
            pause: Seconds that each lets pass in between.
        """
        end, outcomes = time.monotonic() + seconds, list[Outcome]()

        async def one(number: int) -> None:
            while time.monotonic() < end:
                outcomes.append(await self.ask(request(number)))
                await asyncio.sleep(pause)

        await asyncio.gather(*map(one, range(callers)))
        return outcomes

    async def rate(self, per_second: float, seconds: float, request: Callable[[int], Request]) -> list[Outcome]:
        """So many requests a second, whether answers come or not.

        Args:
            per_second: How many.
            seconds: How long.
            request: What the request of a number is.
        """
        started = time.monotonic()
        tasks = list[asyncio.Task[Outcome]]()
        while (now := time.monotonic() - started) < seconds:
            while len(tasks) < now * per_second:
                due = started + len(tasks) / per_second
                tasks.append(asyncio.create_task(self.ask(request(len(tasks)), due)))
            await asyncio.sleep(0.002)
        return list(await asyncio.gather(*tasks))


def run(drill: Coroutine[Any, Any, T]) -> T:
    """Run a drill in a loop of its own, and hang up afterwards."""

    async def whole() -> T:
        try:
            return await drill
        finally:
            for connection in list(_open):
                connection.transport.abort()
            await asyncio.sleep(0.05)

    return asyncio.run(whole())


def get(path: str, token: str | None = None, tenant: str = "", owned: int = 0) -> Request:
    """A request that reads."""
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    return Request(f"GET {path} HTTP/1.1\r\nHost: x\r\n{credential}\r\n".encode(), tenant, owned)


def post(path: str, token: str, note: str = "") -> Request:
    """A request that writes."""
    body = json.dumps({"body": note}).encode() if note else b""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{kind}\r\n"
    return Request(head.encode() + body, body=note)


def kinds(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How many of each kind."""
    return Counter(outcome.kind for outcome in outcomes)


def percentile(outcomes: Iterable[Outcome], share: float) -> float:
    """Seconds in which a share of them was answered."""
    ordered = sorted(outcome.seconds for outcome in outcomes)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
