"""The CDK command line reaches the emulator on this machine, and nothing else; it ends when told."""

from __future__ import annotations

import json
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from infra.local.cdk import LocalCdk, UnsafeEndpoint, loopback
from infra.shell.tools import CdkCancelled, CdkError, ensure_tools
from tests.support.api.server import ROOT, free_port
from tests.support.cloud.product import REGION
from tests.support.local_http import LocalHttp

# What a developer's shell may hold, of which nothing may reach the child.
DANGEROUS = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREALREALREALREAL",
    "AWS_SECRET_ACCESS_KEY": "a-real-secret",
    "AWS_SESSION_TOKEN": "a-real-token",
    "AWS_ENDPOINT_URL": "https://sts.amazonaws.com",
    "AWS_ENDPOINT_URL_STS": "https://sts.amazonaws.com",
    "AWS_CONFIG_FILE": "/home/somebody/.aws/config",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/credentials",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
    "CDK_DEFAULT_ACCOUNT": "123456789012",
    "CDK_DEPLOY_ROLE": "a-real-role",
    "HTTP_PROXY": "http://proxy.example.com:3128",
    "https_proxy": "http://proxy.example.com:3128",
    "NODE_OPTIONS": "--require /somewhere/else.js",
    "GITHUB_TOKEN": "ghp_real",
}
ALLOWED_AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class FakeEmulator(LocalHttp):
    """Answers the two questions that come before every command.

    Args:
        account: The account it claims to be.
    """

    def __init__(self, account: str = "000000000000") -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = f"<GetCallerIdentityResult><Account>{account}</Account></GetCallerIdentityResult>".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  names that http.server looks for

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)


@pytest.fixture
def emulator() -> Iterator[FakeEmulator]:
    with FakeEmulator() as running:
        yield running


