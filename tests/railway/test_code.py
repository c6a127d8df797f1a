"""railway.json and .railway/railway.py say the same, and the latter says it the way Railway's command line asks."""

# ruff: noqa: N815  the names are Railway's
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel, ConfigDict, Field

from infra.railway import renderings
from infra.railway.project import Service
from infra.railway.sealed import RECORD
from infra.stage.names import StageNames
from service.__main__ import DRAIN_SECONDS
from tests.support.api.server import ROOT
from tests.support.cloud.given import SEALED, a_project

STAGES = ("development", "staging", "production")
GRAPH = ROOT / "infra" / "railway" / "schema" / "railway-iac-Graph.schema.json"
# As railwayapp/cli does it (src/iac/eval.rs): the file is loaded by path, and stdout is read as JSON.
WRAPPER = """import importlib.util as u, inspect, json, os, sys
from railway_sdk import create_railway_context
spec = u.spec_from_file_location('iac', sys.argv[1]); mod = u.module_from_spec(spec); spec.loader.exec_module(mod)
raw = os.environ.get('RAILWAY_IAC_CONTEXT')
args = [create_railway_context(json.loads(raw))] if raw and inspect.signature(mod.main).parameters else []
print(json.dumps({'partial': getattr(mod, 'PARTIAL', None), 'project': mod.main(*args).to_graph()}))
"""


class Build(BaseModel):
    """Strict, because the SDK drops what it does not know: a misspelt key would vanish without a word."""

    model_config = ConfigDict(extra="forbid", strict=True)

    builder: str = Field(pattern="^DOCKERFILE$")
    dockerfilePath: str
    watchPatterns: list[str] = Field(min_length=1)


class Deploy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    preDeployCommand: list[str] = Field(min_length=1)
    healthcheckPath: str = Field(pattern="^/api/v1/health/ready$")
    healthcheckTimeout: int = Field(ge=30, le=300)
    restartPolicyType: str = Field(pattern="^ON_FAILURE$")
    restartPolicyMaxRetries: int = Field(ge=1, le=10)
    drainingSeconds: int
    overlapSeconds: int = Field(ge=1)
    sleepApplication: bool
    multiRegionConfig: dict[str, dict[str, int]] | None = None


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    schema_: str = Field(alias="$schema")
    build: Build
    deploy: Deploy


def checkout(folder: Path, *names: str) -> Path:
    """What the command line needs of a checkout, with the environments of some stages written."""
    shutil.copy(ROOT / "railway.json", folder)
    (folder / ".railway" / "environments").mkdir(parents=True)
    shutil.copy(ROOT / ".railway" / "railway.py", folder / ".railway")
    for name in names:
        text = renderings.printable(a_project(name, secret=None), "sdk")
        (folder / ".railway" / "environments" / f"{name}.json").write_text(text)
    return folder / ".railway" / "railway.py"


def evaluate(path: Path, context: dict[str, str] | None, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAILWAY")} | more
    if context is not None:
        environment["RAILWAY_IAC_CONTEXT"] = json.dumps(context)
    command = [sys.executable, "-c", WRAPPER, str(path)]
    # Elsewhere than the checkout: nothing but the SDK may be importable.
    return subprocess.run(
        command, cwd=path.parents[1], env=environment, capture_output=True, text=True, check=False, timeout=30
    )


def graph(path: Path, name: str) -> dict[str, Any]:
    done = evaluate(path, {"command": "plan", "environment": name})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["project"]
    return found


def schema_problems(project: dict[str, Any]) -> list[str]:
    edges = [
        {"from": node["address"], "to": v["resource"], "type": "variable", "key": key}
        for node in project["resources"]
        for key, v in node.get("variables", {}).items()
        if v["type"] == "reference"
    ]
    whole = {
        "version": 1,
        "project": {"name": project["name"]},
        "environments": [],
        "resources": project["resources"],
        "edges": edges,
    }
    return [error.message for error in Draft7Validator(json.loads(GRAPH.read_text())).iter_errors(whole)]


@pytest.mark.parametrize("name", STAGES)
def test_the_file_says_what_railway_json_says(name: str, tmp_path: Path) -> None:
    file = json.loads((ROOT / "railway.json").read_text())
    api = graph(checkout(tmp_path, name), name)["resources"][0]
    assert api["build"] == file["build"]
    assert api["deploy"].items() >= file["deploy"].items()
    assert set(api["deploy"]) - set(file["deploy"]) == {"multiRegionConfig"}, "more only where replicas run"
    assert api["deploy"] == a_project(name).services[0].deploy, "and what the client applies"
    assert api["source"] == {"type": "github", "repo": "example/signalbox", "branch": "main"}


@pytest.mark.parametrize("name", STAGES)
def test_it_fits_railways_schema_and_our_stricter_one(name: str, tmp_path: Path) -> None:
    found = graph(checkout(tmp_path, name), name)
    assert schema_problems(found) == []
    api = found["resources"][0]
    Build.model_validate(api["build"])
    Deploy.model_validate(api["deploy"])
    assert not {"tcp", "cdn", "networking"} & set(api), "no way in but the domain"
    assert all(v["type"] in ("literal", "reference", "preserve") for v in api["variables"].values())


def test_railway_json_has_nothing_that_is_misspelt_or_unsafe() -> None:
    file = File.model_validate_json((ROOT / "railway.json").read_text())
    assert file.deploy.drainingSeconds > DRAIN_SECONDS, "killed before it has drained"
    assert file.deploy.preDeployCommand == ["python -m migrations upgrade"]
    assert not file.deploy.sleepApplication


def test_every_stage_has_the_same_services(tmp_path: Path) -> None:
    path = checkout(tmp_path, *STAGES)
    assert len({tuple(node["address"] for node in graph(path, name)["resources"]) for name in STAGES}) == 1


def test_a_sealed_variable_is_kept_by_name_and_has_no_value_anywhere(tmp_path: Path) -> None:
    path = checkout(tmp_path, "production")
    api = graph(path, "production")["resources"][0]
    assert api["variables"]["TEST_KEY"] == {"type": "preserve"}
    assert api["variables"][RECORD] == {"type": "preserve"}
    assert set(api["variables"]) == {v.name for v in a_project("production").services[0].variables} | {RECORD}
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())  # bytecode, too
    assert SEALED.encode() not in written


def test_a_service_beside_the_api_is_declared_too(tmp_path: Path) -> None:
    """What the file leaves out, Railway plans to delete."""
    path = checkout(tmp_path)
    project = a_project("staging", secret=None)
    beside = Service("beside", {"image": "docker.io/library/busybox:1"}, {}, {"numReplicas": 1}, ())
    text = renderings.printable(replace(project, services=(*project.services, beside)), "sdk")
    (tmp_path / ".railway" / "environments" / "staging.json").write_text(text)
    found = graph(path, "staging")
    assert schema_problems(found) == []
    assert "service.beside" in [node["address"] for node in found["resources"]]


def test_without_an_environment_it_refuses_to_guess(tmp_path: Path) -> None:
    path = checkout(tmp_path, "production")
    assert evaluate(path, None).returncode != 0
    assert evaluate(path, {"command": "plan", "environment": "unknown"}).returncode != 0
    named = evaluate(path, None, RAILWAY_IAC_TARGET="production")
    assert json.loads(named.stdout)["project"]["name"] == StageNames("production").whole
