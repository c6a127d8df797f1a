"""What every caller sees of every answer: its shape, its headers, its limits; with no database at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import anyio
import httpx
import pytest
from fastapi import APIRouter, FastAPI

from service.feature import all_errors, settings_of
from service.http.gate import Router, refuse_ungated
from service.http.head import new_id
from service.product import FEATURES, NAME, TITLE
from service.settings import load
from tests.support.api.environments import AUTH, GOOD, NO_DATABASE
from tests.support.api.server import Server
from tests.support.features import beside
from tests.support.idp.issuer import Issuer


@pytest.fixture(scope="module")
def server(module_issuer: Issuer) -> Iterator[Server]:
    environment = {
        **module_issuer.environment(),
        "DATABASE_URL": NO_DATABASE,
        "ALLOWED_ORIGINS": "https://app.example.com",
        "ALLOWED_HEADERS": "X-Client-Version",
        "MAX_BODY_BYTES": "2048",
    }
    with Server(environment, "tests.support.api.serve") as running:
        yield running


def test_it_serves_without_its_database(server: Server, module_issuer: Issuer) -> None:
    assert server.get("/api/v1/health/live").json() == {"status": "ok"}
    answer = server.get("/api/v1/auth/validate", module_issuer.token("acme", "alice"))
    assert answer.status_code == 200
    assert answer.json()["tenant"] == "acme"
    assert answer.json()["subject"] == "alice"


def test_a_route_that_needs_the_database_answers_503(server: Server, module_issuer: Issuer) -> None:
    answer = server.get("/api/v1/notes", module_issuer.token())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "SYS_002"
    assert answer.headers["Retry-After"].isdigit()


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "AUTH_020"),
        ({"Authorization": "Basic YTpi"}, 401, "AUTH_021"),
        ({"Authorization": "Bearer"}, 401, "AUTH_021"),
        ({"Authorization": "Bearer x"}, 401, "AUTH_002"),
        ({"X-Tenant-ID": "acme", "X-Forwarded-User": "alice"}, 401, "AUTH_020"),
    ],
)
def test_nobody_enters_without_a_token(server: Server, headers: dict[str, str], status: int, code: str) -> None:
    for path in ("/api/v1/auth/validate", "/api/v1/notes", "/api/v1/notes?access_token=x"):
        answer = server.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer ")
        assert ("error=" in challenge) is (code != "AUTH_020")


def test_two_authorization_headers_are_refused(server: Server, module_issuer: Issuer) -> None:
    token = f"Bearer {module_issuer.token()}"
    answer = server.client.get("/api/v1/auth/validate", headers=[("Authorization", token), ("Authorization", token)])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "AUTH_022")


def test_no_header_path_or_host_names_a_tenant(server: Server, module_issuer: Issuer) -> None:
    answer = server.get(
        "/api/v1/auth/validate?tenant_id=globex",
        module_issuer.token("acme"),
        headers={"X-Tenant-ID": "globex", "Host": "globex.example.com", "X-Forwarded-Host": "globex"},
    )
    assert answer.json()["tenant"] == "acme"


def test_every_answer_has_one_shape_and_the_security_headers(server: Server, module_issuer: Issuer) -> None:
    token = module_issuer.token()
    answers = [
        server.get("/api/v1/health/live"),
        server.get("/openapi.json"),
        server.get("/nowhere"),
        server.get("/api/v1/auth/validate/"),
        server.get("/api/v1/auth/validate"),
        server.post("/api/v1/health/live"),
        server.get("/api/v1/notes/not-a-uuid", token),
        server.post("/api/v1/notes", token, content=b"{", headers={"Content-Type": "application/json"}),
        server.post("/api/v1/notes", token, json={"wrong": 1}),
        server.post("/api/v1/notes", token, json={"body": "x" * 5000}),
        server.request(
            "OPTIONS", "/api/v1/notes", headers={"Origin": "https://evil", "Access-Control-Request-Method": "GET"}
        ),
    ]
    expected = [200, 200, 404, 404, 401, 405, 422, 400, 422, 413, 400]
    assert [answer.status_code for answer in answers] == expected
    for answer in answers:
        for name in ("Cache-Control", "Content-Security-Policy", "Strict-Transport-Security", "X-Request-ID"):
            assert name in answer.headers, (answer.url, name)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Server" not in answer.headers
        if answer.status_code >= 400:
            error = answer.json()["error"]
            row = all_errors(FEATURES)[error["code"]]
            assert error == {"code": row.code, "message": row.message, "detail": row.detail}
            assert row.status == answer.status_code
    assert answers[5].headers["Allow"] == "GET, HEAD"
    assert (
        server.request("DELETE", "/api/v1/notes", token).headers["Allow"] == "GET, HEAD, POST"
    ), "of every route that has this path"


def test_a_chunked_body_over_the_limit_is_cut_off(server: Server, module_issuer: Issuer) -> None:
    answer = server.post(
        "/api/v1/notes",
        module_issuer.token(),
        content=iter([b'{"body": "', b"x" * 4000, b'"}']),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "REQ_004")


@pytest.mark.parametrize(
    ("path", "headers"), [("/", {"X-Large": "x" * 40_000}), ("/" + "x" * 40_000, {}), ("/?" + "x" * 40_000, {})]
)
def test_a_head_over_the_limit_is_refused(server: Server, path: str, headers: dict[str, str]) -> None:
    answer = server.get(path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (431, "REQ_009")


def test_cors_allows_exact_origins_and_local_pages_in_development(server: Server) -> None:
    def allowed(origin: str) -> bool:
        preflight = server.request(
            "OPTIONS",
            "/api/v1/auth/validate",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization",
            },
        )
        answer = server.get("/api/v1/auth/validate", headers={"Origin": origin})
        granted = answer.headers.get("Access-Control-Allow-Origin") == origin
        assert (preflight.status_code == 200) is granted
        assert (answer.headers.get("Access-Control-Allow-Credentials") == "true") is granted or not granted
        return granted

    assert allowed("https://app.example.com")
    assert allowed("http://localhost:5173")
    assert allowed("http://127.0.0.1:3000")
    for origin in ("https://app.example.com.evil.com", "http://app.example.com", "https://localhost.evil.com", "null"):
        assert not allowed(origin), origin


def test_outside_development_no_local_page_is_allowed(module_issuer: Issuer) -> None:
    from tests.support.api.app import product

    async def ask(origin: str) -> httpx.Response:
        transport = httpx.ASGITransport(product(load(GOOD, AUTH)))
        async with httpx.AsyncClient(transport=transport, base_url="https://api.example.com") as client:
            return await client.get("/api/v1/health/live", headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in anyio.run(ask, "http://localhost:3000").headers
    granted = anyio.run(ask, "https://app.example.com")
    assert granted.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


def test_every_get_route_answers_head_with_its_headers_and_no_body(server: Server, module_issuer: Issuer) -> None:
    token = module_issuer.token()
    for path, status in (
        ("/api/v1/health/live", 200),
        ("/api/v1/health/ready", 503),
        ("/api/v1/auth/validate", 200),
        ("/openapi.json", 200),
        ("/docs", 200),
        ("/nowhere", 404),
    ):
        got, head = server.get(path, token), server.request("HEAD", path, token)
        assert (head.status_code, head.content) == (got.status_code, b"") == (status, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert server.request("HEAD", "/api/v1/auth/validate").status_code == 401
    refused = server.request("HEAD", "/api/v1/auth/token")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert server.get("/api/v1/health/live").json() == {"status": "ok"}, "on the same connection"
    assert not any("head" in methods for methods in server.get("/openapi.json").json()["paths"].values())


def preflight(
    server: Server, headers: str, *, origin: str = "https://app.example.com", method: str = "GET"
) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return server.request("OPTIONS", "/api/v1/notes", headers=asked)


def test_a_preflight_is_refused_for_the_cause_that_applies(server: Server) -> None:
    for usual in ("authorization,baggage,sentry-trace", "traceparent, tracestate", "idempotency-key,,x-request-id"):
        assert preflight(server, usual).status_code == 200, usual
    for own in ("X-Client-Version", "x-client-version"):
        assert preflight(server, own).status_code == 200, own
    assert preflight(server, "authorization", method="HEAD").status_code == 200
    for answer, code in (
        (preflight(server, "authorization", origin="https://evil.example"), "REQ_007"),
        (preflight(server, "x-evil", origin="https://evil.example", method="TRACE"), "REQ_007"),
        (preflight(server, "authorization,x-evil"), "REQ_014"),
        (preflight(server, "authorization", method="TRACE"), "REQ_015"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        assert ("Access-Control-Allow-Origin" in answer.headers) is (code != "REQ_007")
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "baggage" in preflight(server, "x-evil").headers["Access-Control-Allow-Headers"]


def test_a_page_may_send_the_header_of_every_scheme() -> None:
    from examples.files.feature import FILES
    from service.app import create_app
    from service.naming import Names

    async def ask() -> httpx.Response:
        environment = {**GOOD, "FILES__KEY_SECRET_ID": "signalbox/production/files-key", "S3_BUCKET_NAME": "files"}
        features = beside(FILES)
        app = create_app(load(environment, settings_of(features)), features, names=Names(NAME), title=TITLE)
        asked = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-api-key",
        }
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://api.example.com") as client:
            return await client.options("/api/v1/files", headers=asked)

    assert anyio.run(ask).status_code == 200


def test_request_ids(server: Server) -> None:
    good = "0b1e2d3c-4f5a-6b7c-8d9e-0f1a2b3c4d5e"
    assert server.get("/api/v1/health/live", headers={"X-Request-ID": good}).headers["X-Request-ID"] == good
    for bad in ("john-doe-1970-01-01", "short", "x" * 200, "0b1e2d3c4f5a6b7c\t8d9e"):
        assert server.get("/api/v1/health/live", headers={"X-Request-ID": bad}).headers["X-Request-ID"] != bad


def test_openapi_tells_what_a_route_can_answer(server: Server) -> None:
    document = server.get("/openapi.json").json()
    validate = document["paths"]["/api/v1/auth/validate"]["get"]
    assert {"bearer": []} in validate["security"]
    assert {"200", "401", "403", "500", "503"} <= set(validate["responses"])
    listed = validate["responses"]["401"]["content"]["application/json"]["examples"]
    assert "AUTH_001" in listed
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    live = document["paths"]["/api/v1/health/live"]["get"]
    assert live["security"] == []
    assert "422" not in live["responses"]
    assert "HTTPValidationError" not in str(document)


def test_openapi_lists_the_codes_that_come_without_being_asked_for(server: Server) -> None:
    """A session, a body and a form bring errors of their own, also beside others of the same status."""
    paths = server.get("/openapi.json").json()["paths"]

    def codes(path: str, method: str, status: str) -> set[str]:
        return set(paths[path][method]["responses"][status]["content"]["application/json"]["examples"])

    assert {"SYS_002", "SYS_003", "SYS_004"} <= codes("/api/v1/notes", "get", "503")
    assert {"AUTH_022", "REQ_005"} <= codes("/api/v1/notes", "post", "400")
    assert codes("/api/v1/auth/{provider}/callback", "post", "415") == {"REQ_006"}
    assert (
        "application/x-www-form-urlencoded"
        in paths["/api/v1/auth/{provider}/callback"]["post"]["requestBody"]["content"]
    )
    by_schemes = {error.code for feature in FEATURES for scheme in feature.schemes for error in scheme.errors}
    assert ("SYS_002" in codes("/api/v1/auth/validate", "get", "503")) is ("SYS_002" in by_schemes)


def test_a_route_that_no_gate_guards_keeps_the_application_from_starting() -> None:
    app = FastAPI(routes=[], docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(Router(prefix="/x"))
    refuse_ungated(app)
    forgotten = APIRouter()

    @forgotten.get("/patients")
    async def patients() -> None: ...

    app.include_router(forgotten)
    with pytest.raises(RuntimeError, match="/patients"):
        refuse_ungated(app)


def test_a_route_for_head_alone_keeps_the_application_from_starting() -> None:
    app, router = FastAPI(routes=[], docs_url=None, redoc_url=None, openapi_url=None), Router(prefix="/x")
    router.add_api_route("/y", lambda: None, methods=["HEAD"])
    app.include_router(router)
    with pytest.raises(RuntimeError, match="HEAD"):
        refuse_ungated(app)


def test_every_address_is_of_both_families(module_issuer: Issuer) -> None:
    environment = {**module_issuer.environment(), "DATABASE_URL": NO_DATABASE, "HOST": "::"}
    with Server(environment) as server:
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{host}:{server.port}/api/v1/health/live").status_code == 200


def test_an_address_of_another_machine_is_one_line_that_names_host(module_issuer: Issuer) -> None:
    server = Server({**module_issuer.environment(), "DATABASE_URL": NO_DATABASE, "HOST": "192.0.2.1"})
    with pytest.raises(RuntimeError) as failure, server:
        pass
    assert "Set HOST to an address of this machine" in str(failure.value)
    assert "Traceback" not in str(failure.value)


def test_a_taken_port_is_one_line(module_issuer: Issuer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server({**module_issuer.environment(), "DATABASE_URL": NO_DATABASE}, port=port)
        with pytest.raises(RuntimeError) as failure, server:
            pass
    assert "Set PORT to a free one" in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert server.process.returncode == 1


def test_processes_of_one_parent_name_their_requests_differently() -> None:
    found = []
    for _ in range(2):
        reader, writer = os.pipe()
        if not (child := os.fork()):
            os.write(writer, new_id().encode())
            os._exit(0)
        found.append(os.read(reader, 64))
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    assert len({*found, new_id().encode()}) == 3
