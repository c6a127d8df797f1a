"""A sign-in under way belongs to one browser, one provider and one use, on whichever replica it continues."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import cast
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from sqlalchemy import text

from service.auth.feature import Auth
from service.auth.login import transaction
from service.auth.login.sealing import SealBroken, Sealer
from service.auth.tokens.keys import IssuerKeys
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database.engine import Connector, create_engine
from service.database.tenantless import tenantless
from service.log_lines import configure
from service.naming import Names
from service.running import part_of
from service.settings import Secret, load
from tests.support.api.app import LOGIN_COOKIE, NOWHERE, Browser, application, error_of
from tests.support.api.environments import AUTH, DEVELOPMENT, GOOD
from tests.support.cloud.secrets_manager import SecretsManager
from tests.support.database.databases import Database
from tests.support.idp.op import ScriptedProvider

pytestmark = pytest.mark.anyio
FRONT_END = "https://app.example.com"
KEY = "0123456789abcdef0123456789abcdef"
GOOD_PROVIDER = {name: value for name, value in GOOD.items() if name.startswith("IDP__")}


@pytest.fixture
def environment(provider: ScriptedProvider, module_database: Database) -> dict[str, str]:
    twin = provider.settings("TWIN", ISSUER="https://twin.example", DISCOVERY_URL=f"{provider.url}/twin")
    return {
        **provider.settings(),
        **twin,
        "DATABASE_URL": module_database.url(),
        "ALLOWED_ORIGINS": f"{FRONT_END},http://127.0.0.1:3000",
        "SESSION_SECRET": KEY,
    }


@pytest.fixture
async def browser(environment: dict[str, str]) -> AsyncIterator[Browser]:
    async with application(environment) as app:
        found = Browser(app)
        async with found.client:
            yield found


async def arrive(browser: Browser, provider: ScriptedProvider, return_to: str = f"{FRONT_END}/") -> str:
    """Sign in as far as the front end; the login code it finds in its address."""
    asked = await browser.begin(return_to=return_to)
    provider.nonce = asked["nonce"]
    answer = await browser.come_back(code="c", state=asked["state"])
    assert answer.status_code == 303, answer.text
    target = answer.headers["Location"]
    assert target.startswith(return_to)
    return parse_qs(urlsplit(target).query)["login_code"][0]


async def test_a_login_code_works_once_for_its_browser(browser: Browser, provider: ScriptedProvider) -> None:
    code = await arrive(browser, provider)
    first = await browser.redeem(code)
    assert first.status_code == 200
    assert "Max-Age=0" in first.headers["Set-Cookie"]
    assert error_of(await browser.redeem(code)) == (400, "AUTH_045")


async def test_however_many_ask_at_once_on_two_replicas_one_is_served(
    environment: dict[str, str], provider: ScriptedProvider
) -> None:
    async with application(environment) as one, application(environment) as two:
        first, second = Browser(one), Browser(two)
        code = await arrive(first, provider)
        second.client.cookies = first.client.cookies
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in first.client.cookies.items())}
        answers = await asyncio.gather(
            *(
                replica.client.post("/api/v1/auth/token", json={"login_code": code}, headers=cookie)
                for replica in (first, second) * 5
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
        await first.client.aclose()
        await second.client.aclose()


async def test_a_login_code_without_the_cookie_of_its_browser_is_worth_nothing(
    browser: Browser, provider: ScriptedProvider
) -> None:
    code = await arrive(browser, provider)
    cookies = dict(browser.client.cookies)
    browser.client.cookies.clear()
    assert error_of(await browser.redeem(code)) == (400, "AUTH_045")
    # With a cookie that is not its own, it is burned: whoever tried has the code.
    (name,) = cookies
    browser.client.cookies.set(name, "another-binding", domain="127.0.0.1")
    assert error_of(await browser.redeem(code)) == (400, "AUTH_045")
    browser.client.cookies.set(name, cookies[name], domain="127.0.0.1")
    assert error_of(await browser.redeem(code)) == (400, "AUTH_045")


async def test_a_login_code_lives_a_minute(
    browser: Browser, provider: ScriptedProvider, module_database: Database
) -> None:
    code = await arrive(browser, provider)
    shared = "update sign_in.code set expires_at = now() - interval '1 second'"
    await asyncio.to_thread(module_database.as_superuser, shared)
    assert error_of(await browser.redeem(code)) == (400, "AUTH_045")


@pytest.mark.parametrize("code", ["", "x", "." * 100, "A" * 22 + ".x", "A" * 201, "\u0000", "../../x"])
async def test_a_made_up_login_code_is_refused(browser: Browser, code: str) -> None:
    status, _ = error_of(await browser.redeem(code))
    assert status in (400, 422)


async def test_two_tabs_do_not_disturb_each_other(browser: Browser, provider: ScriptedProvider) -> None:
    one = await browser.begin(return_to=f"{FRONT_END}/one")
    two = await browser.begin(return_to=f"{FRONT_END}/two")
    codes = []
    for asked, page in ((two, "two"), (one, "one")):
        provider.nonce = asked["nonce"]
        answer = await browser.come_back(code="c", state=asked["state"])
        assert answer.headers["Location"].startswith(f"{FRONT_END}/{page}?login_code=")
        codes.append(parse_qs(urlsplit(answer.headers["Location"]).query)["login_code"][0])
    for code in codes:
        assert (await browser.redeem(code)).status_code == 200


async def test_an_answer_works_once(browser: Browser, provider: ScriptedProvider) -> None:
    asked = await browser.begin()
    provider.nonce = asked["nonce"]
    cookies = dict(browser.client.cookies)
    assert (await browser.come_back(code="c", state=asked["state"])).status_code == 200
    assert error_of(await browser.come_back(code="c", state=asked["state"])) == (400, "AUTH_040")
    for name, value in cookies.items():  # also for a browser that kept the cookie
        browser.client.cookies.set(name, value, domain="127.0.0.1")
    assert error_of(await browser.come_back(code="c", state=asked["state"])) == (400, "AUTH_040")
    assert [path for path, _, _ in provider.requests].count("/token") == 1


async def test_an_answer_of_another_browser_or_for_another_provider_is_refused(
    browser: Browser, provider: ScriptedProvider
) -> None:
    asked = await browser.begin()
    assert error_of(await browser.come_back("twin", code="c", state=asked["state"])) == (400, "AUTH_043")
    for state in ("", "x", "A" * 22, asked["state"] + "A", asked["state"][:-1]):
        assert error_of(await browser.come_back(code="c", state=state)) == (400, "AUTH_040")
    assert error_of(await browser.come_back(code="c")) == (400, "AUTH_040")
    browser.client.cookies.clear()
    assert error_of(await browser.come_back(code="c", state=asked["state"])) == (400, "AUTH_040")
    assert "/token" not in [path for path, _, _ in provider.requests]


async def test_a_cookie_that_was_touched_swapped_or_kept_too_long_is_refused(
    browser: Browser, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await browser.begin(), await browser.begin()
    names = {name[-22:]: name for name in browser.client.cookies}
    values = dict(browser.client.cookies)
    name, value = names[one["state"]], values[names[one["state"]]]
    for bad in ("", "A", value[:-2], value[:-1] + ("A" if value[-1] != "A" else "B"), values[names[two["state"]]]):
        browser.client.cookies.set(name, bad, domain="127.0.0.1")
        assert error_of(await browser.come_back(code="c", state=one["state"])) == (400, "AUTH_040")
    browser.client.cookies.set(name, value, domain="127.0.0.1")
    assert transaction.TRANSACTION_SECONDS == 600
    monkeypatch.setattr(transaction, "TRANSACTION_SECONDS", -1)  # as if they had gone by
    assert error_of(await browser.come_back(code="c", state=one["state"])) == (400, "AUTH_040")


async def test_an_abandoned_sign_in_leaves_no_more_than_eight_cookies(browser: Browser) -> None:
    for _ in range(20):
        await browser.begin()
    assert len(browser.client.cookies) <= 8


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "https://app.example.com.evil.example/",
        "https://app.example.com@evil.example/",
        "https://app.example.com:8443/",
        "https://app.example.comevil",
        "http://app.example.com/",
        "HTTPS://APP.EXAMPLE.COM/",
        "//app.example.com/",
        "/relative",
        "https:app.example.com",
        "https://app.example.com\\@evil.example",
        "https://app.example.com/\\evil",
        "https://app.example.com/#fragment",
        "https://app.example.com/?login_code=planted",
        "https://app.example.com/?login%5Fcode=planted",
        "https://app.example.com/\r\nSet-Cookie: x=y",
        "https://app.example.com/ ",
        " https://app.example.com/",
        "https://app.example.com/\u2028",
        "https://app.example.com/" + "a" * 1100,
        "javascript:alert(1)",
        "http://localhost:3000@evil.example/",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example:3000/",
        "ftp://localhost:3000/",
        "http://localhost:3000:5173/",
        "http://0.0.0.0:3000/",
        "",
    ],
)
async def test_return_to_is_an_allowed_origin_to_the_letter(browser: Browser, target: str) -> None:
    answer = await browser.client.get("/api/v1/auth/op/login", params={"return_to": target})
    assert error_of(answer) in ((400, "AUTH_041"), (422, "REQ_003"))
    assert "Set-Cookie" not in answer.headers
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "target",
    [
        FRONT_END,
        f"{FRONT_END}/a/b?c=d&e=%20",
        f"{FRONT_END}?x=1",
        "http://127.0.0.1:3000/x",
        "http://localhost:3000",
        "http://localhost:5173/x?y=z",
        "http://[::1]:5173/",
        "https://localhost",
    ],
)
async def test_return_to_below_an_allowed_origin_is_kept(
    browser: Browser, provider: ScriptedProvider, target: str
) -> None:
    assert (await browser.redeem(await arrive(browser, provider, target))).status_code == 200


async def test_outside_of_development_a_page_of_this_machine_is_no_front_end(provider: ScriptedProvider) -> None:
    nowhere = "https://127.0.0.1:1/none"
    production = {**GOOD, "AWS_REGION": "us-east-1", "IDP__COGNITO__DISCOVERY_URL": nowhere}
    async with application(production) as app:
        browser = Browser(app, "https://api.example.com")
        for target, told in (("http://localhost:3000/", "AUTH_041"), (f"{FRONT_END}/", "SYS_006")):
            answer = await browser.client.get("/api/v1/auth/cognito/login", params={"return_to": target})
            assert error_of(answer)[1] == told
        await browser.client.aclose()


@pytest.mark.parametrize("name", ["localhost", "[::1]"])
async def test_a_sign_in_under_another_name_of_this_machine_runs_under_ours(
    browser: Browser, provider: ScriptedProvider, name: str
) -> None:
    """The provider sends people back to PUBLIC_URL alone, where a browser shows no cookie of another name."""
    ask_by, page = f"http://{name}:8000", f"http://{name}:3000"
    options = {"return_to": f"{page}/?a=b&c"}
    onward = await browser.client.get(f"{ask_by}/api/v1/auth/op/login", params=options)
    assert onward.status_code == 303
    assert "Set-Cookie" not in onward.headers
    assert str(onward.headers["Location"]).startswith("http://127.0.0.1:8000/api/v1/auth/op/login?")
    begun = await browser.client.get(onward.headers["Location"])
    asked = dict(parse_qsl(urlsplit(begun.headers["Location"]).query))
    provider.nonce = asked["nonce"]
    back = await browser.come_back(code="c", state=asked["state"])
    assert back.headers["Location"].startswith(f"{page}/?a=b&c&login_code=")
    body = {"login_code": parse_qs(urlsplit(back.headers["Location"]).query)["login_code"][0]}
    redeemed = await browser.client.post(f"{ask_by}/api/v1/auth/token", json=body, headers={"Origin": page})
    assert redeemed.status_code == 200
    refused = await browser.client.get(f"{ask_by}/api/v1/auth/op/login", params={"return_to": "https://evil.example"})
    assert error_of(refused) == (400, "AUTH_041")


async def test_a_page_of_this_machine_redeems_without_a_cookie_what_was_meant_for_it_alone(
    environment: dict[str, str], provider: ScriptedProvider
) -> None:
    """Two names of one machine are two sites, and many browsers send no cookie from one to another."""
    page, own = "http://localhost:3000", "http://127.0.0.1:3000"
    async with application(environment) as app:
        browser, cookieless = Browser(app), Browser(app)

        async def redeemed(meant: str, origin: str | None) -> bool:
            body = {"login_code": await arrive(browser, provider, f"{meant}/")}
            headers = {"Origin": origin} if origin else {}
            answer = await cookieless.client.post("/api/v1/auth/token", json=body, headers=headers)
            assert answer.status_code == 200 or error_of(answer)[1] in ("AUTH_045", "REQ_007")
            return answer.status_code == 200

        assert await redeemed(page, page)
        assert await redeemed(own, own)
        for meant, origin in (
            (page, "http://localhost:3001"),
            (page, "http://[::1]:3000"),
            (page, own),
            (page, None),
            (page, "https://evil.example"),
            (own, page),
            (own, None),
            (FRONT_END, page),
            (FRONT_END, FRONT_END),
        ):
            assert not await redeemed(meant, origin), (meant, origin)
        for opened in (browser, cookieless):
            await opened.client.aclose()


@pytest.mark.parametrize("ask_by", ["http://127.0.0.1:8000", "http://localhost:8000"])
async def test_a_page_under_another_name_comes_back_from_its_sign_out(environment: dict[str, str], ask_by: str) -> None:
    page = "http://localhost:3000"
    async with application(environment) as app:
        browser, cookieless = Browser(app), Browser(app)
        url, options = f"{ask_by}/api/v1/auth/op/logout", {"return_to": f"{page}/out"}
        out = await browser.client.post(url, json=options, headers={"Origin": page})
        assert "Set-Cookie" not in out.headers
        state = parse_qs(urlsplit(out.json()["logout_url"]).query)["state"][0]
        back = await cookieless.client.get("/api/v1/auth/op/logout", params={"state": state})
        assert (back.status_code, back.headers["Location"]) == (303, f"{page}/out")
        again = await cookieless.client.get("/api/v1/auth/op/logout", params={"state": state})
        assert error_of(again) == (400, "AUTH_049")
        for opened in (browser, cookieless):
            await opened.client.aclose()


async def test_an_unknown_provider_is_not_found(browser: Browser) -> None:
    for method, path in (("GET", "login"), ("GET", "callback"), ("GET", "logout"), ("POST", "logout")):
        assert error_of(await browser.client.request(method, f"/api/v1/auth/nobody/{path}")) == (404, "REQ_001")


async def test_the_front_end_learns_where_people_can_sign_in(browser: Browser) -> None:
    found = (await browser.client.get("/api/v1/auth/providers")).json()
    assert found[0] == {"name": "op", "kind": "oidc", "login_url": "http://127.0.0.1:8000/api/v1/auth/op/login"}
    assert [entry["name"] for entry in found] == ["op", "twin"]


async def test_a_button_that_is_pressed_often_asks_a_provider_that_is_down_once(
    environment: dict[str, str], provider: ScriptedProvider
) -> None:
    provider.answers = {"/.well-known/openid-configuration": lambda: (500, b"")}
    async with application({**environment, "IDP__OP__JWKS_URL": f"{provider.url}/keys"}) as app:
        browser = Browser(app)
        answers = await asyncio.gather(*(browser.client.get("/api/v1/auth/op/login") for _ in range(30)))
        assert {error_of(answer) for answer in answers} == {(503, "SYS_006")}
        asked = [path for path, _, _ in provider.requests if path.endswith("openid-configuration")]
        assert len(asked) == 1
        await browser.client.aclose()


async def test_without_the_database_nobody_is_signed_in_and_the_sign_in_can_go_on_later(
    environment: dict[str, str], provider: ScriptedProvider
) -> None:
    async with application({**environment, "DATABASE_URL": NOWHERE}) as app:
        browser = Browser(app)
        asked = await browser.begin()
        answer = await browser.come_back(code="c", state=asked["state"])
        assert error_of(answer) == (503, "SYS_002")
        assert "Set-Cookie" not in answer.headers
        assert "/token" not in [path for path, _, _ in provider.requests]
        await browser.client.aclose()


async def test_on_https_the_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts(
    provider: ScriptedProvider, environment: dict[str, str]
) -> None:
    for url, expected in (
        ("https://api.example.com", [f"__Host-{LOGIN_COOKIE}", "Path=/", "Max-Age=600", "HttpOnly", "Secure"]),
        ("http://127.0.0.1:8000", [LOGIN_COOKIE, "Path=/", "Max-Age=600", "HttpOnly"]),
    ):
        async with application({**environment, "PUBLIC_URL": url}) as app:
            browser = Browser(app, url)
            answer = await browser.client.get("/api/v1/auth/op/login")
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith(expected[0])
            assert "SameSite=Lax" in cookie
            assert "Domain" not in cookie
            for attribute in expected[1:]:
                assert attribute in cookie
            assert ("Secure" in cookie) is url.startswith("https")
            secret = httpx.URL(answer.headers["Location"]).params["nonce"]
            assert secret not in cookie
            await browser.client.aclose()


async def test_on_https_a_whole_sign_in_never_leaves_the_host_cookie(
    provider: ScriptedProvider, environment: dict[str, str]
) -> None:
    url = "https://api.example.com"
    async with application({**environment, "PUBLIC_URL": url}) as app:
        browser = Browser(app, url)
        asked = await browser.begin(return_to=FRONT_END)
        provider.nonce = asked["nonce"]
        answer = await browser.come_back(code="c", state=asked["state"])
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"__Host-{LOGIN_COOKIE}{asked['state']}=")
        # None: the front end that redeems the code may be on another site.
        for attribute in ("Path=/", "Max-Age=60", "HttpOnly", "SameSite=None", "Secure"):
            assert attribute in cookie
        code = parse_qs(urlsplit(answer.headers["Location"]).query)["login_code"][0]
        assert (await browser.redeem(code)).status_code == 200
        assert not browser.client.cookies
        await browser.client.aclose()


async def test_a_sign_out_ends_our_half_whatever_the_provider_does(
    browser: Browser, provider: ScriptedProvider, environment: dict[str, str]
) -> None:
    for _ in range(3):
        await browser.begin()
    provider.answers = {"/.well-known/openid-configuration": lambda: (500, b"")}
    async with application(environment) as replica:  # which does not know yet where the provider ends a session
        elsewhere = Browser(replica)
        elsewhere.client.cookies = browser.client.cookies
        assert elsewhere.client.cookies
        async with elsewhere.client:
            answer = await elsewhere.client.post("/api/v1/auth/op/logout")
        assert error_of(answer) == (503, "SYS_006")
        assert not elsewhere.client.cookies


def test_the_application_login_can_neither_read_nor_list_codes(module_database: Database) -> None:
    import asyncpg

    for statement in (
        "select * from sign_in.code",
        "select * from sign_in.used",
        "insert into sign_in.code values ('\\x00', '\\x00', now())",
        "delete from sign_in.used",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            module_database.run(statement)


async def test_work_without_a_tenant_sees_no_row_of_any_tenant(module_database: Database) -> None:
    await asyncio.to_thread(
        module_database.as_superuser, "insert into app.note (tenant_id, body) values ('acme', 'x'), ('globex', 'y')"
    )
    settings = load(
        {**DEVELOPMENT, **GOOD_PROVIDER, "DATABASE_URL": module_database.url(), "DATABASE_SECRET_ID": ""}, AUTH
    )
    engine = create_engine(settings, Connector(settings, Secrets(Aws(settings)), None), Names("test"))
    async with tenantless(engine) as connection:
        assert (await connection.execute(text("select * from app.note"))).all() == []
    await engine.dispose()


async def test_the_database_holds_neither_code_nor_token(
    browser: Browser, provider: ScriptedProvider, module_database: Database
) -> None:
    code = await arrive(browser, provider)
    rows = await asyncio.to_thread(module_database.as_superuser, "select digest, sealed from sign_in.code")
    held = b"".join(bytes(row["digest"]) + bytes(row["sealed"]) for row in rows)
    token = (await browser.redeem(code)).json()["access_token"]
    assert rows
    assert code.encode() not in held
    assert token.encode() not in held


async def test_expired_rows_are_cleared_away_by_later_sign_ins(
    browser: Browser, provider: ScriptedProvider, module_database: Database
) -> None:
    await arrive(browser, provider)
    for table in ("code", "used"):
        expire = f"update sign_in.{table} set expires_at = now() - interval '1 hour'"  # noqa: S608  two constants
        await asyncio.to_thread(module_database.as_superuser, expire)
    await arrive(browser, provider)
    for table in ("code", "used"):
        left = await asyncio.to_thread(module_database.as_superuser, f"table sign_in.{table}")
        assert len(left) == 1


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretsManager]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with SecretsManager() as running:
        yield running


async def test_a_rotated_session_key_breaks_no_open_login(store: SecretsManager) -> None:
    store.rotate("session", "the first secret of at least thirty-two characters")
    settings = load({**DEVELOPMENT, **store.settings(), **GOOD_PROVIDER, "SESSION_SECRET_ID": "session"}, AUTH)
    old = Sealer(Secrets(Aws(settings)), Secret("session"))
    sealed = await old.seal(b"open login", b"p")
    store.rotate("session", "the second secret of at least thirty-two characters")
    fresh = Sealer(Secrets(Aws(settings)), Secret("session"))  # a replica that started after the rotation
    assert await fresh.open(sealed, b"p") == b"open login"
    newer = await fresh.seal(b"newer login", b"p")
    assert await old.open(newer, b"p") == b"newer login"  # one that has the old secret in its cache
    assert await old.open(sealed, b"p") == b"open login"
    reads = store.reads
    for _ in range(100):
        with pytest.raises(SealBroken):
            await old.open(b"forged" * 20, b"p")
    assert store.reads - reads <= 2
    with pytest.raises(SealBroken):
        await fresh.open(newer, b"another purpose")


async def test_a_rotated_client_secret_is_picked_up_without_a_restart(
    environment: dict[str, str], provider: ScriptedProvider, store: SecretsManager
) -> None:
    store.rotate("client", "before")
    changed = {**environment, **store.settings(), "IDP__OP__CLIENT_SECRET": "", "IDP__OP__CLIENT_SECRET_ID": "client"}

    def judge() -> tuple[int, dict[str, object]]:
        given = base64.b64decode(provider.requests[-1][2]["Authorization"].removeprefix("Basic ")).decode()
        current = store.versions["client"][0]
        return (200, provider.tokens()) if given.endswith(f":{current}") else (401, {"error": "invalid_client"})

    provider.answers = {"/token": judge}
    async with application(changed) as app:
        browser = Browser(app)
        for _ in range(2):
            asked = await browser.begin()
            provider.nonce = asked["nonce"]
            assert (await browser.come_back(code="c", state=asked["state"])).status_code == 200
            store.rotate("client", "after")
        await browser.client.aclose()


@pytest.mark.parametrize("path", ["/api/v1/auth/op/logout", "/api/v1/auth/token"])
async def test_a_foreign_page_cannot_act_with_the_cookies_of_a_sign_in(browser: Browser, path: str) -> None:
    await browser.begin()
    held = dict(browser.client.cookies)
    body = {"login_code": "x"} if path.endswith("token") else None
    for origin in ("https://evil.example", "null", FRONT_END.upper(), f"{FRONT_END}.evil.example"):
        answer = await browser.client.post(path, headers={"Origin": origin}, json=body)
        assert error_of(answer) == (400, "REQ_007")
        assert "Set-Cookie" not in answer.headers
    assert dict(browser.client.cookies) == held
    ours = await browser.client.post(path, headers={"Origin": FRONT_END}, json=body)
    assert ours.status_code == 200 or error_of(ours) == (400, "AUTH_045")


async def test_a_cookie_name_that_is_not_ours_is_not_echoed(browser: Browser) -> None:
    planted = "; ".join(f"{LOGIN_COOKIE}planted {number}=x" for number in range(20))
    answer = await browser.client.get("/api/v1/auth/op/login", headers={"Cookie": planted})
    assert answer.status_code == 303
    assert "planted" not in str(answer.headers)


async def test_background_work_that_dies_is_told(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        async def keep_fresh(self) -> None:
            raise KeyError("a mistake")

    configure()
    async with replace(part_of(browser.app, Auth), keys=(cast("IssuerKeys", Broken()),)).running():
        await asyncio.sleep(0.01)
    told = [line for line in capsys.readouterr().out.splitlines() if "background_work_died" in line]
    assert len(told) == 1
    assert "a mistake" not in told[0]
