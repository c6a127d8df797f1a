"""What callers see of a replica with too much to do: a quick refusal, and nothing of one tenant's load on another."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from itertools import pairwise
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service import errors
from service.errors import ApiError
from service.http import shape
from service.http.admission import Admission, Shares
from service.http.protocol import Protocol, State
from service.http.server import Server as HttpServer
from service.tenancy import TenantId
from tests.support.api.app import error_of
from tests.support.api.server import Server
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer

BUSY = (503, "SYS_011")


@pytest.fixture(scope="module")
def server(module_issuer: Issuer, module_database: Database) -> Iterator[Server]:
    limits = {"MAX_REQUESTS": "16", "MAX_TENANT_REQUESTS": "2", "TEST_PATIENCE": "1"}
    environment = {**module_issuer.environment(), "DATABASE_URL": module_database.url(), **limits}
    with Server(environment, "tests.support.api.serve_hurried") as running, ThreadPoolExecutor(32) as threads:
        running.until_ready()
        running.threads = threads  # type: ignore[attr-defined]
        yield running


def begin(server: Server, issuer: Issuer, path: str, tenants: list[str]) -> list[Future[httpx.Response]]:
    """Requests that take a while, under way when this returns."""
    threads: ThreadPoolExecutor = server.threads  # type: ignore[attr-defined]
    found = []
    for tenant in tenants:
        found.append(threads.submit(server.post, f"/api/v1/notes/{path}", issuer.token(tenant)))
        time.sleep(0.1)
    return found


def test_what_is_over_the_limit_is_refused_but_not_what_the_platform_judges_the_replica_by(
    server: Server, module_issuer: Issuer
) -> None:
    token, notes = module_issuer.token("other"), "/api/v1/notes"
    under_way = begin(server, module_issuer, "sleep/4", [*"aabbccddeeffgghh"])
    with httpx.Client(base_url=server.url) as client:  # one connection
        headers = {"Authorization": f"Bearer {token}"}
        refused = client.get(notes, headers=headers)
        assert error_of(refused) == BUSY
        assert refused.json() == shape.body(errors.OVERLOADED)
        assert refused.headers["Retry-After"].isdigit()
        assert len(refused.headers["X-Request-ID"]) == 32
        assert refused.headers["Strict-Transport-Security"]
        assert error_of(client.post(notes, headers=headers, json={"body": "x" * 100_000})) == BUSY
        head = client.head(notes, headers=headers)
        assert (head.status_code, head.content) == (503, b"")
        page = client.get(notes, headers={**headers, "Origin": "http://localhost:3000"})
        assert error_of(page) == BUSY
        assert page.headers["Access-Control-Allow-Origin"] == "http://localhost:3000", "the page may read why"
        for vital in ("live", "ready?x=1", "status"):
            assert client.get(f"/api/v1/health/{vital}").status_code == 200
    assert [future.result().status_code for future in under_way] == [200] * 16
    assert server.get(notes, token).status_code == 200
    deadline = time.monotonic() + 10
    while not (told := [event["refused"] for event in server.events() if event["message"] == "overloaded"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sum(told) == 3, "the page has a line of its own"


def test_a_tenant_that_asks_for_much_waits_for_itself_and_for_nobody_else(
    server: Server, module_issuer: Issuer
) -> None:
    under_way = begin(server, module_issuer, "sleep/0.9", ["flood"] * 4)
    assert error_of(server.post("/api/v1/notes/sleep/0", module_issuer.token("flood"))) == BUSY, "two run, two wait"
    assert server.get("/api/v1/notes", module_issuer.token("quiet")).status_code == 200
    assert [future.result().status_code for future in under_way] == [200] * 4, "what waited was served, too"
    under_way = begin(server, module_issuer, "sleep/4", ["flood"] * 4)
    answers = [future.result() for future in under_way]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503], "it does not wait for ever"
    assert server.post("/api/v1/notes/sleep/0", module_issuer.token("flood")).status_code == 200


def test_a_flood_is_counted_for_its_tenant_where_it_arrives() -> None:
    admission = Admission(limit=40, most=10, vital=["/live"], credentials=["authorization"])
    flood, quiet = [(b"host", b"x"), (b"authorization", b"flood")], [(b"authorization", b"quiet")]

    def fill(count: int, headers: list[tuple[bytes, bytes]]) -> list[Callable[[], None]]:
        found = []
        for _ in range(count):
            admitted, credential = admission.judge(20, b"/x", headers)
            if admitted and credential is not None:
                found.append(admission.begin(credential))
        return found

    assert admission.judge(9, b"/x", flood) == (True, None), "nothing is counted while there is little to do"
    admission.learn(b"flood", TenantId.parse("a"))
    admission.learn(b"quiet", TenantId.parse("b"))
    ends = fill(100, flood)
    assert len(ends) == 10
    assert not admission.judge(20, b"/x", flood)[0]
    assert admission.judge(20, b"/x", quiet)[0]
    assert len(fill(100, [(b"authorization", b"new")])) == 10
    invented = sum(len(fill(1, [(b"authorization", b"%d" % number)])) for number in range(100))
    assert invented == 10, "callers whom we do not know have one half, together"
    admission.learn(b"new", TenantId.parse("c"))
    assert admission.judge(20, b"/x", [])[0], "what is known since is counted for its tenant"
    assert not admission.judge(20, b"/x", [(b"authorization", b"new")])[0]
    assert admission.judge(20, b"/x", quiet)[0]
    assert not admission.judge(40, b"/x", quiet)[0]
    assert admission.judge(40, b"/live?x", flood) == (True, None)
    ends.pop()()
    assert admission.judge(20, b"/x", flood)[0]


ASK = b"GET /x HTTP/1.1\r\nHost: x\r\n"
LAST, UPGRADE = ASK + b"Connection: close\r\n\r\n", ASK + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@asynccontextmanager
async def replica_with_too_much_to_do(
    stopping: bool, limit: int = 0
) -> AsyncIterator[tuple[int, list[Protocol], list[Any]]]:
    """Its port, its connections, and what its loop was told of failures."""
    state = State(Admission(limit=limit, most=1, vital=[], credentials=[]))
    state.stopping = stopping
    config, made, failures = uvicorn.Config(Starlette(), access_log=False), list[Protocol](), list[Any]()
    config.load()

    def protocol() -> Protocol:
        made.append(Protocol(config=config, server_state=state, app_state={}))
        return made[-1]

    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1], made, failures
        finally:
            for connection in made:
                connection.transport.abort()
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("sent", "stopping"),
    [
        (LAST, False),
        (LAST + ASK + b"\r\n", False),
        (UPGRADE, False),
        (UPGRADE + ASK + b"\r\n", False),
        (ASK + b"\r\n", True),
        (ASK + b"\r\n" + ASK, True),
        (2 * (ASK + b"\r\n"), True),
    ],
)
def test_a_last_refusal_is_the_last_and_its_connection_is_let_go(sent: bytes, stopping: bool) -> None:
    """Whatever stands behind it in the same bytes."""

    async def drill() -> None:
        async with replica_with_too_much_to_do(stopping) as (port, made, failures):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(sent)
                async with asyncio.timeout(5):
                    said = await reader.read()  # until it is told the end
                assert said.count(b"HTTP/1.1 ") == said.count(b"HTTP/1.1 503 ") == 1, said
                (connection,) = made
                connection.look(connection.loop.time() + 60, 60, 10)
                assert connection.transport.is_closing(), "the client may keep its half open for ever"
                assert failures == []

    asyncio.run(drill())


class _Forgetting(State):
    def remember(self, request: bytes, *_: object) -> None:
        """Nothing: each request is parsed."""


class _Client(asyncio.Transport):
    """Reads what it is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.closed = b"", False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name.endswith("name") else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said += bytes(data)

    def write_eof(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    close = abort = write_eof

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def live(_: Request) -> Response:
    return Response("alive")


async def said_to(state: State, pieces: Sequence[bytes], waits: bool = True) -> list[bytes]:
    """What a client is answered to each piece of what it sends, but for the ids; and whether that was the end."""
    connection, client, found = Protocol(config=_CONFIG, server_state=state, app_state={}), _Client(), list[bytes]()
    connection.connection_made(client)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.gather(*(state.tasks if waits or piece is pieces[-1] else ()))
        found += [re.sub(rb"(?<=x-request-id: )\w+", b"", client.said), b"closed" if client.closed else b""]
        client.said = b""
    connection.connection_lost(None)
    return found


_CONFIG = uvicorn.Config(Starlette(routes=[Route("/live", live)]), access_log=False)
_CONFIG.load()


SENT = (
    ASK + b"\r\n",
    ASK + b"Content-Length: 3\r\n\r\nabc",
    ASK + b"Content-Length: 0\r\n\r\n",
    ASK.replace(b"/x", b"/live") + b"\r\n",
    ASK.replace(b"GET", b"HEAD") + b"\r\n",
    ASK + b"Origin: https://a.example\r\n\r\n",
    ASK + b"Expect: 100-continue\r\n\r\n",
    ASK.replace(b"1.1", b"1.0") + b"\r\n",
    ASK.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n",
    LAST,
    UPGRADE,
    b"GET / HTTP/1.1\n\n",
    ASK + b"Content-Length: 3\r\n\r\na",
    b"GET /y HTTP/1.1\r\nX: ",
    b"bc",
    b"\r\n",
)


@given(st.lists(st.sampled_from(SENT), max_size=5), st.lists(st.integers(0, 400), max_size=4), st.booleans())
@example([LAST], [], True)
@example([SENT[4]], [], True)  # HEAD
@example([ASK + b"\r\n"] * 2, [31], True)
@example([ASK + b"\r\n"] * 2, [999], True)
@example([ASK + b"\r\n"] * 2, [5], True)
@example([SENT[3], ASK + b"\r\n"], [], False)  # behind an answer that is under way
@example([SENT[-4], b"bc", ASK + b"\r\n"], [], True)  # a body in pieces
@example([SENT[-3], ASK + b"\r\n", ASK + b"\r\n"], [], True)  # within the head of another
@example([ASK, b"\r\n", b"\r\n"], [], True)
def test_what_is_refused_without_the_parser_is_refused_as_with_it(
    sent: list[bytes], cuts: list[int], waits: bool
) -> None:
    """By a replica that remembers nothing and by one that has refused each piece before; however it is cut."""
    whole = b"".join(sent)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[begin:end] for begin, end in pairwise(edges)] if cuts else sent

    async def drill() -> None:
        def admission() -> Admission:
            return Admission(limit=0, most=1, vital=["/live"], credentials=[])

        remembering = State(admission())
        for piece in pieces:
            await said_to(remembering, [piece])
        expected = await said_to(_Forgetting(admission()), pieces, waits)
        for _ in range(2):
            assert await said_to(remembering, pieces, waits) == expected
        for piece in pieces:
            assert await said_to(remembering, [piece]) == await said_to(_Forgetting(admission()), [piece])

    asyncio.run(drill())


