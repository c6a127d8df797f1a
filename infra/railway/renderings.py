"""An environment in the five forms that somebody reads: people, Railway's raw editor, its SDK, its templates, its API.

None of them ever holds the value of a sealed variable but the patch that is sent; ``printable`` refuses that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.environment.build import Environment, Variable
from infra.environment.dotenv import dotenv, flat_json, indented
from infra.railway.project import Project
from infra.railway.sealed import RECORD, RECORD_TEXT
from infra.shell.failure import Failure

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


class WouldPrintSecret(Failure):
    """A rendering for eyes or files holds the value of a sealed variable."""


def sdk(project: Project) -> str:
    """As the file that ``.railway/railway.py`` reads: no value of a sealed variable, only that it is to stay.

    Args:
        project: The whole project: the SDK's file owns every service in it.
    """
    api, *beside = project.services
    return indented(
        {
            "project": project.name,
            "environment": project.environment,
            "service": api.name,
            "repository": api.source["repo"],
            "branch": api.source["branch"],
            "migrations": "auto" if "preDeployCommand" in api.deploy else "manual",
            "replicas": {name: of["numReplicas"] for name, of in api.deploy["multiRegionConfig"].items()},
            "variables": _sdk_variables(api.variables),
            "beside": {
                s.name: {"image": s.source["image"], "deploy": s.deploy, "variables": _sdk_variables(s.variables)}
                for s in beside
            },
        }
    )


def _sdk_variables(environment: Environment) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for v in environment:
        entry: dict[str, Any] = {"description": v.description, "source": v.source, "isOptional": not v.required}
        if v.sealed or v.value is None:
            entry |= {"preserve": True, "isSealed": v.sealed}
        else:
            entry["reference" if "${{" in v.value else "value"] = v.value
        found[v.name] = entry
    if any(v.sealed for v in environment):  # what the file does not name, Railway's command line would delete
        found[RECORD] = {"description": RECORD_TEXT, "source": "signalbox apply", "isOptional": True, "preserve": True}
    return found


def template_variables(environment: Environment) -> dict[str, dict[str, Any]]:
    """The ``variables`` block of a Railway template: what has no ``defaultValue`` and is not optional is asked for."""
    found: dict[str, dict[str, Any]] = {}
    for v in environment:
        entry: dict[str, Any] = {
            "description": v.description,
            "isOptional": not v.required and v.value is None and v.secret is None,
        }
        if v.value is not None:
            entry["defaultValue"] = v.value
        if v.sealed:
            entry["isSealed"] = True
        found[v.name] = entry
    return found


def patch_variables(environment: Environment, *, only: Callable[[Variable], bool] = lambda _: True) -> dict[str, Any]:
    """The ``variables`` of a service in an environment patch; a sealed one without a value is left alone.

    Args:
        environment: The variables.
        only: Which of them.
    """
    found: dict[str, Any] = {}
    for v in filter(only, environment):
        if v.secret is not None:
            found[v.name] = {"value": v.secret.get_secret_value(), "isSealed": True, "description": v.description}
        elif v.value is not None:
            found[v.name] = {"value": v.value, "description": v.description} | ({"isSealed": True} if v.sealed else {})
    return found


def patch(project: Project) -> dict[str, Any]:
    """An environment patch with the variables of every service.

    Args:
        project: The project; Railway's ids of its services are not known here, their names stand for them.
    """
    return {"services": {s.name: {"variables": patch_variables(s.variables)} for s in project.services}}


def printable(project: Project, form: str) -> str:
    """One of the renderings, for eyes and files.

    Args:
        project: The project.
        form: One of ``FORMS``.

    Raises:
        WouldPrintSecret: A sealed value is among them: this is for environments that were built without.
        Failure: A name that no environment can have.
    """
    for v in (variable for service in project.services for variable in service.variables):
        if v.secret is not None:
            raise WouldPrintSecret(f"{v.name} is sealed: its value is only ever sent, never printed")
        if not _NAME.match(v.name):
            raise Failure(f"{v.name!r} cannot be the name of a variable")
    return FORMS[form](project)


FORMS: Final[Mapping[str, Callable[[Project], str]]] = {
    "dotenv": lambda project: dotenv(project.services[0].variables),
    "json": lambda project: flat_json(project.services[0].variables),
    "sdk": sdk,
    "template": lambda project: indented(template_variables(project.services[0].variables)),
    "patch": lambda project: indented(patch(project)),
}
