"""`signalbox up` as a person runs it: one command, a working API, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from infra.cli.stages import local_project
from infra.railway.api import Client, Token
from infra.railway.apply import apply
from infra.railway.operations import Railway
from infra.railway.release import Clock, release
from infra.railway.state import observe
from service.naming import Names
from service.product import NAME
from tests.support.api.server import ROOT, Server, free_port
from tests.support.api.zygote import run
from tests.support.cloud.given import PREFIXED
from tests.support.cloud.product import adopted
from tests.support.cloud.railway import ACCOUNT_TOKEN, FakeRailway
from tests.support.terminal import picture


class Stack:
    """One `signalbox up` with state and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.aws_port = free_port(), free_port()
        self.environment = {**os.environ, "SIGNALBOX_STATE": str(folder)}

    def begin(self, *options: str) -> str:
        """Start it, and wait for the first line on stdout."""
        options = (*options, "--port", str(self.port), "--aws-port", str(self.aws_port))
        self.errors = self.folder.with_suffix(".stderr")
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*SIGNALBOX, "up", *options],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        return line

    def start(self) -> Self:
        self.ready: dict[str, Any] = json.loads(self.begin("--json", "--reload"))
        return self

    def children(self) -> list[Any]:
        found: list[Any] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def end(self, number: int) -> int:
        """Send a signal and wait; whatever it had started must be gone then."""
        children = self.children()
        assert len(children) >= 3
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        assert self.process.stdout.read() == "", "one line on stdout and nothing else"
        self.process.stdout.close()
        left = psutil.wait_procs(children, timeout=15)[1]
        assert [p.cmdline() for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        return code

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run(["infra.cli.main", *command], self.environment)

    def token(self, user: str) -> str:
        done = self.run("token", user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def validate(self, token: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"{self.ready['api_url']}/api/v1/auth/validate", headers=headers)


SIGNALBOX = [sys.executable, "-m", "infra.cli.main"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's, which is 0700: as root the server of PostgreSQL may be another user."""
    with tempfile.TemporaryDirectory(prefix="signalbox-up-", ignore_cleanup_errors=True) as path:
        Path(path).chmod(0o755)
        yield Path(path) / "state"


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    running = Stack(folder).start()
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def test_it_says_where_everything_is(stack: Stack) -> None:
    ready = stack.ready
    names = {"api_url", "issuer", "jwks_url", "login_url", "page_url", "env_file", "outputs_file", "users"}
    assert set(ready) == names
    assert ready["users"] == [{"name": "alice", "tenant": "acme"}, {"name": "bob", "tenant": "globex"}]
    assert httpx.get(ready["jwks_url"]).json()["keys"]
    assert httpx.get(f"{ready['api_url']}/api/v1/health/ready").status_code == 200


def test_it_shows_a_page_that_knows_the_api_and_comes_back_to_it_after_a_sign_out(stack: Stack) -> None:
    page = stack.ready["page_url"]
    assert "<h1>Notes</h1>" in httpx.get(page).text
    assert f":{stack.port}`" in httpx.get(f"{page}settings.js").text
    client = json.loads((stack.folder / "up.json").read_text())["client"]["client_id"]
    for target, status in ((page, 302), ("http://localhost:5173/", 302), ("http://localhost.evil.example/", 400)):
        options = {"client_id": client, "logout_uri": target}
        answer = httpx.get(f"http://127.0.0.1:{stack.aws_port}/logout", params=options)
        assert answer.status_code == status
        assert status == 400 or answer.headers["Location"] == target


def test_each_user_is_recognised_with_the_tenant_of_its_own(stack: Stack) -> None:
    """The token comes from the pool's hosted page, by authorization code with PKCE."""
    for user in stack.ready["users"]:
        answer = stack.validate(stack.token(user["name"]))
        assert answer.status_code == 200, answer.text
        assert answer.json()["tenant"] == user["tenant"]
        assert answer.json()["issuer"] == stack.ready["issuer"]


def test_nobody_enters_without_a_token(stack: Stack) -> None:
    answer = stack.validate(None)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"].startswith("AUTH_")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_status_tells_how_it_is(stack: Stack) -> None:
    done = stack.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{stack.ready['api_url']}  ready (" in done.stdout
    assert "alice of acme (alice@acme.example), bob of globex" in done.stdout
    for user in json.loads((stack.folder / "up.json").read_text())["users"]:
        assert user["password"] not in done.stdout


def test_logs_finds_the_lines_of_a_request(stack: Stack) -> None:
    known = stack.validate(None).headers["X-Request-ID"]
    done = stack.run("logs", "--containing", known)
    assert {json.loads(line)["request_id"] for line in done.stdout.splitlines()} == {known}
    assert "choose one of api, " in stack.run("logs", "nonsense").stderr
    none = stack.run("logs", "--containing", "no request's id")
    assert (none.stdout, none.stderr.count("\n"), 'api.log has "no request\'s id"' in none.stderr) == ("", 1, True)


def test_a_token_is_checked_with_the_settings_of_the_local_stack(stack: Stack) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ENVIRONMENT"}
    command = [sys.executable, "-m", "infra.cli.main", "auth", "check"]
    done = subprocess.run(
        command,
        env=environment | {"SIGNALBOX_STATE": str(stack.folder)},
        input=stack.token("alice"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "acme" in done.stdout


def test_psql_enters_as_the_application_and_for_one_tenant(stack: Stack) -> None:
    asked = "select current_user, app.current_tenant()"
    options: tuple[str, ...]
    for options, tenant in (((), "acme"), (("--tenant", "globex"), "globex")):
        done = stack.run("psql", *options, "-Atc", asked)
        assert done.stdout.split() == [f"{Names(NAME).app_role}|{tenant}"], done.stderr
    assert stack.run("psql", "--tenant", "a -c x=y", "-Atc", asked).returncode == 1


def test_the_api_starts_anew_when_its_code_changes(stack: Stack) -> None:
    def api() -> list[int]:
        found = []
        for one in stack.children():
            with suppress(psutil.Error):  # it ends just now
                found += [one.pid] if one.cmdline()[-2:] == ["-m", "service"] else []
        return found

    (before,) = api()
    os.utime(ROOT / "service" / "health" / "__init__.py")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if api() not in ([], [before]) and stack.run("status").returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(stack.errors.read_text())


def test_the_environment_that_the_api_runs_from_holds_no_secret(stack: Stack) -> None:
    environment = {name: value or "" for name, value in dotenv_values(stack.ready["env_file"]).items()}
    outputs = json.loads(Path(stack.ready["outputs_file"]).read_text())
    assert environment["DATABASE_SECRET_ID"] == outputs[f"{NAME}-local-data"]["DatabaseLoginSecretArn"]
    assert "@" in environment["DATABASE_URL"]
    assert ":" not in environment["DATABASE_URL"].split("//")[1].split("@")[0], "no password in the address"
    password = json.loads((stack.folder / "up.json").read_text())["users"][0]["password"]
    for path in stack.folder.rglob("*"):
        if path.is_file() and password.encode() in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, path


def test_a_second_one_beside_it_is_refused_with_what_to_do(stack: Stack) -> None:
    done = stack.run("up", "--port", str(free_port()), "--aws-port", str(free_port()))
    assert done.returncode == 1
    assert "signalbox down" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_user_is_told_who_there_is(stack: Stack) -> None:
    done = stack.run("token", "mallory")
    assert (done.returncode, done.stdout) == (1, "")
    assert "alice, bob" in done.stderr


def test_what_the_stacks_made_reaches_a_service_through_railway(stack: Stack) -> None:
    """Stacks, outputs, environment, Railway, and back: a process started with exactly what Railway injects."""
    made = local_project(ROOT, stack.folder)
    api = made.services[0]
    key = "AWS_SECRET_ACCESS_KEY"
    variables = tuple(
        replace(v, sealed=True, value=None, secret=SecretStr(v.value or "")) if v.name == key else v
        for v in api.variables
    )
    project = replace(made, services=(replace(api, variables=variables),))
    with FakeRailway() as fake, Client(Token(SecretStr(ACCOUNT_TOKEN)), fake.url) as client:
        railway = Railway(client)
        apply(railway, project)
        release(railway, observe(railway, project), "api", None, clock=Clock(sleep=lambda _: None))
        assert fake.service(project.name).variables[key].sealed
        injected = fake.injected(project.name)
    del injected["PORT"]  # Railway gives its own
    with Server(injected) as service:
        assert service.until_ready().status_code == 200
        answer = service.get("/api/v1/auth/validate", stack.token("bob"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["tenant"] == "globex"
        assert service.get("/api/v1/auth/validate").status_code == 401


def test_ctrl_c_leaves_no_process_and_the_next_start_goes_on_where_this_one_stopped(stack: Stack) -> None:
    before = stack.ready
    subject = stack.validate(stack.token("alice")).json()["subject"]
    assert stack.end(signal.SIGINT) == 0
    for port in (stack.port, stack.aws_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert stack.run("token", "alice").returncode == 1, "what is not running gives no token"
    started = time.monotonic()
    stack.start()
    said = stack.errors.read_text()
    for step in ("Synthesize the stacks", "Deploy the stacks with the CDK", "Apply the migrations"):
        assert f"✓ {step} nothing new" in said, (said, time.monotonic() - started)
    wherever = {"page_url": ""}  # the port beside the API's, or any: another program may have that one by now
    assert stack.ready | wherever == before | wherever
    assert stack.validate(stack.token("alice")).json()["subject"] == subject


def test_when_the_api_dies_everything_stops_and_says_why(stack: Stack) -> None:
    (api,) = (p for p in stack.children() if p.cmdline()[-2:] == ["-m", "service"])
    children = stack.children()
    api.kill()
    assert stack.process.wait(60) == 1
    assert "The API ended with code -9" in stack.errors.read_text()
    assert psutil.wait_procs(children, timeout=15)[1] == []
    assert stack.process.stdout is not None
    stack.process.stdout.close()


def as_on_the_usual_ports(stack: Stack, text: str) -> str:
    """What a person reads, without this run's ports, passwords and token."""
    state = json.loads((stack.folder / "up.json").read_text())
    for port, usual in ((urlsplit(state["page_url"]).port, 8001), (stack.port, 8000)):
        text = text.replace(f":{port}", f":{usual}")
    for user in state["users"]:
        text = text.replace(user["password"], "…")
    return re.sub(r"Bearer [\w.-]+", "Bearer eyJ…", text)


def test_down_stops_what_a_person_has_started(stack: Stack) -> None:
    if stack.process.poll() is None:  # the test before it has stopped it, where it ran
        stack.end(signal.SIGINT)
    said = stack.begin()
    assert stack.process.stdout is not None
    while "A fresh token" not in said:
        said += stack.process.stdout.readline()
    picture("up", "uv run signalbox up", as_on_the_usual_ports(stack, stack.errors.read_text() + said))
    children = stack.children()
    done = stack.run("down")
    assert (done.returncode, done.stdout) == (0, "Stopped.\n")
    assert stack.process.wait(5) == 0
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert stack.process.stdout is not None
    stack.process.stdout.close()
    assert stack.run("down").stdout == "Nothing is running here.\n"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_even_kill_9_leaves_no_process(stack: Stack) -> None:
    if stack.process.poll() is not None:  # the tests before it have stopped it, where they ran
        stack.start()
    assert stack.end(signal.SIGKILL) == -9


@pytest.mark.long
def test_another_stage_is_deployed_by_the_commands_that_production_uses(stack: Stack) -> None:
    """The real CDK command line against the local AWS, and the real client against Railway's schema."""
    # Last of those that share the stack: on the one local PostgreSQL, the new stage takes the master login over.
    if stack.process.poll() is not None:  # the tests before it have stopped it, where they ran
        stack.start()
    environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "RAILWAY_API_TOKEN": ACCOUNT_TOKEN}
    environment |= dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"), f"http://127.0.0.1:{stack.aws_port}")
    target = adopted("development")
    options = (target.name, "--repository", "example/signalbox")
    with FakeRailway() as fake:
        before = stack.environment
        stack.environment = {
            **before,
            **environment,
            **PREFIXED,
            "SIGNALBOX_RAILWAY_URL": fake.url,
        }
        try:
            for step, more in (("stacks", ()), ("plan", ()), ("apply", ("--yes",))):
                done = stack.run(step, *options, *more)
                assert done.returncode == 0, done.stderr
        finally:
            stack.environment = before
        outputs = json.loads((stack.folder / target.name / "cdk-outputs.json").read_text())
        found = fake.service(target.names.whole).variables
        assert found["S3_BUCKET_NAME"].value == outputs[target.names.stack("data")]["BucketName"]
        assert found["IDP__COGNITO__ISSUER"].value == outputs[target.names.stack("identity")]["UserPoolIssuer"]
        assert fake.service(target.names.whole).custom[0]["domain"] == urlsplit(target.public_url).hostname
    assert stack.end(signal.SIGINT) == 0


@pytest.mark.parametrize("option", ["--port", "--aws-port", "--page-port"])
def test_a_taken_port_is_one_line_before_anything_starts(folder: Path, option: str) -> None:
    stack = Stack(folder.with_name("unused"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        others = {"--port", "--aws-port"} - {option}
        done = stack.run("up", option, port, *(part for other in others for part in (other, str(free_port()))))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {port} is taken" in done.stderr
    assert option in done.stderr
    assert not (stack.folder / "postgres").exists()


def test_without_uv_it_says_so(folder: Path) -> None:
    stack = Stack(folder.with_name("without-uv"))
    stack.environment = {**stack.environment, "PATH": "/nowhere"}
    done = stack.run("up", "--port", str(stack.port), "--aws-port", str(stack.aws_port))
    assert done.returncode == 1
    assert "uv is not on PATH" in done.stderr
    assert "Traceback" not in done.stderr