def test_a_flood_of_the_same_bytes_is_parsed_once_and_served_when_there_is_room() -> None:
    async def drill() -> None:
        state = State(Admission(limit=0, most=1, vital=["/live"], credentials=[]))
        first = await said_to(state, [ASK + b"\r\n"])
        assert [*state.known] == [ASK + b"\r\n"]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Protocol, "on_message_begin", lambda _: pytest.fail("it was parsed"))
            assert await said_to(state, [ASK + b"\r\n"] * 2) == first * 2
        assert state.refused == 3
        state.stopping = True
        assert b"connection: close" in (await said_to(state, [ASK + b"\r\n"]))[0]
        state.stopping = False
        state.admission = Admission(limit=8, most=1, vital=[], credentials=[])
        assert (await said_to(state, [ASK + b"\r\n"]))[0].startswith(b"HTTP/1.1 404 ")
        state.admission = Admission(limit=0, most=1, vital=[], credentials=[])
        for number in range(1100):
            await said_to(state, [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number])
        assert len(state.known) <= 1024
        await said_to(state, [huge := b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"x" * 5000)])
        assert huge not in state.known

    asyncio.run(drill())


def test_what_is_known_of_a_tenants_flood_refuses_that_tenant_alone() -> None:
    async def drill() -> None:
        admission = Admission(limit=8, most=1, vital=[], credentials=["authorization"])
        for credential, tenant in ((b"flood", "a"), (b"quiet", "b")):
            admission.learn(credential, TenantId.parse(tenant))
        over = admission.begin(b"flood")
        state, busy = State(admission), [asyncio.get_running_loop().create_future() for _ in range(2)]
        for one in busy:
            one.set_result(None)
        state.tasks.update(busy)  # type: ignore[arg-type]  # so many are under way
        flood, quiet = (ASK + b"Authorization: %b\r\n\r\n" % credential for credential in (b"flood", b"quiet"))
        assert [b" 503 " in said for said in await said_to(state, [flood, flood, quiet])][::2] == [True, True, False]
        assert [*state.known] == [flood]
        over()
        assert b" 404 " in (await said_to(state, [flood]))[0]

    asyncio.run(drill())


