"""plan shows and changes nothing; apply can be run again after any failure, and touches only what is ours."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import SecretStr

from infra.environment.build import EnvironmentRefused, Variable
from infra.railway import operations
from infra.railway.api import Client, OutcomeUnknownError, Token
from infra.railway.apply import Changed, apply
from infra.railway.operations import Railway
from infra.railway.plan import Plan, PlanError, plan
from infra.railway.project import Project
from infra.railway.sealed import RECORD
from infra.railway.state import PlaceError, choose_workspace, observe
from infra.shell.failure import Failure
from infra.stage.names import StageNames
from tests.support.cloud.given import SEALED, a_project
from tests.support.cloud.railway import PROJECT_TOKEN, WORKSPACE, FakeRailway

NAME = StageNames("development").whole


def planned(railway: Railway, project: Project) -> Plan:
    return plan(project, observe(railway, project))


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
    apply(railway, project)
    api = fake.service(NAME)
    assert {n: v.value for n, v in api.variables.items() if n != RECORD} == {
        v.name: v.value if v.secret is None else v.secret.get_secret_value() for v in project.services[0].variables
    }
    sealed = {v.name for v in project.services[0].variables if v.sealed}
    assert {n for n, v in api.variables.items() if v.sealed} == sealed
    assert sealed >= {"TEST_KEY", "AWS_SECRET_ACCESS_KEY"}
    assert api.config["source"] == {"repo": "example/signalbox", "branch": "main"}
    assert api.config["build"]["builder"] == "DOCKERFILE"
    assert api.deployments == []


def test_the_tunnel_of_a_private_database_comes_with_its_sealed_key(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project("production"))
    found = fake.service(StageNames("production").whole, "tailscale")
    assert found.config["source"]["image"].startswith("tailscale/tailscale:v")
    assert [name for name, v in found.variables.items() if v.sealed] == ["TS_AUTHKEY"]
    proxy = fake.service(StageNames("production").whole).variables["DATABASE_PROXY"].value
    port = found.variables["TS_SOCKS5_SERVER"].value.rpartition(":")[2]
    assert proxy == f"socks5://tailscale.railway.internal:{port}"


def test_a_second_run_changes_nothing(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    before = fake.mutations.copy()
    apply(railway, a_project())
    assert fake.mutations == before
    assert planned(railway, a_project()).changes == ()
    assert "nothing to change" in str(planned(railway, a_project()))


def test_one_changed_output_changes_one_variable(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    stamps = {name: v.updated for name, v in fake.service(NAME).variables.items()}
    changed = a_project(BucketName="another-bucket")
    assert [str(c) for c in planned(railway, changed).changes] == [
        '  ~ api: variable S3_BUCKET_NAME: "signalbox-documents-example" -> "another-bucket"'
    ]
    apply(railway, changed)
    after = fake.service(NAME).variables
    assert [name for name, v in after.items() if stamps[name] != v.updated] == ["S3_BUCKET_NAME"]
    assert after["S3_BUCKET_NAME"].value == "another-bucket"


def test_a_changed_secret_is_sealed_again_and_the_same_one_is_not(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    apply(railway, a_project())
    assert fake.mutations["environmentPatchCommit"] == 1
    changes = planned(railway, a_project(secret="another-sealed-value")).changes
    assert [str(c) for c in changes] == ["  ~ api: sealed TEST_KEY: (sealed) -> (sealed)"]
    apply(railway, a_project(secret="another-sealed-value"))
    assert fake.mutations["environmentPatchCommit"] == 2
    assert fake.service(NAME).variables["TEST_KEY"].value == "another-sealed-value"


def test_a_sealed_value_that_is_not_given_stays(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    before = fake.mutations.copy()
    apply(railway, a_project(secret=None))
    assert fake.mutations == before
    assert fake.service(NAME).variables["TEST_KEY"].value == SEALED


def test_a_sealed_value_that_nobody_has_is_asked_for_before_anything_is_created(
    fake: FakeRailway, railway: Railway
) -> None:
    with pytest.raises(PlanError, match="set SIGNALBOX_SEALED_AWS_ACCESS_KEY_ID in the environment of this command"):
        apply(railway, a_project(secret=None))
    assert not fake.projects


def test_what_others_have_set_is_left_alone_and_named(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    fake.set_by_hand(NAME, "FEATURE_FLAG", "on")
    fake.set_by_hand(NAME, "THEIR_KEY", "their-sealed-value", sealed=True)
    assert "left alone: api.FEATURE_FLAG, api.THEIR_KEY" in str(planned(railway, a_project()))
    apply(railway, a_project(BucketName="another-bucket", secret="another-sealed-value"))
    found = fake.service(NAME).variables
    assert (found["FEATURE_FLAG"].value, found["THEIR_KEY"].value) == ("on", "their-sealed-value")


def test_a_setting_that_somebody_changed_is_put_back_and_others_stay(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    fake.service(NAME).config["deploy"] |= {"healthcheckPath": "/", "startCommand": "theirs"}
    changes = [str(c) for c in planned(railway, a_project()).changes]
    assert changes == ['  ~ api: setting deploy.healthcheckPath: "/" -> "/api/v1/health/ready"']
    apply(railway, a_project())
    assert fake.service(NAME).config["deploy"]["healthcheckPath"] == "/api/v1/health/ready"
    assert fake.service(NAME).config["deploy"]["startCommand"] == "theirs"


def test_a_region_that_the_stage_has_left_runs_nothing_any_more(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    first = dict(fake.service(NAME).config)
    api = a_project().services[0]
    moved = replace(api, deploy={**api.deploy, "multiRegionConfig": {"europe-west4-drams3a": {"numReplicas": 1}}})
    there = replace(a_project(), services=(moved, *a_project().services[1:]))
    assert "us-east4-eqdc4a" in str(planned(railway, there)).rpartition("->")[2]
    apply(railway, there)
    assert fake.service(NAME).config["deploy"] == moved.deploy
    assert planned(railway, there).changes == ()
    apply(railway, a_project())
    assert fake.service(NAME).config == first


def test_a_service_that_railway_does_not_show_yet_is_said(fake: FakeRailway, railway: Railway) -> None:
    fake.hidden = {"api"}
    with pytest.raises(Failure, match=r"does not show all of project .* yet: run the same command again"):
        apply(railway, a_project())
    fake.hidden = set()
    apply(railway, a_project())
    fake.service(NAME)  # asserts that there is one


def test_what_a_person_had_set_in_plain_is_not_shown_when_it_looks_secret(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    fake.set_by_hand(NAME, "DATABASE_URL", "postgresql://app:hunter2hunter2@db.example.com/d")
    text = str(planned(railway, a_project()))
    assert "DATABASE_URL: (hidden) ->" in text
    assert "hunter2" not in text


def test_a_seal_is_not_broken(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    fake.set_by_hand(NAME, "AWS_REGION", "us-east-1", sealed=True)
    with pytest.raises(PlanError, match=r"AWS_REGION .* a seal cannot be broken"):
        apply(railway, a_project())


OPERATIONS = (
    "tokenWorkspaces",
    "projects",
    "projectCreate",
    "project",
    "serviceCreate",
    "variables",
    "values",
    "customDomain",
    "patch",
)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["drop", "error"])
def test_after_a_failure_at_any_step_the_next_run_finishes_and_nothing_is_there_twice(
    fake: FakeRailway, railway: Railway, operation: str, when: str, how: str
) -> None:
    fake.fail(operation, when, how)  # type: ignore[arg-type]
    told = ""
    for _ in range(3):
        try:
            apply(railway, a_project())
        except Failure as failure:
            told += str(failure)
    assert SEALED not in told
    fake.service(NAME)  # asserts that there is one project and one service
    assert len(fake.projects) == 1
    assert fake.mutations["projectCreate"] == 1
    assert fake.mutations["serviceCreate"] == len(a_project().services) == len(fake.project(NAME).services)
    assert planned(railway, a_project()).changes == ()
    assert fake.service(NAME).variables["TEST_KEY"].value == SEALED


def test_a_lost_answer_to_a_creation_says_that_it_may_have_happened(fake: FakeRailway, railway: Railway) -> None:
    fake.fail("projectCreate", "after", "drop")
    with pytest.raises(OutcomeUnknownError):
        apply(railway, a_project())


def test_the_token_of_one_project_sets_its_variables(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    fake.project_token_for = fake.project(NAME)
    with Client(Token(SecretStr(PROJECT_TOKEN), project=True), fake.url) as client:
        apply(Railway(client), a_project(BucketName="another-bucket"))
        with pytest.raises(PlaceError, match="not for an environment named staging"):
            apply(Railway(client), a_project("staging"))
    assert fake.service(NAME).variables["S3_BUCKET_NAME"].value == "another-bucket"


def test_one_of_several_workspaces_has_to_be_named() -> None:
    found = {"w1": "One", "w2": "Two"}
    assert choose_workspace(found, "Two") == choose_workspace(found, "w2") == "w2"
    for wrong in (None, "Three"):
        with pytest.raises(PlaceError, match="--workspace"):
            choose_workspace(found, wrong)


def test_two_projects_of_one_name_are_a_persons_business(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    twin = replace(fake.project(NAME), id="project-twin")
    fake.projects[twin.id] = twin
    with pytest.raises(PlaceError, match="Two projects"):
        apply(railway, a_project())


def test_what_was_sealed_is_known_to_every_checkout_and_is_no_secret(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    record = fake.service(NAME).variables[RECORD]
    assert not record.sealed
    assert set(json.loads(record.value)) == {"TEST_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert SEALED not in record.value
    before = fake.mutations.copy()
    apply(railway, a_project())
    assert fake.mutations == before, "nothing on this machine is needed for that"
    for lost in ("not json", "[]", '{"TEST_KEY": 1}'):
        fake.set_by_hand(NAME, RECORD, lost)
        apply(railway, a_project())
        assert planned(railway, a_project()).changes == ()


@pytest.mark.parametrize("given", [True, False])
def test_a_seal_that_another_hand_has_changed_is_noticed(fake: FakeRailway, railway: Railway, given: bool) -> None:
    apply(railway, a_project())
    fake.pass_time(hours=1)
    fake.set_by_hand(NAME, "TEST_KEY", "theirs", sealed=True)
    project = a_project() if given else a_project(secret=None)
    text = str(planned(railway, project))
    apply(railway, project)
    if given:
        assert "~ api: sealed TEST_KEY: (changed on Railway at 20" in text
        assert fake.service(NAME).variables["TEST_KEY"].value == SEALED
    else:
        assert "note: api.TEST_KEY was changed on Railway at 20" in text
        assert "set SIGNALBOX_SEALED_TEST_KEY" in text
        assert fake.service(NAME).variables["TEST_KEY"].value == "theirs"
    assert planned(railway, project).changes == ()


def test_a_project_and_a_service_that_were_renamed_are_found_and_said(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    before = fake.mutations.copy()
    fake.service(NAME).name = "backend"
    fake.service(NAME, "tailscale").name = "tunnel"
    fake.project(NAME).environment = "dev"
    fake.project(NAME).name = "renamed"
    found = planned(railway, a_project())
    assert found.changes == ()
    for told in (
        f"project {NAME} is named renamed",
        "environment development is named dev",
        "service api is named backend",
        "service tailscale is named tunnel",
    ):
        assert f"note: {told} on Railway" in str(found)
    apply(railway, a_project(BucketName="another-bucket"))
    assert fake.mutations - before == {"environmentPatchCommit": 1}
    assert fake.service("renamed", "backend").variables["S3_BUCKET_NAME"].value == "another-bucket"


def test_a_project_made_by_hand_gets_the_stages_environment(fake: FakeRailway, railway: Railway) -> None:
    railway.call(operations.PROJECT_CREATE, input={"name": NAME, "workspaceId": WORKSPACE})
    assert "+ environment development" in str(planned(railway, a_project()))
    apply(railway, a_project())
    assert fake.mutations["environmentCreate"] == 1
    assert fake.project(NAME).environment == "development"
    assert planned(railway, a_project()).changes == ()


def test_what_the_service_would_see_is_judged_before_anything_changes(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    fake.set_by_hand(NAME, "PORT", "no-port")  # Railway's, so that it would stay
    before = fake.mutations.copy()
    with pytest.raises(EnvironmentRefused, match="PORT") as refused:
        apply(railway, a_project(BucketName="another-bucket"))
    assert "no-port" not in str(refused.value)
    assert fake.mutations == before


def test_a_plan_that_was_shown_is_applied_as_it_was_or_not_at_all(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    changed = a_project(BucketName="another-bucket")
    shown = planned(railway, changed)
    fake.set_by_hand(NAME, "AWS_REGION", "eu-west-1")
    before = fake.mutations.copy()
    with pytest.raises(Changed, match="AWS_REGION"):
        apply(railway, changed, shown=shown)
    assert fake.mutations == before
    apply(railway, changed, shown=planned(railway, changed))
    assert planned(railway, changed).changes == ()


@pytest.mark.parametrize("patches", [True, False])
def test_the_token_of_one_project_changes_what_it_may(fake: FakeRailway, railway: Railway, patches: bool) -> None:
    """Nobody has said whether it may commit patches: both ways."""
    apply(railway, a_project())
    fake.set_by_hand(NAME, "LOG_LEVEL", "DEBUG")
    fake.project_token_for, fake.project_token_patches = fake.project(NAME), patches
    with Client(Token(SecretStr(PROJECT_TOKEN), project=True), fake.url) as client:
        apply(Railway(client), a_project(BucketName="another-bucket"))
        assert fake.service(NAME).variables["S3_BUCKET_NAME"].value == "another-bucket"
        assert "LOG_LEVEL" not in fake.service(NAME).variables
        fake.service(NAME).config["deploy"]["healthcheckPath"] = "/"
        if patches:
            apply(Railway(client), a_project(BucketName="another-bucket"))
        else:
            with pytest.raises(Failure, match="may not change settings"):
                apply(Railway(client), a_project(BucketName="another-bucket"))


def test_production_is_not_touched_where_its_agreement_cannot_be_seen(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project("production"))
    before = fake.mutations.copy()
    changed = a_project("production", BucketName="another-bucket")
    fake.project_token_for = fake.project(StageNames("production").whole)
    with (
        Client(Token(SecretStr(PROJECT_TOKEN), project=True), fake.url) as client,
        pytest.raises(Failure, match="token of a project cannot see"),
    ):
        apply(Railway(client), changed)
    fake.baa = False
    with pytest.raises(Failure, match="no business associate agreement"):
        apply(railway, changed)
    assert fake.mutations == before


def test_no_request_but_the_patch_ever_holds_a_sealed_value(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, a_project())
    holding = {r["operation"] for r in fake.requests if SEALED in r["body"]}
    assert holding == {"patch"}
