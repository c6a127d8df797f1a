"""What a feature's folder may bring, and what keeps two of them out of one another's way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from service import log_lines
from service.app import create_app
from service.auth.feature import AUTH
from service.errors import ApiError, Error, raises
from service.feature import Core, Feature, Started
from service.health.feature import HEALTH
from service.http.credentials import Scheme
from service.http.gate import Router
from service.log import LOG_FIELDS, bind, declare_fields, get_logger
from service.naming import Names
from service.principal import CurrentPrincipal, Principal, requires
from service.readiness import Check, Readiness, State
from service.running import part
from service.settings import load, variables
from service.tenancy import TenantId
from tests.support.api.environments import DEVELOPMENT, GOOD, NO_DATABASE

BROKEN = Error("PROBE_001", 409, "Broken", "It is broken", "Mend it.")
REFUSED = Error("PROBE_002", 401, "Refused", "The badge is not known", "Get another.")
BADGE = Scheme("badge", "x-badge", {"type": "apiKey", "in": "header", "name": "X-Badge"}, (REFUSED,))


class ProbeSettings(BaseModel):
    greeting: str = Field(default="hello", description="What is said.", examples=["good day"])


class Greeter:
    def __init__(self, text: str) -> None:
        self.text = text


class Badges:
    """Who calls is what the badge says; one of them names a tenant that was never checked."""

    scheme = BADGE

    async def authenticate(self, credential: str) -> Principal | None:
        subject, _, tenant = credential.partition("@")
        if subject == "stranger":
            raise ApiError(REFUSED)
        checked: Any = tenant if subject == "careless" else TenantId.parse(tenant)
        return Principal(checked, subject, "badges", "badge", None, claims={"roles": ["admin"] * (subject == "root")})


@raises(BROKEN)
async def broken() -> None:
    raise ApiError(BROKEN)


router = Router(prefix="/api/v1/probe")
Admin = Annotated[Principal, requires(lambda caller: "admin" in caller.listed("roles"))]


@router.get("/who")
async def who(caller: CurrentPrincipal, greeter: Annotated[Greeter, Depends(part(Greeter))]) -> str:
    return f"{greeter.text} {caller.subject} of {caller.tenant}"


@router.get("/admin")
async def admin(caller: Admin) -> str:
    return caller.subject


@router.get("/broken", dependencies=[Depends(broken)])
async def unreached() -> None: ...


@router.get("/bind/{field}")
async def bind_field(field: Literal["probe_id", "patient"]) -> None:
    bind(**{field: 7})


Start = Callable[[Core], AbstractAsyncContextManager[Started]]


def starting(**brought: Any) -> Start:
    @asynccontextmanager
    async def start(core: Core) -> AsyncIterator[Started]:
        yield Started(**{"parts": (Greeter(core.settings.of(ProbeSettings).greeting),), **brought})

    return start


def probe(start: Start | None = None, **changes: Any) -> Feature:
    given: dict[str, Any] = {
        "name": "probe",
        "routers": (router,),
        "errors": (BROKEN, REFUSED),
        "settings": ProbeSettings,
        "log_fields": frozenset({"probe_id"}),
        "schemes": (BADGE,),
        "start": start or starting(strategies=(Badges(),)),
    }
    return Feature(**{**given, **changes})


def application(*features: Feature, environment: str = "development", **variables: str) -> FastAPI:
    base = {**GOOD, "DOCS": "on"} if environment == "production" else {**DEVELOPMENT, "DATABASE_URL": NO_DATABASE}
    idp = {name: value for name, value in GOOD.items() if name.startswith("IDP__")}
    secrets = {"DATABASE_SECRET_ID": "", "SESSION_SECRET_ID": ""} if environment != "production" else {}
    settings = load({**base, **idp, **secrets, **variables}, {f.name: f.settings for f in features if f.settings})
    return create_app(settings, features, names=Names("signalbox"), title="Probe")


@asynccontextmanager
async def started(*features: Feature, **variables: str) -> AsyncIterator[httpx.AsyncClient]:
    app = application(HEALTH, *features, **variables)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """What ``bind`` takes is of the process: the next test finds it as it was."""
    log_lines.configure("INFO")
    yield
    declare_fields(LOG_FIELDS, strict=True)


def events(capsys: pytest.CaptureFixture[str], message: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    ("other", "what", "where"),
    [
        (Feature(name="probe"), "feature name probe", "feature probe and in feature probe"),
        (Feature(name="x", errors=(BROKEN,)), "error code PROBE_001", "feature probe and in feature x"),
        (Feature(name="x", log_fields=frozenset({"probe_id"})), "log field probe_id", "feature probe and in feature x"),
        (Feature(name="x", schemes=(BADGE,)), "scheme badge", "feature probe and in feature x"),
        (
            Feature(name="x", errors=(Error("SYS_001", 500, "a", "b", "c"),)),
            "error code SYS_001",
            r"the core \(service/errors.py\) and in feature x",
        ),
        (
            Feature(name="x", log_fields=frozenset({"user_id"})),
            "log field user_id",
            r"the core \(service/log.py\) and in feature x",
        ),
    ],
)
def test_what_exists_twice_does_not_start_and_both_places_are_named(other: Feature, what: str, where: str) -> None:
    with pytest.raises(RuntimeError, match=f"{what} exists twice, in {where}"):
        application(probe(), other)


async def ok() -> State:
    return "ok"


@pytest.mark.parametrize(
    ("brought", "told"),
    [
        ({"checks": {"database": Check(ok)}}, r"readiness check database exists twice, in the core"),
        ({"parts": (Greeter("a"), Greeter("b"))}, "part of type Greeter exists twice"),
        ({"strategies": (Badges(),)}, "scheme badge, which feature probe does not declare"),
    ],
)
@pytest.mark.anyio
async def test_what_would_hide_something_else_does_not_start(brought: dict[str, Any], told: str) -> None:
    with pytest.raises(RuntimeError, match=told):
        async with started(probe(starting(**brought), schemes=())):
            pass


def test_a_header_that_no_request_could_have_is_refused() -> None:
    with pytest.raises(ValueError, match="lower case"):
        Scheme("badge", "X-Badge", {})


@pytest.mark.anyio
async def test_a_strategy_may_read_another_header_and_its_tenant_is_checked() -> None:
    async with started(probe(), PROBE__GREETING="good day") as client:
        answer = await client.get("/api/v1/probe/who", headers={"X-Badge": "ann@acme"})
        assert answer.json() == "good day ann of acme"
        assert code(await client.get("/api/v1/probe/who")) == (401, "AUTH_020")
        assert code(await client.get("/api/v1/probe/who", headers={"X-Badge": "stranger@acme"})) == (401, "PROBE_002")
        for both in (
            [("X-Badge", "ann@acme"), ("X-Badge", "ann@acme")],
            [("X-Badge", "ann@acme"), ("Authorization", "Bearer x")],
        ):
            assert code(await client.get("/api/v1/probe/who", headers=both)) == (400, "AUTH_022")
        assert code(await client.get("/api/v1/probe/who", headers={"X-Badge": "careless@acme"})) == (500, "SYS_001")


@pytest.mark.anyio
async def test_who_lacks_a_role_is_refused_and_that_is_an_audit_event(capsys: pytest.CaptureFixture[str]) -> None:
    async with started(probe()) as client:
        assert (await client.get("/api/v1/probe/admin", headers={"X-Badge": "root@acme"})).json() == "root"
        refused = await client.get("/api/v1/probe/admin", headers={"X-Badge": "ann@acme"})
        assert code(refused) == (403, "AUTH_034")
    (event,) = events(capsys, "permission_denied")
    assert (event["audit"], event["code"], event["tenant_id"], event["user_id"]) == (True, "AUTH_034", "acme", "ann")


@pytest.mark.parametrize("roles", ["administrator", "admin", None, {"admin": True}, 7, [7, ["admin"]]])
def test_a_claim_of_another_form_lists_no_role(roles: object) -> None:
    caller = Principal(TenantId.parse("acme"), "ann", "x", "x", None, claims={"roles": roles})
    assert "admin" not in caller.listed("roles")


@pytest.mark.anyio
async def test_an_undeclared_log_field_is_an_error_in_development(capsys: pytest.CaptureFixture[str]) -> None:
    async with started(probe()) as client:
        badge = {"X-Badge": "ann@acme"}
        assert (await client.get("/api/v1/probe/bind/probe_id", headers=badge)).status_code == 200
        assert code(await client.get("/api/v1/probe/bind/patient", headers=badge)) == (500, "SYS_001")
    assert [line.get("probe_id") for line in events(capsys, "request")] == [7, None]


@pytest.mark.anyio
async def test_an_undeclared_log_field_is_dropped_in_production_which_the_log_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    application(probe(), environment="production")  # says what the process takes
    bind(patient=7, probe_id=1)
    get_logger("service.test").info("after")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("fields") for line in lines if line["message"] == "log_fields_undeclared"] == ["patient"]
    (after,) = (line for line in lines if line["message"] == "after")
    assert after["probe_id"] == 1
    assert "patient" not in after


@pytest.mark.parametrize("decisive", [False, True])
@pytest.mark.anyio
async def test_a_check_is_told_and_keeps_traffic_away_only_when_it_is_decisive(decisive: bool) -> None:
    asked, again = 0, anyio.Event()

    async def down() -> State:
        nonlocal asked
        asked += 1
        if asked == 2:  # what it said the first time is told by now
            again.set()
        raise RuntimeError

    # The core's own checks are down too without a database: what is judged is what this check adds.
    readiness = Readiness({"core": Check(ok, decisive=True), "probe": Check(down, decisive=decisive)})
    async with readiness.running():
        with anyio.fail_after(10):
            await again.wait()
    assert readiness.report().states["probe"] == "unavailable"
    assert readiness.report().ready is not decisive
    async with started(probe(starting(strategies=(Badges(),), checks={"probe": Check(down, decisive)}))) as client:
        assert (await client.get("/api/v1/health/ready")).json()["checks"]["probe"] == "unavailable"


@pytest.mark.anyio
async def test_a_stop_ends_a_check_that_takes_it_for_a_failure_of_its_own() -> None:
    asked = anyio.Event()

    async def deaf() -> State:
        asked.set()
        try:
            await anyio.sleep(60)
        except BaseException:  # as a driver does whose connection is being opened
            raise ConnectionError from None
        return "ok"

    with anyio.fail_after(10):
        async with Readiness({"deaf": Check(deaf)}).running():
            await asked.wait()


@pytest.mark.anyio
async def test_openapi_lists_what_dependencies_raise_and_every_scheme() -> None:
    document = application(AUTH, HEALTH, probe()).openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "badge"}

    def codes(path: str) -> set[str]:
        operation = document["paths"][path]["get"]
        assert operation["security"] == [{"bearer": []}, {"badge": []}]
        answers = operation["responses"].values()
        return {
            example
            for answer in answers
            for example in answer.get("content", {}).get("application/json", {}).get("examples", ())
        }

    assert {"PROBE_001", "PROBE_002", "AUTH_020", "SYS_001"} <= codes("/api/v1/probe/broken")
    assert "PROBE_001" not in codes("/api/v1/probe/who")
    assert "AUTH_034" in codes("/api/v1/probe/admin")


def test_the_settings_of_a_feature_are_among_the_variables() -> None:
    (listed,) = (v for v in variables({"probe": ProbeSettings}) if v.name.startswith("PROBE__"))
    assert (listed.name, listed.default, listed.required) == ("PROBE__GREETING", "hello", False)


def test_an_address_as_subject_is_logged_as_a_digest_that_stays_the_same() -> None:
    def logged(subject: str, issuer: str = "https://a.example") -> str:
        return Principal(TenantId.parse("acme"), subject, issuer, "x", None).user_id

    assert logged("00u1-x") == "00u1-x"
    assert "alice" not in logged("alice@example.com")
    assert logged("alice@example.com") == logged("alice@example.com")
    assert len({logged("alice@example.com"), logged("bob@example.com"), logged("alice@example.com", "https://b")}) == 3