def test_of_a_flood_that_is_over_nothing_is_remembered() -> None:
    async def drill() -> None:
        admission = Admission(limit=0, most=1, vital=[], credentials=[])
        replica = HttpServer(_CONFIG, retire=lambda: None, lame_duck=0, end=1, max_body_bytes=1, admission=admission)
        await said_to(replica.server_state, [ASK + b"\r\n"])
        await replica.on_tick(0)
        assert replica.server_state.known
        await replica.on_tick(10)
        assert not replica.server_state.known

    asyncio.run(drill())


def test_refusals_that_are_not_read_are_not_made_up_for_ever() -> None:
    async def drill() -> None:
        async with replica_with_too_much_to_do(False) as (port, made, failures):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            with closing(writer):
                for _ in range(30):
                    writer.write((ASK + b"\r\n") * 2000)
                    for _ in range(20):
                        await asyncio.sleep(0)
                    assert sum(connection.transport.get_write_buffer_size() for connection in made) < 8_000_000
                assert failures == []

    asyncio.run(drill())


def test_those_who_are_refused_at_once_keep_no_other_out() -> None:
    async def drill() -> None:
        async with replica_with_too_much_to_do(False, limit=4) as (port, made, failures):
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
            with ExitStack() as closed:
                for _, writer in opened:
                    closed.enter_context(closing(writer))
                for _ in range(1000):
                    if len(made) == len(opened):
                        break
                    await asyncio.sleep(0)
                *stalling, other = made
                for connection in stalling:
                    connection.refuse(errors.TIMED_OUT)
                other.data_received(ASK + b"\r\n")  # in the same turn of the loop
                async with asyncio.timeout(5):
                    said = await opened[-1][0].readuntil(b"Not Found")
                    for reader, _ in opened[:-1]:
                        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 ")
                assert said.startswith(b"HTTP/1.1 404 "), said
                assert other.server_state.refusing == 0, "what was refused is not counted for ever"
                assert failures == []

    asyncio.run(drill())


