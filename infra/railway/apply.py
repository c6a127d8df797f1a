"""Make Railway have what the project says. Looks before each step, so that it can be run again after any failure.

Nothing is deleted, and nothing that the project does not name is touched. Services are created without a source: one
that has a source and no variables would be deployed, and fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from infra.railway import operations
from infra.railway.ledger import Ledger
from infra.railway.operations import Railway
from infra.railway.plan import Place, Plan, locate, plan, settings_patch
from infra.railway.project import Project, Service
from infra.railway.renderings import patch_variables
from infra.shell.failure import Failure

MESSAGE: Final = "signalbox:"  # begins the message of each patch, by which a later run knows its own


def apply(
    railway: Railway,
    project: Project,
    ledger: Ledger,
    *,
    project_token: bool = False,
    workspace: str | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Place:
    """Bring a project to what it should be.

    Args:
        railway: The API.
        project: As it should be.
        ledger: Which sealed values were sent; written after each patch.
        project_token: Whether the token is for one project.
        workspace: Id or name.
        told: Told each thing that was done.

    Returns:
        Where the project is now.

    Raises:
        Failure: A step failed; run it again, what is done stays done.
    """
    place = locate(railway, project, project_token=project_token, workspace=workspace)
    # `doctor` is advice; this is the gate, for whoever applies. The token of one project cannot ask.
    if project.needs_agreement and place.workspace is not None and not railway.has_baa(place.workspace):
        raise Failure(
            "the workspace has no business associate agreement with Railway, and this stage may hold health data: "
            "see signalbox doctor"
        )
    plan(railway, project, place, ledger)  # refuses before anything is created
    place = _create(railway, project, place, told)
    assert place.project is not None
    assert place.environment is not None
    for service in project.services:
        current = plan(railway, project, place, ledger)
        _set_variables(railway, service, place, current, told)
    current = plan(railway, project, place, ledger)
    _commit_patch(railway, project, place, current, ledger, told)
    return place


def _create(railway: Railway, project: Project, place: Place, told: Callable[[str], None]) -> Place:
    if place.project is None:
        given = {
            "name": project.name,
            "workspaceId": place.workspace,
            "defaultEnvironmentName": project.environment,
            "prDeploys": False,  # a pull request's environment inherits every plain variable
            "isPublic": False,
        }
        railway.call(operations.PROJECT_CREATE, input=given)
        told(f"created project {project.name}")
        place = locate(railway, project, project_token=False, workspace=place.workspace)
        if place.project is None:
            raise Failure(f"Railway does not show project {project.name} yet: run the same command again")
    if place.environment is None:
        given = {"projectId": place.project, "name": project.environment, "skipInitialDeploys": True}
        railway.call(operations.ENVIRONMENT_CREATE, input=given)
        told(f"created environment {project.environment}")
    for service in project.services:
        if service.name not in place.services:
            given = {"projectId": place.project, "name": service.name}
            railway.call(operations.SERVICE_CREATE, input=given)
            told(f"created service {service.name}")
    environments, services = railway.contents(place.project)
    hidden = [s.name for s in project.services if s.name not in services]
    if project.environment not in environments or hidden:
        raise Failure(f"Railway does not show all of project {project.name} yet: run the same command again")
    return Place(place.workspace, place.project, environments[project.environment], services)


def _set_variables(
    railway: Railway, service: Service, place: Place, current: Plan, told: Callable[[str], None]
) -> None:
    names = [c.name for c in current.changes if c.kind == "variable" and c.service == service.name]
    if not names:
        return
    values = {v.name: v.value for v in service.variables if v.name in names}
    given = {
        "projectId": place.project,
        "environmentId": place.environment,
        "serviceId": place.services[service.name],
        "variables": values,
        "replace": False,  # true deletes every variable that is not in the list
        "skipDeploys": True,
    }
    railway.call(operations.UPSERT, input=given)
    told(f"set {', '.join(names)} of {service.name}")


def _commit_patch(
    railway: Railway,
    project: Project,
    place: Place,
    current: Plan,
    ledger: Ledger,
    told: Callable[[str], None],
) -> None:
    """Settings and sealed values of every service in one patch: both or neither."""
    assert place.environment is not None
    config, _ = railway.environment(place.environment)
    services: dict[str, Any] = {}
    sent: dict[str, dict[str, str]] = {}
    words: list[str] = []
    for service in project.services:
        service_id = place.services[service.name]
        stale = {c.name for c in current.changes if c.kind == "sealed" and c.service == service.name}
        change = settings_patch(service, config.get(service_id) or {})
        words += [f"{service.name} {block}" for block in change]
        if stale:
            change["variables"] = patch_variables(service.variables, only=lambda v, stale=stale: v.name in stale)  # type: ignore[misc]
            sent[service_id] = {
                v.name: v.secret.get_secret_value() for v in service.variables if v.name in stale and v.secret
            }
            words += [f"{service.name} seal {name}" for name in sorted(stale)]
        if change:
            services[service_id] = change
    if not services:
        return
    message = f"{MESSAGE} {', '.join(words)}"[:200]
    railway.call(operations.PATCH, environmentId=place.environment, patch={"services": services}, message=message)
    for service_id, values in sent.items():
        ledger.remember(service_id, values)
    told(f"committed {', '.join(words)}")
