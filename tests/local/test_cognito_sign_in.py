"""The sign-in at the local AWS's hosted page, with the pool of the test's stack."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from infra.environment.table import TABLE, Inputs, Local
from infra.local.postgres import LocalPostgres
from infra.stage.chosen import stage
from tests.support.api.app import API, Browser, application, error_of
from tests.support.cloud.emulator import described
from tests.support.cloud.sample_stack import PASSWORD, StackedEmulator, create_user
from tests.support.database.databases import Database
from tests.support.idp.peers import Form

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def environment(postgres: LocalPostgres) -> Iterator[dict[str, str]]:
    with StackedEmulator(SIGNALBOX_LOCAL_POSTGRES=described(postgres)) as emulator:
        outputs = emulator.deploy()
        create_user(emulator, outputs, "alice", "acme")
        inputs = Inputs(stage("local"), {"UserPoolId": outputs["Pool"]}, Local(emulator.url, 8000))
        names = ("IDP__<NAME>__JWKS_URL", "IDP__<NAME>__DISCOVERY_URL")
        rows = [row for row in TABLE if row.name in names and row.local is not None]
        yield {
            "IDP__COGNITO__KIND": "cognito",
            "IDP__COGNITO__ISSUER": f"https://cognito-idp.us-east-1.amazonaws.com/{outputs['Pool']}",
            "IDP__COGNITO__CLIENT_ID": outputs["Client"],
            **{r.name.replace("<NAME>", "COGNITO"): r.local.make(inputs) for r in rows if r.local and r.local.make},
            "AWS": emulator.url,
        }


async def test_the_hosted_page_signs_in_and_the_logout_is_cognitos(
    environment: dict[str, str], database: Database
) -> None:
    aws = environment.pop("AWS")
    async with application({**environment, "DATABASE_URL": database.url()}) as app:
        browser = Browser(app)
        button = await browser.client.get("/api/v1/auth/cognito/login")
        async with httpx.AsyncClient() as person:
            page = await person.get(button.headers["Location"])
            form = Form(page)
            typed = {"username": "alice@example.com", "password": PASSWORD}
            answer = await person.post(form.action or "", data={**form.fields, **typed})
            back = answer.headers["Location"]
        assert back.startswith(f"{API}/api/v1/auth/cognito/callback?")
        token = (await browser.client.get(back)).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        me = await browser.client.get("/api/v1/auth/validate", headers=headers)
        assert me.json()["tenant"] == "acme"
        # Its ID token comes from the same issuer, and is no access token.
        headers = {"Authorization": f"Bearer {token['id_token']}"}
        assert error_of(await browser.client.get("/api/v1/auth/validate", headers=headers)) == (401, "AUTH_008")
        url = urlsplit((await browser.client.post("/api/v1/auth/cognito/logout")).json()["logout_url"])
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{aws}/logout"
        assert set(parse_qs(url.query)) == {"client_id", "logout_uri"}
        assert parse_qs(url.query)["logout_uri"] == [f"{API}/"]
        await browser.client.aclose()
