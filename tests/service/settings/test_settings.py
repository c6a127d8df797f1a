"""What an operator sees when the environment is wrong: every problem at once, by name, and no value."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import anyio
import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.auth.settings import AuthSettings, OpenIdSettings, SamlSettings
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.settings import Group, Groups, Secret, Settings, SettingsError, Url, claimed, load, variables
from tests.support.api.environments import AUTH, GOOD, LOCAL_DATABASE

HERE = {**GOOD, "ENVIRONMENT": "development"}
WITHOUT_TLS = "postgresql://a@db.example.com/d?sslmode=disable"


def test_a_good_production_environment_is_read() -> None:
    settings = load(GOOD, AUTH)
    assert settings.allowed_origins == ("https://app.example.com", "https://admin.example.com:8443")
    cognito = settings.of(AuthSettings).idp["cognito"]
    assert isinstance(cognito, OpenIdSettings)
    assert cognito.client_id == ("web", "mobile")
    assert (settings.database_pool_size, settings.database_max_overflow) == (20, 0), "none is opened for one request"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://*.example.com"),
        ("ALLOWED_ORIGINS", "https://app.example.com:443"),
        ("ALLOWED_ORIGINS", "https://app.example.com:08443"),
        ("ALLOWED_ORIGINS", "https://app.example.com:"),
        ("ALLOWED_ORIGINS", "https://app.example.com:abc"),
        ("ALLOWED_ORIGINS", "https://app.example.com:99999"),
        ("ALLOWED_ORIGINS", "https://m\u00fcnchen.example"),
        ("ALLOWED_ORIGINS", "https://app.example.com?"),
        ("ALLOWED_ORIGINS", "https://app.example.com#"),
        ("ALLOWED_ORIGINS", "https://app.example.com/path"),
        ("ALLOWED_ORIGINS", "https://[0:0:0:0:0:0:0:2]"),
        ("ALLOWED_ORIGINS", "https://10.1"),
        ("ALLOWED_ORIGINS", "https://app .example.com"),
        ("ALLOWED_ORIGINS", "null"),
        ("PUBLIC_URL", "https://api.example.com:443"),
        ("ALLOWED_HEADERS", "X Client"),
        ("ALLOWED_HEADERS", "X-Client:"),
        ("HOST", "[::]"),
        ("HOST", "127.0.0.1:8000"),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "a b"),
        ("LAME_DUCK_SECONDS", "16"),
        ("TENANT_KEY_PREFIX", "signalbox/production/tenant/"),
        ("TENANT_KEY_PREFIX", "alias/signalbox/production/tenant"),
        ("TENANT_KEY_PREFIX", "alias/aws/"),
        ("TENANT_KEY_PREFIX", "alias/${tenant}/"),
        ("TENANT_KEY_PREFIX", f"alias/{'x' * 186}/"),
        ("TENANT_KEY_PREFIX", "alias/signalbox/production/tenant/"),  # without the role
        ("MAX_TENANT_REQUESTS", "20"),
        ("MAX_REQUESTS", "19"),
        ("IDP__COGNITO__ISSUER", "https://idp.example.com:99999"),
        ("IDP__COGNITO__ISSUER", "https://idp.example.com:0"),
        ("IDP__COGNITO__ISSUER", "https://idp..example.com"),
        ("IDP__COGNITO__ISSUER", "https://" + "x" * 64 + ".example.com"),
        ("IDP__COGNITO__JWKS_URL", "https://idp.example.com/a b"),
        ("IDP__COGNITO__JWKS_URL", "https://idp.example.com/\\a"),
        ("IDP__COGNITO__JWKS_URL", "https://idp.example.com/%zz"),
        ("DATABASE_PROXY", "socks5://proxy.example.com:99999"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example.com:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://railway.internal.example.com:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://key@collector.example.com"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("DATABASE_PROXY", "socks5://pro xy.example.com:1080"),
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
        load({**GOOD, variable: value}, AUTH)
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
        },
        AUTH,
    )
    assert settings.database_secret is None


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
        },
        AUTH,
    )
    cognito = settings.of(AuthSettings).idp["cognito"]
    assert isinstance(cognito, OpenIdSettings)
    secrets = Secrets(Aws(settings))

    async def read(secret: Secret | None) -> str:
        assert secret is not None
        return await secrets.text(secret)

    assert anyio.run(read, settings.database_secret) == '{"username": "u", "password": "p"}'
    assert anyio.run(read, settings.of(AuthSettings).session_secret) == "x" * 40
    assert anyio.run(read, cognito.client_secret) == "hunter2"
    assert "hunter2" not in repr(settings)


def test_a_secret_is_named_or_given_but_not_both() -> None:
    with pytest.raises(SettingsError, match="SESSION_SECRET and SESSION_SECRET_ID exclude each other"):
        load({**GOOD, "ENVIRONMENT": "staging", "SESSION_SECRET": "x" * 40}, AUTH)


def test_beside_another_provider_each_must_say_for_whom_it_speaks() -> None:
    second = {"IDP__OKTA__KIND": "okta", "IDP__OKTA__ISSUER": "https://o.okta.com/oauth2/default"}
    second |= {"IDP__OKTA__AUDIENCE": "api://default", "IDP__OKTA__TENANTS": "acme"}
    with pytest.raises(SettingsError, match="IDP__COGNITO__TENANTS is required in production beside other providers"):
        load({**GOOD, **second}, AUTH)
    assert load({**GOOD, **second, "IDP__COGNITO__TENANTS": "*"}, AUTH)
    assert load({**GOOD, **second, "ENVIRONMENT": "staging"}, AUTH)


def test_two_providers_may_not_share_an_issuer() -> None:
    twin = {name.replace("COGNITO", "TWIN"): value for name, value in GOOD.items() if name.startswith("IDP__")}
    with pytest.raises(SettingsError, match="IDP__TWIN__ISSUER"):
        load({**GOOD, **twin}, AUTH)


def test_every_example_is_a_value_that_passes() -> None:
    listed = list(variables(AUTH))
    secrets = {v.name.removesuffix("_ID") for v in listed if v.name.endswith("SECRET_ID")}
    of_saml = {
        f"IDP__<NAME>__{key.upper()}" for key in SamlSettings.model_fields.keys() - OpenIdSettings.model_fields.keys()
    }
    of_saml |= {"IDP__<NAME>__SP_SECRET_ID"}
    shared = {
        f"IDP__<NAME>__{key.upper()}" for key in SamlSettings.model_fields.keys() & OpenIdSettings.model_fields.keys()
    }
    outside = {*secrets, "AWS_ENDPOINT_URL", "IDP__<NAME>__METADATA_FILE"}
    environment = {}
    for v in (v for v in listed if v.name not in outside):
        if v.name not in of_saml:
            environment[v.name.replace("<NAME>", "X1")] = v.example
        if v.name in of_saml | shared or "<NAME>" not in v.name:
            environment[v.name.replace("<NAME>", "X2")] = v.example
    environment |= {"IDP__X2__KIND": "saml", "IDP__X2__ISSUER": "urn:clinic"}
    assert load(environment, AUTH).environment == "production"


@pytest.mark.parametrize(
    ("kind", "variable", "value", "whose"),
    [
        ("okta", "METADATA_URL", "https://idp.example.com/hunter2", "saml"),
        ("google", "SP_SECRET_ID", "hunter2", "saml"),
        ("google", "SP_SECRET", "hunter2", "saml"),
        ("google", "UNSOLICITED", "hunter2", "saml"),
        ("saml", "CLIENT_ID", "hunter2", "OpenID"),
        ("saml", "CLIENT_SECRET_ID", "hunter2", "OpenID"),
        ("saml", "JWKS_URL", "https://idp.example.com/hunter2", "OpenID"),
    ],
)
def test_what_is_of_the_other_protocol_is_refused_and_explained(
    kind: str, variable: str, value: str, whose: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(
            {**GOOD, "IDP__X__KIND": kind, "IDP__X__ISSUER": "https://x.example.com", f"IDP__X__{variable}": value},
            AUTH,
        )
    assert f"IDP__X__{variable} is for {whose} providers; kind is {kind}: unset it" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("kind", ["", "hunter2"])
def test_a_kind_that_is_not_known_is_the_only_thing_said_of_it(kind: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(
            {**GOOD, "IDP__X__KIND": kind, "IDP__X__ISSUER": "https://x.y", "IDP__X__METADATA_URL": "https://x.y/m"},
            AUTH,
        )
    told = str(refused.value)
    assert "IDP__X__KIND" in told
    assert "METADATA_URL" not in told
    assert "hunter2" not in told
    assert not kind or "google, oidc, saml (example" in told


@pytest.mark.parametrize("login", ["", ":word@", "@"])
def test_who_logs_in_is_named_by_a_secret_or_by_the_address(login: str) -> None:
    url = {"ENVIRONMENT": "development", "DATABASE_URL": f"postgresql://{login}db.example.com/d?sslmode=disable"}
    assert load({**GOOD, **url}, AUTH).database_secret
    with pytest.raises(SettingsError, match="DATABASE_URL must name the user"):
        load({**GOOD, **url, "DATABASE_SECRET_ID": ""}, AUTH)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://u:hun\u2100ter2@db.example.com/app?sslmode=disable"),  # urlsplit quotes it: NFKC
        ("DATABASE_URL", "postgresql://u:hunter2/t@db.example.com:5432/app?sslmode=disable"),
        ("DATABASE_URL", "postgresql://u:p@db.example.com:hunter2/app?sslmode=disable"),
        ("DATABASE_URL", "postgresql://u:p@db.example.com:99999/hunter2?sslmode=disable"),
        ("DATABASE_URL", "postgresql://u:[hunter2@db.example.com/app?sslmode=disable"),
        ("PUBLIC_URL", "https://hunter\u21002.example.com"),
        ("ALLOWED_ORIGINS", "https://app.example.com:hunter2"),
        ("DATABASE_PROXY", "socks5://host:hunter2"),
        ("DATABASE_POOL_SIZE", "hunter2"),
        ("ENVIRONMENT", "hunter2"),
        ("IDP__COGNITO__TENANT_CLAIM", '["hunter2"'),
        ("IDP__COGNITO__USERINFO", "hunter2"),
    ],
)
def test_no_library_tells_a_part_of_a_value(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({**GOOD, variable: value}, AUTH)
    assert f"\n  {variable} " in str(refused.value)
    assert not re.search("hun.?ter|99999", str(refused.value))


class NotesSettings(BaseModel):
    """Settings as a feature brings them."""

    kept_days: int = Field(default=30, ge=1, description="Days until a note is deleted.", examples=["90"])
    search_url: Url = Field(description="Where notes are indexed.", examples=["https://search.example.com"])
    search_key: Secret = Field(description="Secrets Manager entry with its key.", examples=["signalbox/search-key"])
    color: Annotated[str, AfterValidator(int)] | None = Field(default=None, description="A color.", examples=["7"])


NOTES = {"notes": NotesSettings}
GOOD_NOTES = {"NOTES__SEARCH_URL": "https://search.example.com", "NOTES__SEARCH_KEY_ID": "search-key"}


def test_the_settings_of_a_feature_are_read_with_the_rest() -> None:
    settings = load({**GOOD, **GOOD_NOTES, "OTHERS__X": "ignored"}, NOTES)
    assert settings.of(NotesSettings).kept_days == 30
    assert settings.of(NotesSettings).search_key == Secret("search-key")
    with pytest.raises(LookupError, match="OpenIdSettings"):
        settings.of(OpenIdSettings)
    by_value = {**GOOD, **GOOD_NOTES, "NOTES__SEARCH_KEY_ID": "", "NOTES__SEARCH_KEY": "hunter2"}
    given = load({**by_value, "ENVIRONMENT": "staging"}, NOTES)
    assert anyio.run(Secrets(Aws(given)).text, given.of(NotesSettings).search_key) == "hunter2"
    with pytest.raises(SettingsError, match="NOTES__SEARCH_KEY must not hold a secret in production"):
        load(by_value, NOTES)


def test_what_is_wrong_with_a_feature_is_in_the_same_message() -> None:
    with pytest.raises(SettingsError) as refused:
        load({**GOOD, "PORT": "x", "NOTES__KEPT_DAYS": "0", "NOTES__TYPO": "hunter2", "NOTES__COLOR": "hunter2"}, NOTES)
    told = [line.strip().split(" ")[0] for line in str(refused.value).splitlines()[1:-1]]
    assert told[0] == "PORT"
    assert sorted(told[1:]) == [f"NOTES__{x}" for x in ("COLOR", "KEPT_DAYS", "SEARCH_KEY_ID", "SEARCH_URL", "TYPO")]
    assert "hunter2" not in str(refused.value)  # int() quotes what it cannot read


def test_the_settings_of_a_feature_are_listed_like_the_rest() -> None:
    listed = [v for v in variables(NOTES) if v.name.startswith("NOTES__")]
    assert [(v.name, v.required, v.default) for v in listed] == [
        ("NOTES__KEPT_DAYS", False, "30"),
        ("NOTES__SEARCH_URL", True, None),
        ("NOTES__SEARCH_KEY_ID", True, None),
        ("NOTES__SEARCH_KEY", False, None),
        ("NOTES__COLOR", False, None),
    ]
    assert all(v.description and v.example for v in listed)


def test_a_group_that_cannot_be_told_apart_or_explained_does_not_start() -> None:
    class Silent(BaseModel):
        key: str = "x"

    refused: tuple[Groups, ...] = (
        {**AUTH, "idp": NotesSettings},
        {"a__b": NotesSettings},
        {"Notes": NotesSettings},
        {"notes": Silent},
        {"store": StoreSettings, "place": NotesSettings},
        {"store": StoreSettings, "shop": StoreSettings},
    )
    for groups in refused:
        with pytest.raises(TypeError):
            load({**GOOD, **GOOD_NOTES}, groups)


class Shelf(BaseModel):
    """One of several."""

    model_config = ConfigDict(extra="forbid", title="shelves")

    kind: Literal["wood", "steel"] = Field(description="Which.", examples=["wood"])
    key: Secret | None = Field(default=None, description="Its key.", examples=["x"])


class Box(BaseModel):
    """Another kind of them."""

    model_config = ConfigDict(extra="forbid", title="boxes")

    kind: Literal["box"] = Field(description="Which.", examples=["box"])
    lid: int = Field(ge=1, description="Its lids.", examples=["1"])


class StoreSettings(Group):
    """With several groups that an operator names, single variables and a rule."""

    PREFIX: ClassVar = ""

    store_floor: int = Field(default=1, description="Which floor.", examples=["1"])
    place: dict[str, Shelf | Box] = Field(max_length=2, description="Places.", examples=[{}])

    def unsafe(self, settings: Settings) -> Iterator[str]:
        if settings.environment == "production" and len(self.place) > self.store_floor:
            yield "STORE_FLOOR must be as high as there are places in production"


STORE: Groups = {"store": StoreSettings}
PLACES = {
    "PLACE__OLD_OAK__KIND": "wood",
    "PLACE__OLD_OAK__KEY_ID": "oak",
    "PLACE__B__KIND": "box",
    "PLACE__B__LID": "2",
}


def test_any_feature_may_have_groups_that_an_operator_names_and_rules_of_its_own() -> None:
    core = {name: value for name, value in GOOD.items() if not name.startswith(("IDP__", "SESSION_"))}
    assert load(core).groups == {}, "the core needs no provider"
    found = load({**core, **PLACES, "STORE_FLOOR": "2"}, STORE).of(StoreSettings).place
    assert found == {"old_oak": Shelf(kind="wood", key=Secret("oak")), "b": Box(kind="box", lid=2)}
    names = [f"PLACE__<NAME>__{key}" for key in ("KIND", "KEY_ID", "KEY", "LID")]
    assert [v.name for v in variables(STORE) if "STORE" in v.name or "<" in v.name] == ["STORE_FLOOR", *names]
    assert claimed(STORE).match("PLACE__X__TYPO")
    assert not claimed(STORE).match("DATABASE_URL")
    for more, told in (
        ({}, "STORE_FLOOR must be as high"),
        ({"PLACE__B__KEY_ID": "x"}, "PLACE__B__KEY_ID is for shelves; kind is box: unset it"),
        ({"PLACE__B__TYPO": "x"}, "PLACE__B__TYPO is not a variable of this service"),
        ({"PLACE__B__LID": "0"}, "PLACE__B__LID Input should be greater than or equal to 1"),
        ({"PLACE__B__KIND": "hunter2"}, r"PLACE__B__KIND must be one of wood, steel, box \(example: wood\)"),
        ({"PLACE__C__KIND": "steel"}, r"PLACE__<NAME>__KIND is required, for at most 2 names"),
        ({"PLACE__OLD_OAK__KEY": "hunter2"}, "PLACE__OLD_OAK__KEY must not hold a secret in production"),
    ):
        with pytest.raises(SettingsError, match=told) as refused:
            load({**core, **PLACES, **more}, STORE)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "secret_address",
    [
        "u:S3cr/et@db.example.com:5432/app",
        "u:12/S3cr@db.example.com:5432/app",
        "u:12?S3cr@db.example.com:5432/app",
        "u:12#S3cr@db.example.com:5432/app",
        "u:S3cr@et@db.example.com:5432/app",
        "u:S3cr%zz@db.example.com:5432/app",
        "u:S3cr%00@db.example.com:5432/app",
        "u:S3cr%ff@db.example.com:5432/app",
        "u:S3cr et@db.example.com:5432/app",
        "u:S3cr\net@db.example.com:5432/app",
        "u:S3cr[@db.example.com:5432/app",
        "u:S3cr@db.example.com:${PGPORT}/app",
        "u:S3cr@db.example.com:99999/app",
        "u:S3cr@db.example.com:0/app",
        "u:S3cr@db.example.com:/app",
        "u:S3cr@h1:5432,h2:5432/app",
        "u:S3cr@h1,h2/app",
        "u:S3cr@/app",
        "u:S3cr@db.example.com",
        "u:S3cr@db.example.com/app/S3cr",
        "u:S3cr@%2Fvar%2Frun/app",
    ],
)
def test_an_address_that_its_user_would_read_otherwise_is_refused_with_how_to_write_it(secret_address: str) -> None:
    environment = {**HERE, "DATABASE_URL": f"postgresql://{secret_address}?sslmode=disable"}
    with pytest.raises(SettingsError) as failure:
        load(environment, AUTH)
    (line,) = [line for line in str(failure.value).splitlines() if line.startswith("  ")]
    assert line.startswith("  DATABASE_URL must ")
    assert "S3cr" not in str(failure.value)


@pytest.mark.parametrize(
    "options", ["", "?sslmode=disable&sslmode=verify-full", "?sslmode=verify-full&x=", "?sslmode="]
)
def test_tls_is_never_off_by_how_an_address_is_read(options: str) -> None:
    with pytest.raises(SettingsError, match="takes one option, once"):
        load({**HERE, "DATABASE_URL": f"postgresql://u@db.example.com/app{options}"}, AUTH)


def test_a_password_of_any_characters_can_be_written() -> None:
    address = "postgresql://u%40x:a%2Fb%40c%3Ad%3F%23%25%5B!$&()*+,;=~@[::1]:5432/the-app?sslmode=disable"
    assert load({**HERE, "DATABASE_URL": address}, AUTH)


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
