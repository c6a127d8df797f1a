"""One table says where every variable comes from; what it renders is held by files, and no secret is ever in it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel, Field, SecretStr

from infra.docs import tables
from infra.environment.build import EnvironmentRefused, Variable, build, values
from infra.environment.guard import refuse_printed_secrets
from infra.environment.table import TABLE, UNSET, Inputs, Local
from infra.railway import renderings, trial
from infra.shell.failure import Failure
from infra.stage.chosen import stage
from infra.stage.names import PRODUCT, StageNames
from service import settings
from service.settings import Secret
from tests.support.api.environments import AUTH
from tests.support.api.server import ROOT
from tests.support.cloud.given import API_GIVEN, GIVEN, OUTPUT_VALUES, SEALED, a_project, outputs_document

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = ROOT / "infra" / "railway" / "schema"
STAGES = ("development", "staging", "production")


def rendered(name: str, form: str) -> str:
    return renderings.printable(a_project(name, secret=None), form)


def as_the_template_calls_it(text: str) -> str:
    """A product may have any name; the files have the template's."""
    names = StageNames("production")
    changed = {
        PRODUCT.app_role: "signalbox_app",
        names.whole: "signalbox-production",
        names.node_tag: "tag:signalbox-api-production",
    }
    for ours, theirs in changed.items():
        text = text.replace(ours, theirs)
    return text


@pytest.mark.parametrize("form", list(renderings.FORMS))
def test_a_rendering_is_as_its_golden_file_has_it(form: str) -> None:
    """To accept a change: GOLDEN=write uv run pytest tests/railway/test_environment.py"""
    path, text = GOLDEN / f"production.{form}", as_the_template_calls_it(rendered("production", form))
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_the_one_click_template_is_as_its_golden_file_has_it() -> None:
    text = as_the_template_calls_it(trial.serialized(trial.trial_project(ROOT, "example/signalbox")))
    path = GOLDEN / "trial.template"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_every_setting_has_a_row_and_whoever_must_be_set_a_source() -> None:
    assert [row.name for row in TABLE] == [variable.name for variable in settings.variables(AUTH)]
    required = {variable.name for variable in settings.variables(AUTH) if variable.required}
    assert [row.name for row in TABLE if row.name in required and UNSET in (row.stage, row.trial)] == []
    assert all(v.description for name in STAGES for v in a_project(name).services[0].variables)


@pytest.mark.parametrize("name", STAGES)
def test_the_service_accepts_what_is_rendered_for_a_stage(name: str) -> None:
    project = a_project(name, secret=None)
    given = {v.name: GIVEN[v.name] for v in project.services[0].variables if v.sealed and v.name in GIVEN}
    assert settings.load({**given, **json.loads(rendered(name, "json"))}, AUTH).environment == name


@pytest.mark.parametrize("name", STAGES)
def test_dotenv_and_json_say_the_same(name: str) -> None:
    lines = [line for line in rendered(name, "dotenv").splitlines() if not line.startswith("#")]
    parsed = dict(shlex.split(line)[0].split("=", 1) for line in lines)
    assert parsed == json.loads(rendered(name, "json"))


def test_a_patch_is_what_railways_schema_allows() -> None:
    schema = json.loads((SCHEMAS / "railway-iac-Env.schema.json").read_text())
    patch = renderings.patch(a_project("production"))
    assert list(Draft7Validator(schema).iter_errors(patch)) == []
    entry = patch["services"]["api"]["variables"]["TEST_KEY"]
    assert (entry["value"], entry["isSealed"]) == (SEALED, True)


@pytest.mark.parametrize("form", list(renderings.FORMS))
def test_no_rendering_for_eyes_holds_a_sealed_value(form: str) -> None:
    with pytest.raises(renderings.WouldPrintSecret, match="is sealed") as refused:
        renderings.printable(a_project("production"), form)
    assert SEALED not in str(refused.value)
    assert "TEST_KEY" in rendered("production", form) or form in ("json", "patch", "template")
    assert SEALED not in repr(a_project("production"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://app:hunter2hunter2@db.example.com/d?sslmode=verify-full"),
        ("SOME_SECRET", "hunter2hunter2"),
        ("TS_AUTHKEY", "hunter2hunter2"),
        ("ANYTHING", "-----BEGIN PRIVATE KEY-----"),
        ("ANYTHING", "AKIAIOSFODNN7EXAMPLE"),
        ("ANYTHING", f"prefix-{SEALED}"),
    ],
)
def test_a_secret_among_the_plain_values_stops_the_rendering(name: str, value: str) -> None:
    plain = Variable(name, "", "", False, value=value)
    sealed = Variable("TEST_KEY", "", "", False, True, secret=SecretStr(SEALED))
    with pytest.raises(EnvironmentRefused, match=name) as refused:
        refuse_printed_secrets([plain, sealed], EnvironmentRefused)
    assert value not in str(refused.value)
    assert SEALED not in str(refused.value)


