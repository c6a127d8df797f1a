"""Where a command finds what a stage is made from: outputs on disk, repository in git, secrets in its environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from infra.environment.build import EnvironmentRefused, Variable, build
from infra.environment.guard import refuse_misread
from infra.environment.table import EXTRA, TABLE, Inputs
from infra.railway.project import Project, Service, project, region
from infra.shell.failure import Failure
from infra.stage import certificate
from infra.stage import outputs as stack_outputs
from infra.stage import tailscale as tunnel
from infra.stage.record import Stage
from infra.stage.variables import SEALED, SEALED_PREFIX

_REMOTE = re.compile(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?\Z")


def outputs_file(folder: Path, name: str) -> Path:
    """Where ``signalbox up`` and ``signalbox stacks`` leave the outputs of a stage.

    Args:
        folder: The state folder.
        name: Of the stage.
    """
    return folder / "cdk-outputs.json" if name == "local" else folder / name / "cdk-outputs.json"


def outputs(path: Path, name: str) -> dict[str, str]:
    """Read the outputs of a stage.

    Args:
        path: As ``cdk deploy --outputs-file`` wrote it.
        name: Of the stage.

    Raises:
        Failure: It is not there, or not what the stacks say.
    """
    try:
        return stack_outputs.read(json.loads(path.read_text(encoding="utf-8")), name)
    except FileNotFoundError:
        how = "uv run signalbox up" if name == "local" else f"uv run signalbox stacks {name}"
        raise Failure(f"There are no stack outputs of stage {name} ({path}): {how}") from None
    except (OSError, ValueError):
        raise Failure(f"{path} cannot be read as JSON: deploy the stacks of stage {name} again") from None


def repository(root: Path, given: str | None = None) -> str:
    """``owner/name`` on GitHub.

    Args:
        root: The checkout.
        given: What the user said; it wins.

    Raises:
        Failure: Nobody said, and the remote ``origin`` is not on GitHub.
    """
    if given or (given := os.environ.get("SIGNALBOX_REPOSITORY")):
        return given
    asked = ["git", "-C", str(root), "remote", "get-url", "origin"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found := _REMOTE.search(done.stdout.strip()):
        return found[1]
    raise Failure(
        "The repository on GitHub that Railway builds from is not known: "
        "let the remote origin be there, or give --repository owner/name"
    )


def sealed_values(environ: Mapping[str, str], certificates: Path) -> dict[str, str]:
    """Sealed values: from the environment of the command, and what ``signalbox certs`` has made.

    Args:
        environ: Usually ``os.environ``.
        certificates: Where that command keeps the files of the stage.
    """
    given = ((name, value) for name, value in environ.items() if name.startswith(SEALED_PREFIX) and value)
    found = {name.removeprefix(SEALED_PREFIX): value for name, value in given}
    for name, file in certificate.FILES.items():
        path = certificates / file
        if name not in found and path.exists():
            found[name] = path.read_text(encoding="utf-8")
    return found


def sealed_needed(target: Stage) -> list[str]:
    """Names of the sealed variables of a stage.

    Args:
        target: The stage.
    """
    rows = (row for row in (*TABLE, *EXTRA) if row.sealed and row.stage.asked)
    own = [row.name for row in rows if row.stage.when is None or row.stage.when(target)]
    said = (name for name, value in target.variables.items() if value is SEALED)
    return [*own, *said, *(tunnel.SEALED if target.subnet_router else ())]


def stage_project(
    root: Path, target: Stage, found: Mapping[str, str], given: Mapping[str, str], repository_name: str, branch: str
) -> Project:
    """The project of a stage that runs on Railway.

    Args:
        root: The checkout.
        target: The stage.
        found: Its stack outputs.
        given: What is asked for.
        repository_name: ``owner/name``.
        branch: Which branch Railway builds.

    Raises:
        Failure: It does not make an environment the service accepts.
    """
    own = {name: value for name, value in given.items() if name not in tunnel.SEALED}
    variables = build(Inputs(target, found, given=own))
    beside = tuple(_tunnel(target, given))
    refuse_misread((variable for service in beside for variable in service.variables), EnvironmentRefused)
    return project(target, variables, root=root, repository=repository_name, branch=branch, beside=beside)


def _tunnel(target: Stage, given: Mapping[str, str]) -> Iterator[Service]:
    plain = tunnel.variables(target)
    if not plain:
        return
    text = "See infra/stage/tailscale.py."
    variables = [Variable(name, text, "stage record", True, value=value) for name, value in plain.items()]
    for name in tunnel.SEALED:
        secret = SecretStr(given[name]) if name in given else None
        text = "Joins the tailnet: an OAuth client's secret, or a reusable, ephemeral, pre-approved, tagged key."
        variables.append(Variable(name, text, "Tailscale's console", True, True, secret=secret))
    deploy = {
        "restartPolicyType": "ALWAYS",
        "multiRegionConfig": {region(target): {"numReplicas": 1}},
        "healthcheckPath": tunnel.HEALTH_PATH,
        "healthcheckTimeout": tunnel.HEALTH_TIMEOUT,
    }
    yield Service(tunnel.SERVICE, {"image": tunnel.IMAGE}, {}, deploy, tuple(variables))
