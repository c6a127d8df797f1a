"""What an operator sees when the environment is wrong: every problem at once, by name, and no value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.settings import SettingsError, load, variables
from tests.support.api.environments import GOOD, LOCAL_DATABASE

WITHOUT_TLS = "postgresql://a@db.example.com/d?sslmode=disable"


def test_a_good_production_environment_is_read() -> None:
    settings = load(GOOD)
    assert settings.allowed_origins == ("https://app.example.com", "https://admin.example.com:8443")
    assert settings.idp["cognito"].client_id == ("web", "mobile")
    assert settings.database_pool_size == 10
    assert settings.database_pool_size + settings.database_max_overflow == 20


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://*.example.com"),
        ("ALLOWED_ORIGINS", "http://localhost:3000"),
        ("ALLOWED_ORIGINS", "https://localhost"),
        ("ALLOWED_ORIGINS", "https://app.example.com/"),
        ("ALLOWED_ORIGINS", "https://app.example.com,https://App.example.com"),
        ("ALLOWED_ORIGINS", "http://app.example.com"),
        ("ALLOWED_ORIGINS", ""),
        ("PUBLIC_URL", "http://127.0.0.1:8000"),
        ("IDP__COGNITO__ISSUER", "http://idp.example.com"),
        ("IDP__COGNITO__ISSUER", "http://127.0.0.1:4566/pool"),
        ("IDP__COGNITO__ISSUER", "https://:word@idp.example.com"),
        ("ALLOWED_ORIGINS", "https://@app.example.com"),
        ("IDP__COGNITO__JWKS_URL", "http://localhost/keys"),
        ("IDP__COGNITO__CLIENT_ID", ""),
        ("IDP__COGNITO__TENANTS", "acme,not a tenant"),
        ("IDP__COGNITO__SECRET", "whatever"),
        ("IDP__COGNITO__KIND", "facebook"),
        ("DATABASE_URL", WITHOUT_TLS),
        ("DATABASE_URL", "postgresql://a@db.example.com/d"),
        ("DATABASE_URL", "postgresql://a@db.example.com/d?sslmode=require"),
        ("DATABASE_URL", "postgresql://a:secret@db.example.com/d?sslmode=verify-full"),
        ("DATABASE_URL", "mysql://a@db.example.com/d?sslmode=verify-full"),
        ("DATABASE_SECRET_ID", ""),
        ("DATABASE_SECRET", '{"username": "a", "password": "b"}'),
        ("SESSION_SECRET_ID", ""),
        ("SESSION_SECRET", "x" * 40),
        ("SESSION_SECRET", "short"),
        ("IDP__COGNITO__CLIENT_SECRET", "hunter2"),
        ("DOCS", "perhaps"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "50"),
        ("PORT", "eighty"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_MIGRATION_SECRET", '{"username": "//a", "password": "//b"}'),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("ENVIRONMENT", "prod"),
        ("ENVIRONMENT", ""),
    ],
)
def test_production_refuses_and_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({**GOOD, variable: value})
    message = str(refused.value)
    assert variable in message
    assert "//" not in value or value not in message


def test_development_allows_what_a_laptop_needs() -> None:
    settings = load(
        {
            **GOOD,
            "ENVIRONMENT": "development",
            "PUBLIC_URL": "http://127.0.0.1:8000",
            "ALLOWED_ORIGINS": "http://localhost:3000",
            "DATABASE_URL": LOCAL_DATABASE,
            "DATABASE_SECRET_ID": "",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
            "IDP__COGNITO__JWKS_URL": "http://127.0.0.1:4566/keys",
        }
    )
    assert settings.database_secret_id is None


def test_a_secret_given_by_value_is_read_like_one_that_is_named() -> None:
    settings = load(
        {
            **GOOD,
            "ENVIRONMENT": "staging",
            "DATABASE_SECRET_ID": "",
            "DATABASE_SECRET": '{"username": "u", "password": "p"}',
            "SESSION_SECRET_ID": "",
            "SESSION_SECRET": "x" * 40,
            "IDP__COGNITO__CLIENT_SECRET": "hunter2",
        }
    )
    secrets = Secrets(Aws(settings), settings.given_secrets)

    async def read(secret_id: str | None) -> str:
        assert secret_id is not None
        return await secrets.text(secret_id)

    assert anyio.run(read, settings.database_secret_id) == '{"username": "u", "password": "p"}'
    assert anyio.run(read, settings.session_secret_id) == "x" * 40
    assert anyio.run(read, settings.idp["cognito"].client_secret_id) == "hunter2"
    assert "hunter2" not in repr(settings)


def test_a_secret_is_named_or_given_but_not_both() -> None:
    with pytest.raises(SettingsError, match="SESSION_SECRET and SESSION_SECRET_ID exclude each other"):
        load({**GOOD, "ENVIRONMENT": "staging", "SESSION_SECRET": "x" * 40})


def test_beside_another_provider_each_must_say_for_whom_it_speaks() -> None:
    second = {"IDP__OKTA__KIND": "okta", "IDP__OKTA__ISSUER": "https://o.okta.com/oauth2/default"}
    second |= {"IDP__OKTA__AUDIENCE": "api://default", "IDP__OKTA__TENANTS": "acme"}
    with pytest.raises(SettingsError, match="IDP__COGNITO__TENANTS is required in production beside other providers"):
        load({**GOOD, **second})
    assert load({**GOOD, **second, "IDP__COGNITO__TENANTS": "*"})
    assert load({**GOOD, **second, "ENVIRONMENT": "staging"})


def test_two_providers_may_not_share_an_issuer() -> None:
    twin = {name.replace("COGNITO", "TWIN"): value for name, value in GOOD.items() if name.startswith("IDP__")}
    with pytest.raises(SettingsError, match="IDP__TWIN__ISSUER"):
        load({**GOOD, **twin})


def test_every_example_is_a_value_that_passes() -> None:
    development_only = (
        "AWS_ENDPOINT_URL",
        "DATABASE_SECRET",
        "DATABASE_MIGRATION_SECRET",
        "SESSION_SECRET",
        "IDP__<NAME>__CLIENT_SECRET",
        "IDP__<NAME>__SP_SECRET",
    )
    environment = {v.name.replace("<NAME>", "X"): v.example for v in variables() if v.name not in development_only}
    assert load(environment).environment == "production"


def test_the_process_reports_all_problems_in_one_message_without_traceback(tmp_path: Path) -> None:
    marker = "hunter2-secret"
    environment = {
        "PATH": os.environ["PATH"],
        **GOOD,
        "PORT": marker,
        "LOG_LEVEL": marker,
        "DATABASE_URL": f"postgresql://u:{marker}@h/d",
        "ALLOWED_ORIGINS": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "service"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    for variable in ("PORT", "LOG_LEVEL", "DATABASE_URL", "ALLOWED_ORIGINS"):
        assert variable in done.stderr
    assert "Traceback" not in done.stderr
    assert marker not in done.stderr + done.stdout