def test_a_request_that_is_given_up_gives_its_place_up() -> None:
    async def drill() -> None:
        shares, tenant = Shares(running=1, waiting=1), TenantId.parse("acme")
        await shares.take(tenant)
        for _ in range(3):
            waiting = asyncio.create_task(shares.take(tenant))
            await asyncio.sleep(0)
            with pytest.raises(ApiError):
                await shares.take(tenant)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        waiting = asyncio.create_task(shares.take(tenant))
        await asyncio.sleep(0)
        shares.give_back(tenant)
        await waiting
        shares.give_back(tenant)
        await shares.take(tenant)

    asyncio.run(drill())


@given(st.lists(st.tuples(st.sampled_from(("begin", "end", "cancel", "turn")), st.integers(0, 7)), max_size=40))
@example(  # the third is given up when its turn has just come; of the two that begin then, one has to wait
    [("begin", 0)] * 3
    + [("turn", 0), ("end", 0), ("turn", 0), ("cancel", 2), ("turn", 0)]
    + [("begin", 0), ("turn", 0)] * 2
)
def test_no_more_run_at_once_than_may_whoever_ends_or_is_given_up(steps: list[tuple[str, int]]) -> None:
    async def drill() -> None:
        shares, tenant = Shares(running=2, waiting=3), TenantId.parse("acme")
        begun: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        running: set[int] = set()

        async def work(number: int, ended: asyncio.Event) -> None:
            await shares.take(tenant)
            running.add(number)
            assert len(running) <= 2
            try:
                await ended.wait()
            finally:
                running.remove(number)
                shares.give_back(tenant)

        everything = [("end", number) for number in range(40)] + [("turn", 0)] * 50
        for what, number in [*steps, *everything, *[("begin", 0)] * 3, *[("turn", 0)] * 5]:
            if what == "begin":
                begun.append((asyncio.create_task(work(len(begun), ended := asyncio.Event())), ended))
            elif what == "turn":
                await asyncio.sleep(0)
            elif number < len(begun):
                task, ended = begun[number]
                ended.set() if what == "end" else task.cancel()
        assert len(running) == 2, "as many as may do run, when all before have ended"
        for _, ended in begun:
            ended.set()
        found = await asyncio.gather(*(task for task, _ in begun), return_exceptions=True)
        assert {type(one) for one in found} <= {type(None), ApiError, asyncio.CancelledError}

    asyncio.run(drill())


def test_the_answer_is_in_the_document_of_every_route_that_may_be_refused(server: Server) -> None:
    document = server.get("/openapi.json").json()
    assert "SYS_011" in json.dumps(document["paths"]["/api/v1/notes"]["get"]["responses"]["503"])
    assert "SYS_011" not in json.dumps(document["paths"]["/api/v1/health/live"])


def test_what_a_start_made_is_not_looked_through_for_garbage_while_requests_wait(
    server: Server, module_issuer: Issuer
) -> None:
    """A look through all of it takes 0.1 s, in which health is not told either."""
    inside = server.post("/api/v1/notes/inside", module_issuer.token("acme")).json()
    assert inside["frozen"] > 50_000
