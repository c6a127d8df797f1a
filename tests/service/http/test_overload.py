"""What callers see of a replica with too much to do: a quick refusal, and nothing of one tenant's load on another."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from service import errors
from service.errors import ApiError
from service.http.admission import Shares
from service.tenancy import TenantId
from tests.support.api.app import error_of
from tests.support.api.server import Server
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer

BUSY = (503, "SYS_011")


@pytest.fixture(scope="module")
def server(module_issuer: Issuer, module_database: Database) -> Iterator[Server]:
    limits = {"MAX_REQUESTS": "8", "MAX_TENANT_REQUESTS": "2", "TEST_PATIENCE": "1"}
    environment = {**module_issuer.environment(), "DATABASE_URL": module_database.url(), **limits}
    with Server(environment, "tests.support.api.serve_hurried") as running, ThreadPoolExecutor(16) as threads:
        running.until_ready()
        running.threads = threads  # type: ignore[attr-defined]
        yield running


def begin(server: Server, issuer: Issuer, path: str, tenants: list[str]) -> list[Future[httpx.Response]]:
    """Requests that take a while, under way when this returns."""
    threads: ThreadPoolExecutor = server.threads  # type: ignore[attr-defined]
    found = [threads.submit(server.post, f"/api/v1/notes/{path}", issuer.token(tenant)) for tenant in tenants]
    time.sleep(0.5)
    return found


def test_what_is_over_the_limit_is_refused_but_not_what_the_platform_judges_the_replica_by(
    server: Server, module_issuer: Issuer
) -> None:
    token, notes = module_issuer.token("other"), "/api/v1/notes"
    under_way = begin(server, module_issuer, "thread/3", ["a", "a", "b", "b", "c", "c", "d", "d"])
    with httpx.Client(base_url=server.url) as client:  # one connection
        headers = {"Authorization": f"Bearer {token}"}
        refused = client.get(notes, headers=headers)
        assert error_of(refused) == BUSY
        assert refused.json() == errors.body(errors.OVERLOADED)
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
    assert [future.result().status_code for future in under_way] == [200] * 8
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


def test_the_answer_is_in_the_document_of_every_route_that_may_be_refused(server: Server) -> None:
    document = server.get("/openapi.json").json()
    assert "SYS_011" in json.dumps(document["paths"]["/api/v1/notes"]["get"]["responses"]["503"])
    assert "SYS_011" not in json.dumps(document["paths"]["/api/v1/health/live"])
