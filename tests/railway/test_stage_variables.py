"""What a stage says of the service's environment: judged where it is written, and the same in every rendering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from infra.environment.build import EnvironmentRefused, build
from infra.environment.table import Inputs, Local
from infra.railway import renderings
from infra.railway.project import Project, region
from infra.railway.sealed import RECORD
from infra.railway.sources import sealed_needed, sealed_values, stage_project
from infra.shell.failure import Failure
from infra.stage.chosen import stage
from infra.stage.names import StageNames
from infra.stage.record import REGIONS, ConfigurationError, Stage
from infra.stage.variables import SEALED, SEALED_PREFIX
from service import product, settings
from service.auth.settings import AuthSettings
from service.feature import Feature, settings_of
from service.settings import Secret
from tests.railway.test_code import checkout, graph
from tests.support.api.environments import AUTH
from tests.support.api.server import ROOT
from tests.support.cloud.given import API_GIVEN, GIVEN, OUTPUT_VALUES


class SearchSettings(BaseModel):
    """Settings of a feature."""

    model_config = ConfigDict(extra="forbid")

    pages: int = Field(default=10, ge=1, le=50, description="Pages of an answer.", examples=["20"])
    key_secret: Secret | None = Field(default=None, description="Its key.", examples=["signalbox/x/search-key"])
    pepper: SecretStr | None = Field(default=None, description="Its pepper.", examples=["an-example"])


@pytest.fixture(autouse=True)
def feature(monkeypatch: pytest.MonkeyPatch) -> None:
    features = (*product.FEATURES, Feature(name="search", settings=SearchSettings))
    monkeypatch.setattr(product, "FEATURES", features)


OKTA = {
    "IDP__OKTA__KIND": "okta",
    "IDP__OKTA__ISSUER": "https://acme.okta.com/oauth2/default",
    "IDP__OKTA__AUDIENCE": "https://api.example.com",
    "IDP__OKTA__CLIENT_ID": "0oa1",
    "IDP__OKTA__TENANTS": "acme",
}
AUTH0 = {
    "IDP__AUTH0__KIND": "auth0",
    "IDP__AUTH0__ISSUER": "https://acme.eu.auth0.com/",
    "IDP__AUTH0__AUDIENCE": "https://api.example.com",
    "IDP__AUTH0__CLIENT_ID": "abc",
    "IDP__AUTH0__TENANTS": "globex",
}
ENTRA = {
    "IDP__ENTRA__KIND": "entra",
    "IDP__ENTRA__ISSUER": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
    "IDP__ENTRA__CLIENT_ID": "6731de76-14a6-49ae-97bc-6eba6914391e",
    "IDP__ENTRA__TENANTS": "72f988bf-86f1-41af-91ab-2d7cd011db47=initech",
}
SAML = {
    "IDP__CLINIC__KIND": "saml",
    "IDP__CLINIC__ISSUER": "http://www.okta.com/exk1",
    "IDP__CLINIC__METADATA_URL": "https://idp.clinic.example/metadata",
    "IDP__CLINIC__SP_SECRET_ID": "{prefix}/idp-clinic-sp",
    "IDP__CLINIC__TENANTS": "clinic",
}
CHOSEN = {
    "IDP__COGNITO__TENANTS": "*",
    "LOG_LEVEL": "WARNING",
    "DATABASE_POOL_SIZE": "5",
    "SEARCH__PAGES": "20",
    **OKTA,
    **AUTH0,
    **ENTRA,
    **SAML,
}


def saying(variables: dict[str, Any], name: str = "production", **more: Any) -> Stage:
    prefix = StageNames(name).path
    told = {k: v.replace("{prefix}", prefix) if isinstance(v, str) else v for k, v in variables.items()}
    return stage(
        name,
        variables=told,
        provider_secrets=("idp-clinic-sp",),
        region="us-east-1",
        public_url="https://api.example.com",
        allowed_origins=("https://app.example.com",),
        **more,
    )


def project(target: Stage, given: dict[str, str] | None = None) -> Project:
    return stage_project(ROOT, target, OUTPUT_VALUES, given or {}, "example/signalbox", "main")


def test_what_a_stage_says_is_in_every_rendering(tmp_path: Path) -> None:
    target = saying(CHOSEN)
    made = project(target)
    assert all(v.description for v in made.services[0].variables)
    said = dict(target.variables)
    dotenv = renderings.printable(made, "dotenv")
    assert all(f"{name}=" in dotenv for name in said)
    assert json.loads(renderings.printable(made, "json")).items() >= said.items()
    patched = json.loads(renderings.printable(made, "patch"))["services"]["api"]["variables"]
    template = json.loads(renderings.printable(made, "template"))
    assert {name: patched[name]["value"] for name in said} == said
    assert {name: template[name]["defaultValue"] for name in said} == said
    path = checkout(tmp_path)
    (path.parent / "environments" / "production.json").write_text(renderings.printable(made, "sdk"))
    declared = graph(path, "production")["resources"][0]["variables"]
    assert {name: declared[name] for name in said} == {n: {"type": "literal", "value": v} for n, v in said.items()}
    assert set(declared) == {v.name for v in made.services[0].variables} | {RECORD}


def test_the_service_starts_from_it_with_every_provider() -> None:
    found = {v.name: v.value for v in project(saying(CHOSEN)).services[0].variables if v.value is not None}
    sealed = {n: v for n, v in GIVEN.items() if n.startswith("ROLES_ANYWHERE")}
    read = settings.load({**found, **sealed}, settings_of(product.FEATURES))
    assert set(read.of(AuthSettings).idp) == {"cognito", "okta", "auth0", "entra", "clinic"}
    assert (read.log_level, read.database_pool_size, read.of(SearchSettings).pages) == ("WARNING", 5, 20)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LOG_LEVL": "INFO"}, r"LOG_LEVL is not a variable of this service \(LOG_LEVEL\?\)"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be one of DEBUG"),
        ({"LOG_LEVEL": ""}, "LOG_LEVEL is empty"),
        ({"DATABASE_POOL_SIZE": "200"}, "DATABASE_POOL_SIZE Input should be less than or equal to 20"),
        ({"SEARCH__PAGES": "many"}, "SEARCH__PAGES Input should be a valid integer"),
        ({"SEARCH__PAGE": "20"}, "SEARCH__PAGE is not a variable"),
        ({"SEARCH__PAGES": 20}, "should be a valid string"),
        ({k: v for k, v in OKTA.items() if k != "IDP__OKTA__ISSUER"}, "IDP__OKTA__ISSUER is required"),
        (OKTA, "IDP__COGNITO__TENANTS is required in production beside other providers"),
        ({**SAML, "IDP__CLINIC__USERINFO": "true"}, "IDP__CLINIC__USERINFO is for OpenID providers"),
        ({**SAML, "IDP__CLINIC__SP_SECRET_ID": "elsewhere/key"}, "a secret that the service may not read"),
        ({"SEARCH__KEY_SECRET_ID": "{prefix}/search-key"}, "a secret that the service may not read"),
        ({"SEARCH__PEPPER": "hunter2hunter2"}, f"write SEALED.*{SEALED_PREFIX}SEARCH__PEPPER"),
        ({"SEARCH__KEY_SECRET": "hunter2hunter2"}, "write SEALED"),
        ({"SEARCH__KEY_SECRET": SEALED}, "SEARCH__KEY_SECRET must not hold a secret in production"),
        ({"LOG_LEVEL": SEALED}, "LOG_LEVEL must not be SEALED: it holds no secret"),
    ],
)
def test_what_the_service_would_refuse_is_refused_where_it_is_written(variables: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as refused:
        saying(variables)
    assert "hunter2" not in str(refused.value)


def test_what_a_feature_cannot_do_without_is_asked_for_in_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    class Needed(BaseModel):
        """Settings of another feature."""

        url: str = Field(description="Where.", examples=["https://search.example.com"])

    monkeypatch.setattr(product, "FEATURES", (*product.FEATURES, Feature(name="index", settings=Needed)))
    with pytest.raises(ConfigurationError, match=r"variables: INDEX__URL is required"):
        saying({})
    saying({"INDEX__URL": "https://search.example.com"})


@pytest.mark.parametrize(
    "name", ["ENVIRONMENT", "AWS_REGION", "IDP__COGNITO__ISSUER", "RUN_MIGRATIONS", "SESSION_SECRET_ID"]
)
def test_what_follows_from_the_record_or_the_stacks_is_not_said_twice(name: str) -> None:
    known = {v.name.replace("<NAME>", "COGNITO"): v for v in settings.variables(AUTH)}
    said = {"ENVIRONMENT": "development", "SESSION_SECRET_ID": "arn:aws:x"}.get(name, known[name].example)
    with pytest.raises(EnvironmentRefused, match=f"{name} is made from something else"):
        project(saying({name: said}, "development"))


def test_a_secret_by_value_is_sealed_and_its_value_is_in_no_file() -> None:
    target = saying({"SEARCH__KEY_SECRET": SEALED}, "development")
    assert "SEARCH__KEY_SECRET" in sealed_needed(target)
    environ = {SEALED_PREFIX + name: value for name, value in GIVEN.items()}
    given = sealed_values({**environ, f"{SEALED_PREFIX}SEARCH__KEY_SECRET": "hunter2hunter2"}, Path("/nowhere"))
    variable = {v.name: v for v in project(target, given).services[0].variables}["SEARCH__KEY_SECRET"]
    assert variable.sealed
    assert variable.value is None
    assert variable.secret == SecretStr("hunter2hunter2")
    without = project(target)
    assert "hunter2" not in "".join(renderings.printable(without, form) for form in renderings.FORMS)
    assert "# SEARCH__KEY_SECRET: sealed" in renderings.printable(without, "dotenv")


def test_a_sealed_value_that_the_stage_does_not_ask_for_is_refused_by_name() -> None:
    given = {**GIVEN, "SEARCH__KEY_SECRETS": "hunter2hunter2"}
    with pytest.raises(Failure, match=f"{SEALED_PREFIX}SEARCH__KEY_SECRETS is given, and stage development") as told:
        project(saying({}, "development"), given)
    assert "hunter2" not in str(told.value)


def test_this_machine_gets_what_stage_local_says() -> None:
    target = stage("local", variables={"LOG_LEVEL": "DEBUG", "SEARCH__KEY_SECRET": "a-key-for-this-machine"})
    found = build(Inputs(target, OUTPUT_VALUES, Local("http://127.0.0.1:4566", 8000), given=API_GIVEN))
    assert {"LOG_LEVEL": "DEBUG", "SEARCH__KEY_SECRET": "a-key-for-this-machine"}.items() <= {
        v.name: v.value for v in found
    }.items()
    with pytest.raises(ConfigurationError, match="stage local seals nothing"):
        stage("local", variables={"SEARCH__KEY_SECRET": SEALED})


@pytest.mark.parametrize("aws", REGIONS)
def test_a_region_that_railway_lacks_is_the_adopters_to_choose(aws: str) -> None:
    target = stage("production", region=aws)
    near = aws.startswith(("us-", "eu-")) or aws == "ap-southeast-1"
    if near:
        region(target)
    else:
        with pytest.raises(Failure, match=f"no region near {aws}.*railway_region"):
            region(target)
    assert region(stage("production", region=aws, railway_region="us-west2")) == "us-west2"


def test_replicas_are_what_the_stage_says() -> None:
    deploy = project(saying({}, replicas=3)).services[0].deploy
    assert deploy["multiRegionConfig"] == {"us-east4-eqdc4a": {"numReplicas": 3}}
    assert stage("production").replicas == 2
    assert stage("staging").replicas == 1
