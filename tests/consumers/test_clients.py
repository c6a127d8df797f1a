"""What is generated from the document works against the service that answered it; the document passes its linters."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.files.feature import FILES
from examples.notes.feature import NOTES
from tests.service.http.test_openapi import document
from tests.support.api.server import ROOT, Server
from tests.support.database.databases import Databases
from tests.support.idp.issuer import Issuer
from tests.support.idp.peers import environment, install

pytestmark = pytest.mark.consumers
FOLDER = ROOT / "tests" / "consumers"


@pytest.fixture(scope="module")
def tools() -> Path:
    return install(FOLDER) / "node_modules"


@pytest.fixture(scope="module")
def issued() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def server(issued: Issuer, databases: Databases) -> Iterator[Server]:
    variables = {**issued.environment(), "DATABASE_URL": databases.migrated().url()}
    with Server(variables, module="tests.support.api.serve") as running:
        yield running


@pytest.fixture
def described(server: Server, tmp_path: Path) -> Path:
    """The document as the service answers it, beside the packages."""
    file = tmp_path / "openapi.json"
    file.write_text(server.get("/openapi.json").text)
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    return file


def run(program: str, *arguments: str | Path, cwd: Path = FOLDER) -> str:
    found = shutil.which(program, path=environment()["PATH"]) or str(FOLDER / "node_modules" / ".bin" / program)
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    command = [found, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment() | quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The document of the product and both examples, as production answers it."""
    file, made = tmp_path / "openapi.json", document(NOTES, FILES)
    made["servers"][0]["url"] = "https://api.example.org"
    file.write_text(json.dumps(made))
    return file


def test_redocly_has_nothing_to_say(tools: Path, finished: Path) -> None:
    found = json.loads(run("redocly", "lint", "--format=json", finished))
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def test_spectral_and_its_owasp_rules_have_nothing_to_say(tools: Path, finished: Path) -> None:
    command = ("lint", "--ruleset=spectral.yaml", "--format=json", "--fail-severity=hint", finished)
    assert run("spectral", *command).startswith("[]No results")


def test_a_typescript_client_compiles_and_calls(tools: Path, described: Path, server: Server, issued: Issuer) -> None:
    folder = described.parent
    run("openapi-typescript", described, "--output", folder / "schema.d.ts", cwd=folder)
    shutil.copy(FOLDER / "call.ts", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node.d.ts").write_text("declare const process: { argv: string[] };")
    options = {
        "module": "esnext",
        "moduleResolution": "bundler",
        "target": "es2022",
        "lib": "es2022,dom",
        "skipLibCheck": "true",
    }
    told = [text for name, value in options.items() for text in (f"--{name}", value)]
    run("tsc", "--strict", "--noEmit", *told, "call.ts", "node.d.ts", cwd=folder)
    printed = run("node", "call.ts", server.url, issued.token("acme"), cwd=folder)
    assert json.loads(printed) == ["by TypeScript", "acme", "AUTH_020"]


def test_a_python_client_is_generated_whole_and_calls(described: Path, server: Server, issued: Issuer) -> None:
    folder = described.parent
    options = ("--path", described, "--meta", "none", "--config", FOLDER / "python-client.yaml", "--fail-on-warning")
    run("openapi-python-client", "generate", *options, "--output-path", folder / "generated")
    shutil.copy(FOLDER / "call.py", folder)
    printed = run(sys.executable, "call.py", server.url, issued.token("globex"), cwd=folder)
    assert json.loads(printed) == ["by Python", "globex", "AUTH_002"]