class Project:
    """A project whose `cdk` is a script of ours."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / "state"
        (root / "node_modules" / ".bin").mkdir(parents=True)

    def program(self, name: str, script: str) -> None:
        path = self.root / "node_modules" / ".bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def recording(self) -> Path:
        """Install a `cdk` that writes down how it was called."""
        self.program(
            "cdk", f'env > "{self.root}/environment"; pwd > "{self.root}/cwd"; echo "$@" > "{self.root}/arguments"'
        )
        return self.root / "environment"

    def environment(self) -> dict[str, str]:
        """What it was given, without what the shell adds."""
        lines = (self.root / "environment").read_text().splitlines()
        found = dict(line.partition("=")[::2] for line in lines)
        return {name: value for name, value in found.items() if name not in ("PWD", "SHLVL", "_", "OLDPWD")}

    def arguments(self) -> str:
        return (self.root / "arguments").read_text().strip()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://cloudformation.us-east-1.amazonaws.com",
        "https://127.0.0.1:4566",
        "http://169.254.169.254",
        "http://0.0.0.0:4566",
        "http://10.0.0.7:4566",
        "http://localhost.example.com:4566",
        "http://127.0.0.1.nip.io:4566",
        "http://127.0.0.1:4566@sts.amazonaws.com",
        "http://sts.amazonaws.com\\@127.0.0.1:4566",
        "http://127.0.0.1:4566/elsewhere",
        "http://127.0.0.1:4566?x#y",
        "http://127.0.0.1:notaport",
        "127.0.0.1:4566",
        "file:///etc/passwd",
        "",
    ],
)
def test_an_endpoint_that_is_not_this_machine_is_refused(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeEndpoint) as caught:
        LocalCdk(endpoint, tmp_path / "state", tmp_path, REGION)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "understood"),
    [
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
        ("http://LOCALHOST:4566/", "http://localhost:4566"),
        ("http://[::1]:4566", "http://[::1]:4566"),
    ],
)
def test_this_machine_is_accepted(endpoint: str, understood: str) -> None:
    assert loopback(endpoint) == understood


def test_nothing_runs_when_nobody_answers(project: Project) -> None:
    called = project.recording()
    cdk = LocalCdk(f"http://127.0.0.1:{free_port()}", project.state, project.root, REGION)
    for step in (cdk.bootstrap, lambda: cdk.deploy(project.root / "cdk.out", project.root / "outputs.json")):
        with pytest.raises(UnsafeEndpoint, match="no emulator answers"):
            step()
    assert not called.exists()


def test_nothing_runs_when_a_real_account_answers(project: Project) -> None:
    """A forwarded port, for instance: the address says nothing about who is behind it."""
    called = project.recording()
    with FakeEmulator(account="123456789012") as impostor:
        cdk = LocalCdk(impostor.url, project.state, project.root, REGION)
        with pytest.raises(UnsafeEndpoint, match="not the emulator"):
            cdk.bootstrap()
        with pytest.raises(UnsafeEndpoint, match="not the emulator"):
            cdk.deploy(project.root / "cdk.out", project.root / "outputs.json")
    assert not called.exists()


@pytest.mark.parametrize("step", ["bootstrap", "deploy"])
def test_nothing_of_the_callers_environment_reaches_aws_commands(
    step: str, project: Project, emulator: FakeEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in DANGEROUS.items():
        monkeypatch.setenv(name, value)
    project.recording()
    cdk = LocalCdk(emulator.url, project.state, project.root, REGION)
    if step == "bootstrap":
        cdk.bootstrap()
        assert project.arguments() == "bootstrap aws://000000000000/us-east-1 --no-notices"
        assert list(Path((project.root / "cwd").read_text().strip()).iterdir()) == []
    else:
        cdk.deploy(project.root / "cdk.out", project.root / "outputs.json")
        assert project.arguments() == (
            f"deploy --all --app {project.root}/cdk.out --require-approval never --progress events "
            f"--outputs-file {project.root}/outputs.json --no-notices"
        )
    given = project.environment()
    expected = ALLOWED_AWS | {"AWS_ENDPOINT_URL": emulator.url, "AWS_ENDPOINT_URL_S3": emulator.url}
    assert {name: value for name, value in given.items() if name.startswith("AWS_")} == expected
    assert {name for name in given if name.startswith("CDK_")} == {"CDK_HOME", "CDK_DISABLE_CLI_TELEMETRY"}
    assert not given.keys() & {"HTTP_PROXY", "https_proxy", "NODE_OPTIONS", "GITHUB_TOKEN"}
    assert given["HOME"] == given["CDK_HOME"] == str(project.state / "cdk")
    assert given["PATH"].startswith(f"{project.root}/node_modules/.bin:")


def test_synth_has_no_credentials_and_no_endpoint(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in DANGEROUS.items():
        monkeypatch.setenv(name, value)
    project.recording()
    cdk = LocalCdk(f"http://127.0.0.1:{free_port()}", project.state, project.root, REGION)
    cdk.synth("local", "http://127.0.0.1:8000", project.root / "cdk.out")
    assert project.arguments() == (
        f"synth -q -c stage=local -c public_url=http://127.0.0.1:8000 --output {project.root}/cdk.out --no-notices"
    )
    given = project.environment()
    assert {name: value for name, value in given.items() if name.startswith("AWS_")} == {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert not given.keys() & {"CDK_DEFAULT_ACCOUNT", "HTTP_PROXY", "NODE_OPTIONS", "GITHUB_TOKEN"}


def test_a_failure_says_what_happened_and_where_the_rest_is(project: Project) -> None:
    project.program("cdk", 'i=1; while [ $i -le 40 ]; do echo "line $i"; i=$((i+1)); done; echo why >&2; exit 3')
    cdk = LocalCdk("http://127.0.0.1:1", project.state, project.root, REGION)
    with pytest.raises(CdkError) as caught:
        cdk.synth("local", "http://127.0.0.1:8000", project.root / "cdk.out")
    log = project.state / "logs" / "cdk-synth.log"
    first, *rest = str(caught.value).splitlines()
    assert first == f"cdk synth failed with exit code 3; all it printed is in {log}"
    assert rest == [f"line {number}" for number in range(27, 41)] + ["why"]
    assert len(log.read_text().splitlines()) == 41


def test_a_missing_command_line_is_one_line(project: Project) -> None:
    with pytest.raises(CdkError, match="could not be started") as caught:
        LocalCdk("http://127.0.0.1:1", project.state, project.root, REGION).synth(
            "local", "http://127.0.0.1:8000", project.root
        )
    assert "\n" not in str(caught.value)


def test_cancelling_ends_the_command_and_what_it_started(project: Project) -> None:
    pids = project.root / "pids"
    project.program("cdk", f'trap "" TERM INT; sleep 60 & echo $$ $! > "{pids}"; wait')
    cdk = LocalCdk("http://127.0.0.1:1", project.state, project.root, REGION)
    caught: list[BaseException] = []

    def synth() -> None:
        try:
            cdk.synth("local", "http://127.0.0.1:8000", project.root / "cdk.out")
        except CdkError as failure:
            caught.append(failure)

    thread = threading.Thread(target=synth)
    thread.start()
    while not (pids.exists() and pids.read_text().endswith("\n")):
        time.sleep(0.01)
    cdk.cancel()
    thread.join(5)
    assert [type(failure) for failure in caught] == [CdkCancelled]
    deadline = time.monotonic() + 5
    while any(map(_runs, pids.read_text().split())):  # killed, and gone when the kernel gets round to it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(CdkCancelled):
        cdk.synth("local", "http://127.0.0.1:8000", project.root / "cdk.out")


def _runs(pid: str) -> bool:
    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _pin(project: Project, pinned: str, installed: str | None) -> None:
    (project.root / "package.json").write_text(json.dumps({"devDependencies": {"aws-cdk": pinned}}))
    if installed:
        (project.root / "node_modules" / "aws-cdk").mkdir()
        (project.root / "node_modules" / "aws-cdk" / "package.json").write_text(json.dumps({"version": installed}))


def test_tools_of_the_pinned_version_are_left_alone(project: Project) -> None:
    _pin(project, "2.1148.1", "2.1148.1")
    project.program("npm", "exit 1")
    ensure_tools(project.root)


@pytest.mark.parametrize("installed", [None, "2.1147.0"])
def test_tools_of_another_version_are_replaced(installed: str | None, project: Project) -> None:
    _pin(project, "2.1148.1", installed)
    project.program("npm", f'echo "$@" > "{project.root}/arguments"')
    ensure_tools(project.root)
    assert project.arguments().startswith("ci --no-fund --no-audit")


def test_without_a_network_the_tools_say_what_to_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real npm, which finds nobody where its registry should be."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / name, project.root / name)
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("npm_config_cache", str(project.root / "cache"))
    with pytest.raises(CdkError, match="registry could not be reached") as caught:
        ensure_tools(project.root)
    assert "\n" not in str(caught.value)
