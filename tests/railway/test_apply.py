"""plan shows and changes nothing; apply can be run again after any failure, and touches only what is ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.environment.build import Variable
from infra.railway.api import Client, OutcomeUnknownError, Token
from infra.railway.apply import apply
from infra.railway.ledger import Ledger
from infra.railway.operations import Railway
from infra.railway.plan import Plan, PlanError, choose_workspace, locate, plan
from infra.railway.project import Project
from infra.shell.failure import Failure
from infra.stage.names import StageNames
from tests.support.cloud.given import SEALED, a_project
from tests.support.cloud.railway import PROJECT_TOKEN, FakeRailway

NAME = StageNames("development").whole


def planned(railway: Railway, project: Project, ledger: Ledger | None = None) -> Plan:
    return plan(railway, project, locate(railway, project, project_token=False), ledger or Ledger())


def variable(project: Project, name: str) -> Variable:
    return next(v for v in project.services[0].variables if v.name == name)


def with_variables(project: Project, *variables: Variable) -> Project:
    named = {v.name for v in variables}
    api = project.services[0]
    kept = [v for v in api.variables if v.name not in named]
    return replace(project, services=(replace(api, variables=(*kept, *variables)), *project.services[1:]))


def test_a_plan_shows_everything_masks_secrets_and_changes_nothing(fake: FakeRailway, railway: Railway) -> None:
    text = str(planned(railway, a_project()))
    assert f"+ project {NAME}" in text
    assert '+ api: variable AWS_REGION = "us-east-1"' in text
    assert "+ api: sealed TEST_KEY = (sealed)" in text
    assert '+ api: setting deploy.healthcheckPath = "/api/v1/health/ready"' in text
    assert SEALED not in text
    assert not fake.mutations
    assert not fake.projects


def test_from_nothing_everything_is_there_and_nothing_was_deployed_on_the_way(
    fake: FakeRailway, railway: Railway
) -> None:
    project = a_project()
    apply(railway, project, Ledger())
    api = fake.service(NAME)
    assert {n: v.value for n, v in api.variables.items()} == {
        v.name: v.value if v.secret is None else v.secret.get_secret_value() for v in project.services[0].variables
    }
    sealed = {v.name for v in project.services[0].variables if v.sealed}
    assert {n for n, v in api.variables.items() if v.sealed} == sealed
    assert sealed >= {"TEST_KEY", "AWS_SECRET_ACCESS_KEY"}
    assert api.config["source"] == {"repo": "example/signalbox", "branch": "main"}
    assert api.config["build"]["builder"] == "DOCKERFILE"
    assert api.deployments == []


def test_the_tunnel_of_a_private_database_comes_with_its_sealed_key(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project("production"), Ledger())
    found = fake.service(StageNames("production").whole, "tailscale")
    assert found.config["source"]["image"].startswith("tailscale/tailscale:v")
    assert [name for name, v in found.variables.items() if v.sealed] == ["TS_AUTHKEY"]
    proxy = fake.service(StageNames("production").whole).variables["DATABASE_PROXY"].value
    port = found.variables["TS_SOCKS5_SERVER"].value.rpartition(":")[2]
    assert proxy == f"socks5://tailscale.railway.internal:{port}"


def test_a_second_run_changes_nothing(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    before = fake.mutations.copy()
    apply(railway, a_project(), ledger)
    assert fake.mutations == before
    assert planned(railway, a_project(), ledger).changes == ()
    assert "nothing to change" in str(planned(railway, a_project(), ledger))


def test_one_changed_output_changes_one_variable(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    stamps = {name: v.updated for name, v in fake.service(NAME).variables.items()}
    changed = a_project(BucketName="another-bucket")
    assert [str(c) for c in planned(railway, changed, ledger).changes] == [
        '  ~ api: variable S3_BUCKET_NAME: "signalbox-documents-example" -> "another-bucket"'
    ]
    apply(railway, changed, ledger)
    after = fake.service(NAME).variables
    assert [name for name, v in after.items() if stamps[name] != v.updated] == ["S3_BUCKET_NAME"]
    assert after["S3_BUCKET_NAME"].value == "another-bucket"


def test_a_changed_secret_is_sealed_again_and_the_same_one_is_not(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    apply(railway, a_project(), ledger)
    assert fake.mutations["environmentPatchCommit"] == 1
    changes = planned(railway, a_project(secret="another-sealed-value"), ledger).changes
    assert [str(c) for c in changes] == ["  ~ api: sealed TEST_KEY: (sealed) -> (sealed)"]
    apply(railway, a_project(secret="another-sealed-value"), ledger)
    assert fake.mutations["environmentPatchCommit"] == 2
    assert fake.service(NAME).variables["TEST_KEY"].value == "another-sealed-value"


def test_a_sealed_value_that_is_not_given_stays(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project(), Ledger())
    before = fake.mutations.copy()
    apply(railway, a_project(secret=None), Ledger())
    assert fake.mutations == before
    assert fake.service(NAME).variables["TEST_KEY"].value == SEALED


def test_a_sealed_value_that_nobody_has_is_asked_for_before_anything_is_created(
    fake: FakeRailway, railway: Railway
) -> None:
    with pytest.raises(PlanError, match="set SIGNALBOX_SEALED_AWS_ACCESS_KEY_ID in the environment of this command"):
        apply(railway, a_project(secret=None), Ledger())
    assert not fake.projects


def test_what_others_have_set_is_left_alone_and_named(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    fake.set_by_hand(NAME, "FEATURE_FLAG", "on")
    fake.set_by_hand(NAME, "THEIR_KEY", "their-sealed-value", sealed=True)
    place = locate(railway, a_project(), project_token=False)
    assert "left alone: api.FEATURE_FLAG, api.THEIR_KEY" in str(plan(railway, a_project(), place, ledger))
    apply(railway, a_project(BucketName="another-bucket", secret="another-sealed-value"), ledger)
    found = fake.service(NAME).variables
    assert (found["FEATURE_FLAG"].value, found["THEIR_KEY"].value) == ("on", "their-sealed-value")


def test_a_setting_that_somebody_changed_is_put_back_and_others_stay(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    fake.service(NAME).config["deploy"] |= {"healthcheckPath": "/", "startCommand": "theirs"}
    changes = [str(c) for c in planned(railway, a_project(), ledger).changes]
    assert changes == ['  ~ api: setting deploy.healthcheckPath: "/" -> "/api/v1/health/ready"']
    apply(railway, a_project(), ledger)
    assert fake.service(NAME).config["deploy"]["healthcheckPath"] == "/api/v1/health/ready"
    assert fake.service(NAME).config["deploy"]["startCommand"] == "theirs"


def test_a_region_that_the_stage_has_left_runs_nothing_any_more(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    first = dict(fake.service(NAME).config)
    api = a_project().services[0]
    moved = replace(api, deploy={**api.deploy, "multiRegionConfig": {"europe-west4-drams3a": {"numReplicas": 1}}})
    there = replace(a_project(), services=(moved, *a_project().services[1:]))
    assert "us-east4-eqdc4a" in str(planned(railway, there, ledger)).rpartition("->")[2]
    apply(railway, there, ledger)
    assert fake.service(NAME).config["deploy"] == moved.deploy
    assert planned(railway, there, ledger).changes == ()
    apply(railway, a_project(), ledger)
    assert fake.service(NAME).config == first


def test_a_service_that_railway_does_not_show_yet_is_said(fake: FakeRailway, railway: Railway) -> None:
    fake.hidden = {"api"}
    with pytest.raises(Failure, match=r"does not show all of project .* yet: run the same command again"):
        apply(railway, a_project(), Ledger())
    fake.hidden = set()
    apply(railway, a_project(), Ledger())
    fake.service(NAME)  # asserts that there is one


def test_what_a_person_had_set_in_plain_is_not_shown_when_it_looks_secret(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    fake.set_by_hand(NAME, "DATABASE_URL", "postgresql://app:hunter2hunter2@db.example.com/d")
    text = str(planned(railway, a_project(), ledger))
    assert "DATABASE_URL: (hidden) ->" in text
    assert "hunter2" not in text


def test_a_seal_is_not_broken(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    fake.set_by_hand(NAME, "AWS_REGION", "us-east-1", sealed=True)
    with pytest.raises(PlanError, match=r"AWS_REGION .* a seal cannot be broken"):
        apply(railway, a_project(), ledger)


OPERATIONS = (
    "tokenWorkspaces",
    "projects",
    "projectCreate",
    "project",
    "serviceCreate",
    "environment",
    "values",
    "upsert",
    "patch",
)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["drop", "error"])
def test_after_a_failure_at_any_step_the_next_run_finishes_and_nothing_is_there_twice(
    fake: FakeRailway, railway: Railway, operation: str, when: str, how: str
) -> None:
    ledger = Ledger()
    fake.fail(operation, when, how)  # type: ignore[arg-type]
    told = ""
    try:
        apply(railway, a_project(), ledger)
    except Failure as failure:
        told = str(failure)
        apply(railway, a_project(), ledger)
    assert SEALED not in told
    fake.service(NAME)  # asserts that there is one project and one service
    assert len(fake.projects) == 1
    assert fake.mutations["projectCreate"] == 1
    assert fake.mutations["serviceCreate"] == len(a_project().services) == len(fake.project(NAME).services)
    assert planned(railway, a_project(), ledger).changes == ()
    assert fake.service(NAME).variables["TEST_KEY"].value == SEALED


def test_a_lost_answer_to_a_creation_says_that_it_may_have_happened(fake: FakeRailway, railway: Railway) -> None:
    fake.fail("projectCreate", "after", "drop")
    with pytest.raises(OutcomeUnknownError):
        apply(railway, a_project(), Ledger())


def test_the_token_of_one_project_sets_its_variables(fake: FakeRailway, railway: Railway) -> None:
    ledger = Ledger()
    apply(railway, a_project(), ledger)
    fake.project_token_for = fake.project(NAME)
    with Client(Token(SecretStr(PROJECT_TOKEN), project=True), fake.url) as client:
        apply(Railway(client), a_project(BucketName="another-bucket"), ledger, project_token=True)
        with pytest.raises(PlanError, match="not for an environment named staging"):
            apply(Railway(client), a_project("staging"), ledger, project_token=True)
    assert fake.service(NAME).variables["S3_BUCKET_NAME"].value == "another-bucket"


def test_one_of_several_workspaces_has_to_be_named() -> None:
    found = {"w1": "One", "w2": "Two"}
    assert choose_workspace(found, "Two") == choose_workspace(found, "w2") == "w2"
    for wrong in (None, "Three"):
        with pytest.raises(PlanError, match="--workspace"):
            choose_workspace(found, wrong)


def test_two_projects_of_one_name_are_a_persons_business(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project(), Ledger())
    twin = replace(fake.project(NAME), id="project-twin")
    fake.projects[twin.id] = twin
    with pytest.raises(PlanError, match="Two projects"):
        apply(railway, a_project(), Ledger())


def test_what_the_checkout_remembers_is_no_secret_and_for_its_owner_alone(
    tmp_path: Path, fake: FakeRailway, railway: Railway
) -> None:
    path = tmp_path / "development" / "railway.json"
    apply(railway, a_project(), Ledger.load(path))
    assert path.stat().st_mode & 0o077 == 0
    assert SEALED not in path.read_text()
    before = fake.mutations.copy()
    apply(railway, a_project(), Ledger.load(path))
    assert fake.mutations == before
    path.write_text("not json")
    apply(railway, a_project(), Ledger.load(path))
    assert fake.mutations["environmentPatchCommit"] == before["environmentPatchCommit"] + 1
    assert json.loads(path.read_text())["digests"]


def test_no_request_but_the_patch_ever_holds_a_sealed_value(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project(), Ledger())
    holding = {r["operation"] for r in fake.requests if SEALED in r["body"]}
    assert holding == {"patch"}
