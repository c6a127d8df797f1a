"""The one-click template, deployed as Railway would: references filled in, three answers given, no AWS account."""

from __future__ import annotations

import json
import re
import secrets
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from jsonschema import Draft7Validator

from infra.local.postgres import LocalPostgres, temporary_postgres
from infra.railway import trial
from service import settings
from service.auth.settings import AuthSettings
from tests.support.api.environments import AUTH
from tests.support.api.server import ROOT, Server
from tests.support.api.zygote import run
from tests.support.idp.issuer import CLIENT_ID, Issuer

ASKED = {"ALLOWED_ORIGINS", "IDP__OIDC__ISSUER", "IDP__OIDC__CLIENT_ID"}
_SECRET = re.compile(r'\$\{\{\s*secret\((\d+), "([^"]+)"\)\s*\}\}')
_REFERENCE = re.compile(r"\$\{\{\s*(?:(\w+)\.)?(\w+)\s*\}\}")


def deploy(answers: Mapping[str, str], platform: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """What Railway does with a template: asks, makes secrets, and fills in the references between services."""
    template = json.loads(trial.serialized(trial.trial_project(ROOT, "example/signalbox")))
    values: dict[str, dict[str, str]] = {name: dict(of) for name, of in platform.items()}
    for service in template["services"].values():
        for name, entry in service["variables"].items():
            if entry["isOptional"] and "defaultValue" not in entry and name not in answers:
                continue  # left blank
            raw = entry.get("defaultValue", answers.get(name))
            assert raw is not None, f"{name} is asked for, and was not answered"
            made = _SECRET.sub(lambda m: "".join(secrets.choice(m[2]) for _ in range(int(m[1]))), raw)
            values.setdefault(service["name"], {}).setdefault(name, made)

    def filled(service: str, text: str) -> str:
        return _REFERENCE.sub(lambda m: filled(m[1] or service, values[m[1] or service][m[2]]), text)

    return {service: {n: filled(service, text) for n, text in of.items()} for service, of in values.items()}


@pytest.fixture
def server() -> Iterator[LocalPostgres]:
    """A server of its own: the trial's login is a superuser that makes roles for the whole server."""
    with temporary_postgres() as running:
        yield running


def test_it_asks_for_issuer_client_and_origins_and_nothing_else() -> None:
    template = json.loads(trial.serialized(trial.trial_project(ROOT, "example/signalbox")))
    asked = {
        name
        for service in template["services"].values()
        for name, entry in service["variables"].items()
        if "defaultValue" not in entry and not entry["isOptional"]
    }
    assert asked == ASKED
    assert {service["name"] for service in template["services"].values()} == {"api", "Postgres"}


def test_it_fits_railways_shape_of_an_environment() -> None:
    """The schema of templates is not published; a template's services are an environment's, with a name each."""
    schema = json.loads((ROOT / "infra" / "railway" / "schema" / "railway-iac-Env.schema.json").read_text())
    template = json.loads(trial.serialized(trial.trial_project(ROOT, "example/signalbox")))
    nameless = {i: {k: v for k, v in s.items() if k != "name"} for i, s in template["services"].items()}
    assert [e.message for e in Draft7Validator(schema).iter_errors({"services": nameless})] == []


def test_the_service_migrates_starts_and_answers_from_it(server: LocalPostgres, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Issuer() as issuer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        issuer.serve_tls(context)
        platform = {
            "api": {"RAILWAY_PUBLIC_DOMAIN": "api-production-1234.up.railway.app"},
            "Postgres": {
                "RAILWAY_PRIVATE_DOMAIN": "127.0.0.1",
                "POSTGRES_USER": server.superuser,
                "POSTGRES_PASSWORD": server.password,
                "POSTGRES_DB": "postgres",
            },
        }
        answers = {
            "ALLOWED_ORIGINS": "https://app.example.com",
            "IDP__OIDC__ISSUER": issuer.url,
            "IDP__OIDC__CLIENT_ID": CLIENT_ID,
        }
        found = deploy(answers, platform)["api"]
        # The one thing that differs here: Railway's PostgreSQL listens on 5432.
        found["DATABASE_URL"] = found["DATABASE_URL"].replace(":5432/", f":{server.port}/")
        environment = {**found, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        migration = run(["migrations", "upgrade"], {"PATH": "/usr/bin:/bin", **environment})
        assert migration.returncode == 0, migration.stdout + migration.stderr
        with Server(environment) as service:
            ready = service.until_ready()
            assert ready.status_code == 200, ready.text
            assert service.get("/api/v1/health/status").json()["environment"] == "staging"
            answer = service.get("/api/v1/auth/validate", issuer.token("acme"))
            assert answer.status_code == 200, answer.text
            assert answer.json()["tenant"] == "acme"
            assert service.get("/api/v1/auth/validate").status_code == 401


@pytest.mark.parametrize(
    ("kind", "issuer", "audience", "remedy"),
    [
        ("oidc", "https://acme.okta.com", "", "KIND must be okta"),
        ("okta", "https://acme.okta.com", "", "name a custom one"),
        ("auth0", "https://acme.eu.auth0.com/", "", "make an API there"),
        ("oidc", "https://acme.eu.auth0.com/", "https://api.example.com", "KIND must be auth0"),
        ("oidc", "https://login.microsoftonline.com/x/v2.0", "", "KIND must be entra"),
        ("oidc", "https://accounts.google.com", "", "KIND must be google"),
        ("oidc", "https://appleid.apple.com", "", "sign its people in through one that makes JWTs"),
        ("auth0", "https://acme.eu.auth0.com/", "https://api.example.com", None),
        ("okta", "https://acme.okta.com/oauth2/default", "api://default", None),
        ("oidc", "https://idp.example.com", "", None),
        ("oidc", "https://login.example.com/auth0.com/github.com", "", None),
    ],
)
def test_a_provider_of_opaque_tokens_is_refused_with_the_remedy_when_it_is_set(
    kind: str, issuer: str, audience: str, remedy: str | None
) -> None:
    answers = {"ALLOWED_ORIGINS": "https://app.example.com", "IDP__OIDC__CLIENT_ID": "web"}
    answers |= {"IDP__OIDC__ISSUER": issuer, "IDP__OIDC__AUDIENCE": audience}
    platform = {"api": {"RAILWAY_PUBLIC_DOMAIN": "x.up.railway.app"}, "Postgres": {"RAILWAY_PRIVATE_DOMAIN": "db"}}
    found = {**deploy(answers, platform)["api"], "IDP__OIDC__KIND": kind}
    if remedy is None:
        assert settings.load(found, AUTH).of(AuthSettings).idp["oidc"].issuer == issuer
    else:
        with pytest.raises(settings.SettingsError, match=remedy):
            settings.load(found, AUTH)


def test_production_refuses_what_the_trial_is_made_of() -> None:
    platform = {"api": {"RAILWAY_PUBLIC_DOMAIN": "x.up.railway.app"}, "Postgres": {"RAILWAY_PRIVATE_DOMAIN": "db"}}
    answers = dict.fromkeys(ASKED, "https://idp.example.com")
    found = deploy(answers, platform)["api"]
    assert settings.load(found, AUTH).environment == "staging"
    with pytest.raises(settings.SettingsError) as refused:
        settings.load({**found, "ENVIRONMENT": "production"}, AUTH)
    for variable in ("DATABASE_URL", "DATABASE_MIGRATION_SECRET"):
        assert variable in str(refused.value)
