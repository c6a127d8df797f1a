"""`deploy` from nothing, again, with a change, and broken off anywhere; what is missing is said before it starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from infra.cli.main import main
from infra.deploy import preflight
from infra.deploy.certificates import issue
from infra.deploy.destroy import DestroyError, destroy
from infra.deploy.moved import MovedError
from infra.deploy.steps import TITLES, DeployError, Deployment
from infra.product import STAGES
from infra.railway.api import Client, Token
from infra.railway.release import Clock, ReleaseError, smoke
from infra.railway.sources import repository, sealed_needed, sealed_values
from infra.shell.failure import Failure
from infra.stage import costs
from infra.stage.chosen import stage
from infra.stage.names import StageNames
from infra.stage.record import Stage
from tests.support.api.server import ROOT
from tests.support.cloud.given import ACCOUNT as AWS_ACCOUNT
from tests.support.cloud.given import GIVEN, PREFIXED, outputs_document
from tests.support.cloud.product import adopted
from tests.support.cloud.railway import ACCOUNT_TOKEN, PROJECT_TOKEN, FakeRailway

NAME = StageNames("development").whole
TOKEN = "access-token-of-the-test"


class Edge:
    """The API as the outside sees it; each answer can be replaced."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {
            "/api/v1/health/ready": (200, {"status": "ok", "checks": {"database": "ok"}}),
            "/api/v1/health/status": (200, {"version": "1", "commit": "unknown", "environment": "development"}),
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = outer.answers.get(self.path) or outer.validate(self.headers.get("Authorization"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def validate(self, authorization: str | None) -> tuple[int, dict[str, Any]]:
        if authorization == f"Bearer {TOKEN}":
            return 200, {"tenant": "acme"}
        return 401, {"error": {"code": "AUTH_020"}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def edge() -> Iterator[Edge]:
    with Edge() as running:
        yield running


class World:
    """One checkout, one AWS account, one Railway."""

    def __init__(self, fake: FakeRailway, folder: Path, edge: Edge) -> None:
        self.fake, self.folder = fake, folder
        self.outputs: dict[str, str] = {}
        self.lines: list[str] = []
        self.time = 0.0
        self.account = AWS_ACCOUNT
        self.target = stage("development").model_copy(update={"public_url": edge.url})

    def connect(self) -> Client:
        return Client(Token(SecretStr(ACCOUNT_TOKEN)), self.fake.url, sleep=lambda _: None)

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def stacks(self, root: Path, target: Stage, file: Path, *, lose: Sequence[str] = ()) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(outputs_document(target.name, **self.outputs)))

    def deployment(self, **changes: Any) -> Deployment:
        found = Deployment(ROOT, self.folder, self.target, "example/signalbox", **changes)
        found.connect, found.deploy_stacks, found.echo = self.connect, self.stacks, self.lines.append
        found.number = lambda _: self.account
        found.check = lambda *_: iter([preflight.Finding("ok", "everything", "is there")])
        found.clock = Clock(lambda: self.time, self.sleep)
        found.environ = {
            **PREFIXED,
            "SIGNALBOX_SMOKE_TOKEN": TOKEN,
        }
        return found

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def world(fake: FakeRailway, tmp_path: Path, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(preflight, "git", lambda _: preflight.Git(fake.commit, True, True))
    return World(fake, tmp_path, edge)


def test_from_nothing_to_a_service_that_was_tried(world: World) -> None:
    run = world.deployment()
    run.run()
    deployments = world.fake.service(NAME).deployments
    assert [d["commit"] for d in deployments] == [world.fake.commit]
    assert world.fake.injected(NAME)["S3_BUCKET_NAME"] == "signalbox-documents-example"
    assert "an authenticated request was answered, tenant acme" in world.text
    assert f"project {NAME}" in run.summary()
    assert "about, a month" in run.summary()
    assert TOKEN not in world.text


def test_how_often_a_whole_deployment_asks_railway(world: World) -> None:
    """Half of what it was, 47 from nothing, 56 with nothing to do; eight of these are about where the stage stands."""
    told = []
    for bucket in ("first", "first", "another"):
        world.outputs["BucketName"] = bucket
        world.fake.requests.clear()
        world.deployment().run()
        told.append(len(world.fake.requests))
    assert told[0] <= 25
    assert told[1] <= 18
    assert told[2] <= 36


def test_again_changes_nothing_and_deploys_nothing(world: World) -> None:
    world.deployment().run()
    before = world.fake.mutations.copy()
    world.deployment().run()
    assert world.fake.mutations == before
    assert "api: runs already" in world.text


def test_one_changed_output_changes_one_variable_and_is_deployed(world: World) -> None:
    world.deployment().run()
    world.outputs["BucketName"] = "another-bucket"
    before = world.fake.mutations.copy()
    world.deployment().run()
    assert world.fake.mutations - before == {"environmentPatchCommit": 1, "serviceInstanceDeployV2": 1}
    assert "api: deploying, because S3_BUCKET_NAME changed since" in world.text
    assert world.fake.injected(NAME)["S3_BUCKET_NAME"] == "another-bucket"


def test_variables_of_others_reach_the_process_untouched(world: World) -> None:
    world.deployment().run()
    world.fake.set_by_hand(NAME, "FEATURE_FLAG", "on")
    world.outputs["BucketName"] = "another-bucket"
    world.deployment().run()
    assert world.fake.injected(NAME)["FEATURE_FLAG"] == "on"


def test_another_commit_is_deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deployment().run()
    monkeypatch.setattr(preflight, "git", lambda _: preflight.Git("f" * 40, True, True))
    world.deployment().run()
    assert [d["commit"] for d in world.fake.service(NAME).deployments][-1] == "f" * 40


EVERYTHING = (
    "tokenWorkspaces",
    "projects",
    "projectCreate",
    "project",
    "serviceCreate",
    "variables",
    "patch",
    "deploy",
    "deployment",
)


@pytest.mark.parametrize("operation", EVERYTHING)
@pytest.mark.parametrize("when", ["before", "after"])
def test_broken_off_anywhere_it_goes_on_and_does_nothing_twice(world: World, operation: str, when: str) -> None:
    world.fake.fail(operation, when, "error")  # type: ignore[arg-type]
    with pytest.raises(DeployError, match="Go on with: uv run signalbox deploy development --from") as broken:
        world.deployment().run()
    assert not any(value in str(broken.value) for value in GIVEN.values())
    world.deployment().run(str(broken.value).rpartition(" ")[2])
    assert len(world.fake.projects) == 1
    services = len(world.fake.project(NAME).services)
    assert world.fake.mutations["serviceCreate"] == services
    assert world.fake.mutations["serviceInstanceDeployV2"] == services
    assert len(world.fake.service(NAME).deployments) == 1
    assert "an authenticated request was answered" in world.text


def test_a_patch_that_redeploys_by_itself_is_waited_for(world: World) -> None:
    world.fake.redeploys_on_patch = True
    world.deployment().run()
    assert world.fake.mutations["serviceInstanceDeployV2"] == 0
    assert len(world.fake.service(NAME).deployments) == 1


@pytest.mark.parametrize("end", ["FAILED", "CRASHED", "NEEDS_APPROVAL"])
def test_a_deployment_that_fails_is_told_and_started_anew_next_time(world: World, end: str) -> None:
    world.fake.script = ["BUILDING", end]
    with pytest.raises(DeployError, match=r"--from release"):
        world.deployment().run()
    world.fake.script = ["SUCCESS"]
    world.deployment().run("release")
    counts = [len(s.deployments) for s in world.fake.project(NAME).services.values()]
    assert sorted(counts) == [1] * (len(counts) - 1) + [2], "only what had failed is deployed again"


def test_a_deployment_that_never_ends_is_given_up(world: World) -> None:
    world.fake.script = ["BUILDING"]
    with pytest.raises(DeployError, match="after 20 minutes"):
        world.deployment().run()


def test_what_is_missing_stops_everything_before_anything_is_changed(world: World) -> None:
    run = world.deployment()
    run.check = lambda *_: iter([preflight.Finding("missing", "Railway BAA", "sign it")])
    with pytest.raises(DeployError, match="Railway BAA missing"):
        run.run()
    assert not world.fake.requests
    assert "missing Railway BAA: sign it" in world.text


def test_production_is_not_applied_without_the_agreement_whatever_step_is_run(world: World) -> None:
    run = world.deployment()
    run.stage = stage("production")
    world.fake.baa = False
    run.stacks()
    with pytest.raises(DeployError, match="no business associate agreement"):
        run.run("apply", "apply")
    assert not world.fake.mutations
    world.fake.baa = True
    run.run("apply", "apply")
    assert world.fake.service(StageNames("production").whole).variables["ENVIRONMENT"].value == "production"
    world.fake.baa = False
    with pytest.raises(DeployError, match="no business associate agreement"):
        run.run("release", "release")
    project = world.fake.project(StageNames("production").whole)
    world.fake.project_token_for, world.fake.baa = project, True
    run.connect = lambda: Client(Token(SecretStr(PROJECT_TOKEN), project=True), world.fake.url)
    for step in ("apply", "release"):
        with pytest.raises(DeployError, match="token of a project cannot see"):
            run.run(step, step)
    assert world.fake.mutations["serviceInstanceDeployV2"] == 0


def test_a_plan_alone_changes_nothing(world: World) -> None:
    run = world.deployment()
    run.stacks()
    run.plan()
    assert "+ api: variable S3_BUCKET_NAME" in world.text
    assert not world.fake.mutations


# The checks that doctor and deploy make.


def found(name: str, fake: FakeRailway) -> dict[str, preflight.Finding]:
    connect = lambda: Client(Token(SecretStr(ACCOUNT_TOKEN)), fake.url, sleep=lambda _: None)  # noqa: E731
    return {f.name: f for f in preflight.checks(ROOT, stage(name), connect, None)}


@pytest.mark.parametrize(("name", "state"), [("production", "missing"), ("staging", "note")])
def test_production_needs_the_workspaces_agreement(name: str, state: str, fake: FakeRailway) -> None:
    fake.baa = False
    assert found(name, fake)["Railway BAA"].state == state
    fake.baa = True
    assert found(name, fake)["Railway BAA"].state == "ok"


def test_doctor_lists_everything_that_is_missing_at_once(fake: FakeRailway, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RAILWAY_"))}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "HOME": str(tmp_path)}
    environment |= {"AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    command = [
        sys.executable,
        "-m",
        "infra.cli.main",
        "doctor",
        adopted("production").name,
        "--repository",
        "example/signalbox",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for told in (
        "missing AWS: ",
        "aws sso login",
        "missing Railway: ",
        "RAILWAY_API_TOKEN",
    ):
        assert told in done.stdout
    environment |= {"RAILWAY_API_TOKEN": ACCOUNT_TOKEN, "SIGNALBOX_RAILWAY_URL": fake.url}
    fake.baa = False
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "missing Railway BAA" in done.stdout
    assert ACCOUNT_TOKEN not in done.stdout + done.stderr


def test_what_only_the_user_of_the_template_knows_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text((ROOT / "package.json").read_text())
    fresh = stage("production", public_url="https://api.example.com")
    told = {f.name: f for f in islice(preflight.checks(tmp_path, fresh, Client.from_environment, None), 4)}
    told = {name: told[name] for name in ("addresses", "proof to AWS")}
    assert {finding.state for finding in told.values()} == {"missing"}
    assert "signalbox init" in told["addresses"].text
    assert "signalbox certs production" in told["proof to AWS"].text
    assert preflight.repository(tmp_path, None).state == "missing"
    assert "--repository" in preflight.repository(tmp_path, None).text


def test_a_checkout_that_railway_cannot_build_is_told(tmp_path: Path) -> None:
    def run(*command: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *command], check=True, capture_output=True)

    assert preflight.git(tmp_path).commit is None
    run("init", "-q")
    (tmp_path / "a").write_text("a")
    run("add", "a")
    run("commit", "-qm", "a")
    commit = preflight.git(tmp_path).commit
    assert commit is not None
    assert preflight.git(tmp_path) == preflight.Git(commit, clean=True, pushed=False)
    run("update-ref", "refs/remotes/origin/main", "HEAD")
    (tmp_path / "a").write_text("b")
    assert preflight.git(tmp_path) == preflight.Git(commit, clean=False, pushed=True)
    run("remote", "add", "origin", "git@github.com:example/signalbox.git")
    assert repository(tmp_path) == "example/signalbox"
    with pytest.raises(Failure, match="--repository"):
        repository(tmp_path / "nowhere")


def test_the_key_of_whoever_deploys_is_never_taken_for_the_services(tmp_path: Path) -> None:
    deployer = {"AWS_ACCESS_KEY_ID": "deployer", "AWS_SECRET_ACCESS_KEY": "deployer", "TS_AUTHKEY": "mine"}
    assert sealed_values(deployer, tmp_path) == {}
    assert sealed_values({**deployer, "SIGNALBOX_SEALED_TS_AUTHKEY": "given"}, tmp_path) == {"TS_AUTHKEY": "given"}


def test_the_certificate_that_certs_has_made_is_found(tmp_path: Path) -> None:
    issue(stage("production"), tmp_path / "authorities", tmp_path / "certs")
    found = sealed_values({}, tmp_path / "certs" / "production")
    assert set(found) == {"ROLES_ANYWHERE_CERTIFICATE_SECRET", "ROLES_ANYWHERE_PRIVATE_KEY_SECRET"}
    assert found["ROLES_ANYWHERE_CERTIFICATE_SECRET"].startswith("-----BEGIN CERTIFICATE-----")
    assert set(found) < set(sealed_needed(stage("production")))
    (note,) = preflight.sealed(sealed_needed(stage("production")), found)
    assert (note.state, "TS_AUTHKEY" in note.text) == ("note", True)


# From outside.


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        ("/api/v1/health/ready", (503, {"checks": {"database": "unavailable"}}), "database unavailable"),
        ("/api/v1/health/status", (200, {"environment": "production", "commit": "unknown"}), "ENVIRONMENT"),
        ("/api/v1/health/status", (200, {"environment": "development", "commit": "a" * 40}), "another commit"),
        ("/api/v1/auth/validate", (200, {"tenant": "acme"}), "401 is right"),
    ],
)
def test_what_is_wrong_from_outside_is_told(
    path: str, answer: tuple[int, dict[str, Any]], told: str, edge: Edge
) -> None:
    edge.answers[path] = answer
    times = iter(range(0, 10_000, 50))
    lines: list[str] = []
    clock = Clock(lambda: next(times), lambda _: None)
    with pytest.raises(ReleaseError, match=told):
        smoke(edge.url, "development", "c" * 40, None, clock=clock, told=lines.append)
    if answer[0] == 503:
        assert lines == ["not ready yet: HTTP 503, database unavailable; waiting up to 120 s"]


def test_a_token_that_is_refused_is_told_by_its_code(edge: Edge) -> None:
    with pytest.raises(ReleaseError, match="AUTH_020"):
        smoke(edge.url, "development", None, SecretStr("wrong"))


def test_a_custom_domain_is_registered_once_with_both_records(world: World) -> None:
    world.target = stage("development", public_url="https://api.dev.example.org")
    for _ in range(2):
        world.deployment().run("stacks", "apply")
        for record in ("waits for these DNS records", "CNAME  api.dev.example.org", "TXT    _railway-verify."):
            assert record in world.text
        world.lines.clear()
    assert world.fake.mutations["customDomainCreate"] == 1


def test_a_domain_of_railways_own_has_to_be_the_stages(world: World) -> None:
    world.target = stage("development", public_url="https://mine.up.railway.app")
    told = r"set public_url of the stage to https://api-1234\.up\.railway\.app in infra/product.py"
    for _ in range(2):
        with pytest.raises(DeployError, match=told):
            world.deployment().run("stacks", "apply")
    world.target = stage("development", public_url="https://api-1234.up.railway.app")
    world.deployment().run("stacks", "apply")
    assert world.fake.mutations["serviceDomainCreate"] == 1
    assert world.fake.mutations["environmentPatchCommit"] == 1


@pytest.mark.parametrize(
    ("field", "stood", "said"),
    [
        ("account", AWS_ACCOUNT, "999988887777"),
        ("region", "us-east-1", "eu-central-1"),
        ("credentials", AWS_ACCOUNT, ""),
    ],
)
def test_a_stage_that_railway_runs_in_another_account_is_refused_from_any_machine(
    field: str, stood: str, said: str, world: World
) -> None:
    """A machine without the outputs of a deployment: CI, or a colleague's."""
    world.deployment().run()
    shutil.rmtree(world.folder)
    if said:
        world.target = world.target.model_copy(update={field: said})
        told = f"stands in {field} {stood}, as the variable KMS_KEY_ID on Railway say.*its record says {said}"
    else:
        world.account = "999988887777"
        told = f"stands in account {stood}, .*these credentials are for 999988887777.*Sign in to {stood}"
    with pytest.raises(DeployError, match=told):
        world.deployment().run("stacks")
    assert not world.folder.exists(), "no stack was deployed"


# The end.


def test_production_and_protected_stages_are_not_destroyed(world: World) -> None:
    world.deployment().run()
    stacks: list[str] = []
    gone = lambda root, target, folder: stacks.append(target.name)  # noqa: E731

    def end(target: Stage, typed: str) -> None:
        keys = lambda _: {"globex", "acme"}  # noqa: E731
        to, on, who = world.lines.append, world.connect, lambda _: world.account
        destroy(ROOT, world.folder, target, typed, None, to, connect=on, destroy_stacks=gone, number=who, tenants=keys)

    for name, typed, told in (
        ("production", "production", "Production"),
        ("development", "developmen", "not the name"),
        ("staging", "staging", "protected"),
    ):
        with pytest.raises(DestroyError, match=told):
            end(stage(name), typed)
    assert not stacks
    assert world.fake.mutations["projectDelete"] == 0
    world.account = "999988887777"
    with pytest.raises(MovedError, match=f"stands in account {AWS_ACCOUNT}, .*credentials are for 999988887777"):
        end(world.target, "development")
    world.account = AWS_ACCOUNT
    assert not stacks
    end(world.target, "development")
    assert stacks == ["development"]
    kept = [line for line in world.lines if "of tenant" in line]
    assert kept == [
        f"The key of tenant {name} stays: uv run signalbox tenant-key development {name} --end"
        for name in ("acme", "globex")
    ]
    assert all(p.deleted for p in world.fake.projects.values())
    world.deployment().run()
    assert len(world.fake.projects) == 2


def test_what_must_not_be_destroyed_is_refused_without_a_question() -> None:
    done = CliRunner().invoke(main, ["destroy", adopted("production").name])
    assert done.exit_code == 1
    assert "Type the name" not in done.stdout
    assert "Production is not destroyed by a command" in done.stderr


def _costs(target: Stage) -> list[tuple[str, float]]:
    return [(one.what, one.dollars) for one in costs.monthly(target)]


def test_every_stage_has_a_price() -> None:
    for target in STAGES.values():
        assert all(cost.dollars >= 0 for cost in costs.monthly(target))
    assert sum(c.dollars for c in costs.monthly(stage("production"))) > 1000
    lines = {one: dict(_costs(stage("staging", tenant_keys=one))) for one in ("off", "on", "required")}
    assert "Tenants' keys" not in lines["off"]
    assert lines["on"] == lines["required"] == lines["off"] | {"Tenants' keys": 20.0}
    odd = stage("development").model_copy(update={"database": replace_type(stage("development"), "x2g.large")})
    assert "not in the table" in costs.summary(odd)


def test_each_thing_that_a_stage_adds_has_its_price() -> None:
    production = stage("production", variables={})
    cheapest = {line.what: line.dollars for line in costs.monthly(production)}
    for change, what in (
        ({"network": {"nat_gateways": 2}}, "NAT gateways"),
        ({"network": {"nat_gateways": 2}}, "Public addresses"),
        ({"network": {"interface_endpoints": True}}, "Interface endpoints"),
        ({"signing_keys": (1, 2)}, "KMS keys"),
        ({"provider_secrets": ("okta",)}, "Secrets"),
        ({"database": {"storage_gib": 100}}, "RDS storage"),
        ({"replicas": 5}, "Railway"),
    ):
        more = {line.what: line.dollars for line in costs.monthly(stage("production", variables={}, **change))}
        assert more[what] > cheapest.get(what, 0.0), what
    users = [{c.what: c.dollars for c in costs.monthly(production, costs.Usage(users=n))} for n in (10, 10_000)]
    assert users[0]["Cognito"] < users[1]["Cognito"]
    assert all(
        (price.dollars > 0 and "." in price.source) or price.source == "the same" for price in costs.PRICES.values()
    )


def replace_type(target: Stage, kind: str) -> Any:
    return target.database.model_copy(update={"instance_type": kind})


def test_every_step_is_a_command_of_its_own() -> None:
    from infra.cli.stages import _STEPS, COMMANDS

    assert tuple(TITLES) == _STEPS
    names = {command.name for command in COMMANDS}
    assert set(TITLES) - {"render"} <= names
    assert "env" in names  # what renders
