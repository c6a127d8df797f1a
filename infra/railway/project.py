"""What a stage is on Railway: one project of its own, one environment, and its services.

A project per stage, because who may see one project of a workspace need not see the other, and a service that is made
in a project appears in each of its environments. How the API is built and run is in railway.json, which
``.railway/railway.py`` reads too: one place, whoever applies it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from infra.environment.build import Environment
from infra.shell.failure import Failure
from infra.stage.names import StageNames
from infra.stage.record import LOOPBACK, RailwayRegion, Stage

API: Final = "api"
# Railway's region beside an AWS one, by how the latter's name begins; the others have none near them.
_REGIONS: Final[tuple[tuple[str, RailwayRegion], ...]] = (
    ("us-west", "us-west2"),
    ("us-east", "us-east4-eqdc4a"),
    ("eu", "europe-west4-drams3a"),
    ("ap-southeast-1", "asia-southeast1-eqsg3a"),
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+\Z")


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the project.

    Attributes:
        name: Unique in the project; Railway minds the case.
        source: ``repo`` and ``branch``, or ``image``, as in an environment patch.
        build: As in an environment patch.
        deploy: As in an environment patch.
        variables: Its environment.
    """

    name: str
    source: Mapping[str, Any]
    build: Mapping[str, Any]
    deploy: Mapping[str, Any]
    variables: Environment


@dataclass(frozen=True, slots=True)
class Project:
    """A stage as Railway is to have it.

    Attributes:
        name: Of the project.
        environment: Of its one environment.
        services: The API first.
        host: Of the API's address; None for an address that no domain can be for.
        needs_agreement: Whether it may hold health data, and so must not be without a business associate agreement.
    """

    name: str
    environment: str
    services: tuple[Service, ...]
    host: str | None = None
    needs_agreement: bool = False

    @property
    def mark(self) -> str:
        """What is written below it on Railway, by which it is found again under any name."""
        return f"{self.name}: made by signalbox, which finds it by this line"


def project(
    stage: Stage,
    variables: Environment,
    *,
    root: Path,
    repository: str,
    branch: str = "main",
    beside: tuple[Service, ...] = (),
) -> Project:
    """Put the project of a stage together.

    Args:
        stage: The stage.
        variables: The API's environment.
        root: The checkout, for railway.json.
        repository: ``owner/name`` on GitHub that Railway builds from.
        branch: Which branch.
        beside: Services that the API needs beside it.

    Raises:
        Failure: The repository's name is none.
    """
    if not _REPOSITORY.match(repository):
        raise Failure(f"{repository!r} is no repository: give --repository owner/name")
    file = json.loads((root / "railway.json").read_text(encoding="utf-8"))
    source = {"repo": repository, "branch": branch}
    deploy = {**file["deploy"], "multiRegionConfig": {region(stage): {"numReplicas": stage.replicas}}}
    if stage.migrations == "manual":
        del deploy["preDeployCommand"]
    api = Service(API, source, file["build"], deploy, variables)
    services = (api, *beside)
    return Project(
        project_name(stage.name), stage.name, services, _host(stage.public_url), stage.environment == "production"
    )


def _host(address: str) -> str | None:
    host = urlsplit(address).hostname or ""
    return None if host in LOOPBACK or host.replace(".", "").isdigit() else host


def project_name(stage: str) -> str:
    """The name of a stage's project.

    Args:
        stage: Name of the stage.
    """
    return StageNames(stage).whole


def region(stage: Stage) -> RailwayRegion:
    """Where Railway runs a stage.

    Args:
        stage: The stage.

    Raises:
        Failure: Railway is not near the stage's AWS region: where data goes then is the adopter's to say.
    """
    near = next((name for prefix, name in _REGIONS if stage.region.startswith(prefix)), None)
    if stage.name == "local":
        return near or "us-east4-eqdc4a"  # nothing of it is ever on Railway
    if found := stage.railway_region or near:
        return found
    raise Failure(
        f"Railway has no region near {stage.region} of stage {stage.name}: say railway_region in infra/product.py "
        f"({', '.join(get_args(RailwayRegion))})"
    )
