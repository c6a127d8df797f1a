"""The one-click template: the service beside Railway's own PostgreSQL, for a trial without an AWS account.

Staging grade: the database is Railway's, its login is the superuser's password in a variable, and there is no KMS, no
audit trail and no agreement about health data. ``ENVIRONMENT=production`` refuses to start from it.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Final

from infra.environment.build import build_trial
from infra.environment.dotenv import indented
from infra.environment.table import TRIAL
from infra.railway.project import Project, Service, project, region
from infra.railway.renderings import template_variables
from infra.stage.chosen import stage

# As Railway's own PostgreSQL template has them; a reference such as ${{Postgres.PGDATABASE}} reads them.
POSTGRES_IMAGE: Final = "ghcr.io/railwayapp-templates/postgres-ssl:18"
_DATA: Final = "/var/lib/postgresql/data"
_POSTGRES: Final[dict[str, tuple[str, str]]] = {
    "POSTGRES_DB": ("railway", "Database."),
    "POSTGRES_USER": ("postgres", "The superuser, which only the migrations use."),
    "POSTGRES_PASSWORD": ('${{secret(32, "abcdefghijklmnopqrstuvwxyz0123456789")}}', "Its password."),
    "PGDATA": (f"{_DATA}/pgdata", "Where the data is, on the volume."),
    "PGHOST": ("${{RAILWAY_PRIVATE_DOMAIN}}", "Host, on the private network."),
    "PGPORT": ("5432", "Port."),
    "PGUSER": ("${{POSTGRES_USER}}", "As POSTGRES_USER."),
    "PGPASSWORD": ("${{POSTGRES_PASSWORD}}", "As POSTGRES_PASSWORD."),
    "PGDATABASE": ("${{POSTGRES_DB}}", "As POSTGRES_DB."),
}


def trial_project(root: Path, repository: str) -> Project:
    """The API of the trial, with its variables.

    Args:
        root: The checkout.
        repository: ``owner/name`` that Railway builds from.
    """
    # The template draws from its record no more than how many replicas there are: one. This stage there always is.
    local = stage("local")
    record = local.model_copy(update={"name": TRIAL, "railway_region": region(local)})
    return project(record, build_trial(record), root=root, repository=repository)


def serialized(trial: Project) -> str:
    """The template as Railway stores it (``serializedConfig``): two services, and what it asks for.

    Args:
        trial: As ``trial_project`` made it.
    """
    api = trial.services[0]
    return indented({"services": {_id("Postgres"): _postgres(), _id(api.name): _api(api)}})


def _id(name: str) -> str:
    """The template's own name of a service: any UUID, the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://railway.com/template/signalbox/{name}"))


def _api(api: Service) -> dict[str, Any]:
    return {
        "name": api.name,
        "source": dict(api.source),
        "build": dict(api.build),
        "deploy": {name: value for name, value in api.deploy.items() if name != "multiRegionConfig"},
        "networking": {"serviceDomains": {"<hasDomain>": {}}},
        "variables": template_variables(api.variables),
    }


def _postgres() -> dict[str, Any]:
    return {
        "name": "Postgres",
        "source": {"image": POSTGRES_IMAGE},
        "deploy": {"requiredMountPath": _DATA, "restartPolicyType": "ON_FAILURE"},
        "volumeMounts": {_id("volume"): {"mountPath": _DATA}},
        "variables": {
            name: {"defaultValue": value, "description": text, "isOptional": False}
            for name, (value, text) in _POSTGRES.items()
        },
    }