def test_a_missing_output_is_named_with_the_variable_that_needs_it() -> None:
    less = {key: value for key, value in OUTPUT_VALUES.items() if key != "DataKeyArn"}
    with pytest.raises(EnvironmentRefused, match=r"KMS_KEY_ID needs the stack output DataKeyArn.*signalbox stacks"):
        build(Inputs(stage("staging"), less))


def test_a_variable_that_is_not_asked_for_is_refused() -> None:
    with pytest.raises(EnvironmentRefused, match="stage staging seals no DATABASE_URL"):
        build(Inputs(stage("staging"), OUTPUT_VALUES, given={**API_GIVEN, "DATABASE_URL": "postgresql://x/y"}))


def test_an_environment_that_the_service_would_refuse_is_not_rendered() -> None:
    wrong = {**OUTPUT_VALUES, "UserPoolIssuer": "http://idp.example.com"}
    with pytest.raises(EnvironmentRefused, match=r"Stage production: .*fit to start"):
        build(Inputs(stage("production"), wrong, given=API_GIVEN))


def test_a_laptop_gets_its_environment_from_the_same_table() -> None:
    local = Local("http://127.0.0.1:4566", 8000)
    found = values(build(Inputs(stage("local"), OUTPUT_VALUES, local, given=API_GIVEN)))
    assert found["AWS_ENDPOINT_URL"] == local.aws_url
    assert found["PORT"] == "8000"
    assert set(json.loads(rendered("development", "json"))) - set(found) == {"DATABASE_CA_FILE", "DATABASE_PROXY"}


def test_what_is_sealed_on_railway_is_no_process_environment() -> None:
    variables = a_project(secret=None).services[0].variables
    with pytest.raises(EnvironmentRefused, match="is sealed on Railway"):
        values(tuple(replace(v, value=v.value or "x") if not v.sealed else v for v in variables))


def run(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.cloud.command", "infra.cli.main", "env", *options]
    environment = {**os.environ, "SIGNALBOX_STATE": str(folder)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_command_prints_what_the_outputs_of_a_stage_make(tmp_path: Path) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(outputs_document("staging", BucketName="another-bucket")))
    done = run("--stage", "staging", "--format", "json", "--outputs", str(file), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["S3_BUCKET_NAME"] == "another-bucket"


def test_the_command_says_how_to_get_what_is_missing(tmp_path: Path) -> None:
    done = run("--stage", "production", folder=tmp_path)
    assert done.returncode == 1
    assert "uv run signalbox stacks production" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_no_environment_can_have_is_refused() -> None:
    project = a_project(secret=None)
    odd = Variable("NOT-A-NAME", "", "", False, value="x")
    with pytest.raises(Failure, match="NOT-A-NAME"):
        renderings.printable(replace(project, services=(replace(project.services[0], variables=(odd,)),)), "dotenv")


class SearchSettings(BaseModel):
    """Settings of a feature."""

    pages: int = Field(default=10, description="Pages of an answer.", examples=["20"])
    key: Secret | None = Field(default=None, description="Secrets Manager entry with its key.", examples=["s/key"])


def test_the_settings_of_a_feature_are_in_documents_and_their_defaults_hold() -> None:
    groups: settings.Groups = {**AUTH, "search": SearchSettings}
    example = tables.env_example(groups)
    assert "# Pages of an answer. (default: 10)\n# SEARCH__PAGES=20\n" in example
    assert "# SEARCH__KEY_ID=s/key\n" in example
    assert "# SEARCH__KEY=" in example
    row = "| `SEARCH__PAGES` | Pages of an answer. | `10` | not set: the default holds |"
    assert row in tables.variables(groups)
    with_it = build(Inputs(stage("staging"), OUTPUT_VALUES, given=API_GIVEN), groups)
    assert with_it == build(Inputs(stage("staging"), OUTPUT_VALUES, given=API_GIVEN))
