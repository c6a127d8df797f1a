"""Make Railway have what the project says. Looks before it acts, so that it can be run again after any failure.

What the tool owns and the project no longer wants is removed; what it does not own is not touched. Services are created
without a source: one that has a source and no variables would be deployed, and fail. Everything that a patch can hold
is one patch: all of it, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.railway import operations
from infra.railway.api import NotAllowedError
from infra.railway.operations import Railway
from infra.railway.plan import RAILWAY_DOMAIN, Plan, PlanError, plan
from infra.railway.project import Project
from infra.railway.state import Place, State, custom_domain, observe
from infra.shell.failure import Failure

MESSAGE: Final = "signalbox:"  # begins the message of each patch; the services whose settings it changes follow
_LONGEST: Final = 500  # characters of a message


class Changed(Failure):
    """Railway was changed between the plan that was shown and its application."""


def refuse_without_agreement(railway: Railway, project: Project, workspace: str | None) -> None:
    """The gate of every way that changes or deploys something; ``doctor`` is advice.

    Args:
        railway: The API.
        project: The project.
        workspace: Id of its workspace; None with the token of one project.

    Raises:
        Failure: It may hold health data, and there is no business associate agreement, or none that could be seen.
    """
    if not project.needs_agreement:
        return
    if workspace is None:
        raise Failure(
            "This stage may hold health data, and the token of a project cannot see whether the workspace has a "
            "business associate agreement with Railway: use RAILWAY_API_TOKEN, with a token of the workspace"
        )
    if not railway.has_baa(workspace):
        raise Failure(
            "The workspace has no business associate agreement with Railway, and this stage may hold health data: "
            "see signalbox doctor"
        )


def apply(
    railway: Railway,
    project: Project,
    *,
    workspace: str | None = None,
    shown: Plan | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> State:
    """Bring a project to what it should be.

    Args:
        railway: The API.
        project: As it should be.
        workspace: Id or name.
        shown: The plan that a person has agreed to; None applies whatever there is to do.
        told: Told each thing that was done.

    Returns:
        What Railway had when nothing was left to do but the patch.

    Raises:
        Changed: There is something else to do now than the plan said.
        Failure: A step failed; run it again, what is done stays done.
    """
    state = observe(railway, project, workspace, known=Place(shown.state.place.workspace) if shown else None)
    refuse_without_agreement(railway, project, state.place.workspace)
    current = plan(project, state)  # refuses before anything is created
    if shown is not None and str(shown) != str(current):
        raise Changed(f"Railway was changed since the plan was shown; now there is this to do:\n{current}")
    made = _create(railway, project, state.place, told)
    if made is not None:
        state = observe(railway, project, workspace, known=made)
        hidden = [service.name for service in project.services if service.name not in state.place.services]
        if state.place.environment is None or hidden:
            raise Failure(f"Railway does not show all of project {project.name} yet: run the same command again")
        current = plan(project, state)
    _domains(railway, project, current, told)
    if current.patch:
        _commit(railway, state.place, current, told)
        _end_services(railway, project, current, workspace)
    return state


def _create(railway: Railway, project: Project, place: Place, told: Callable[[str], None]) -> Place | None:
    """Create what is missing; where that is, None where nothing was."""
    project_id = place.project
    if project_id is None:
        if place.workspace is None:
            raise PlanError("The token of a project creates none: use RAILWAY_API_TOKEN")
        given = {
            "name": project.name,
            "description": project.mark,
            "workspaceId": place.workspace,
            "defaultEnvironmentName": project.environment,
            "prDeploys": False,  # a pull request's environment inherits every plain variable
            "isPublic": False,
        }
        project_id = railway.call(operations.PROJECT_CREATE, input=given)["projectCreate"]["id"]
        told(f"created project {project.name}")
    elif place.environment is None:
        given = {"projectId": project_id, "name": project.environment, "skipInitialDeploys": True}
        railway.call(operations.ENVIRONMENT_CREATE, input=given)
        told(f"created environment {project.environment}")
    missing = [service.name for service in project.services if service.name not in place.services]
    for name in missing:
        railway.call(operations.SERVICE_CREATE, input={"projectId": project_id, "name": name})
        told(f"created service {name}")
    return Place(place.workspace, project_id) if missing or place.environment is None else None


def _domains(railway: Railway, project: Project, current: Plan, told: Callable[[str], None]) -> None:
    place = current.state.place
    service_id = place.services[project.services[0].name]
    for change in current.changes:
        if change.kind != "domain" or change.new is None:
            continue
        where = {"environmentId": place.environment, "serviceId": service_id}
        if change.name.endswith(RAILWAY_DOMAIN):
            made = railway.call(operations.SERVICE_DOMAIN, input=where)["serviceDomainCreate"]["domain"]
            if made != change.name:
                raise PlanError(
                    f"Railway gave the service the domain {made}: set public_url of the stage to https://{made} "
                    "in infra/product.py, then run this again"
                )
        else:
            given = {**where, "projectId": place.project, "domain": change.name}
            made = railway.call(operations.CUSTOM_DOMAIN, input=given)["customDomainCreate"]
            for line in custom_domain(made).instructions:
                told(line)
        told(f"registered domain {change.name}")
    for domain in current.left:
        ending = operations.CUSTOM_DOMAIN_DELETE if domain.custom else operations.SERVICE_DOMAIN_DELETE
        railway.call(ending, id=domain.id)
        told(f"removed domain {domain.name}")


def _commit(railway: Railway, place: Place, current: Plan, told: Callable[[str], None]) -> None:
    names = {service_id: name for name, service_id in place.services.items()}
    # A variable that is set says itself when it was; for settings, and for what was removed, the message does.
    marked = sorted(names[one] for one, part in current.patch.items() if _only_message_tells(part))
    done = [c for c in current.changes if c.kind in ("variable", "sealed", "setting") or c.new is None]
    words = ", ".join(f"{'-' if c.new is None else ''}{c.service}.{c.name}" for c in done if c.kind != "domain")
    message = f"{MESSAGE} {' '.join(marked)} | {words}"[:_LONGEST]
    try:
        railway.call(
            operations.PATCH, environmentId=place.environment, patch={"services": current.patch}, message=message
        )
    except NotAllowedError:
        if not railway.client.credential.project:
            raise
        _one_by_one(railway, place, current.patch)
    told(f"committed {words}")


def _only_message_tells(part: Mapping[str, Any]) -> bool:
    return any(block != "variables" for block in part) or None in part.get("variables", {}).values()


def _one_by_one(railway: Railway, place: Place, patch: Mapping[str, Any]) -> None:
    """Plain variables, which the token of a project may set where it may not commit patches."""
    for part in patch.values():
        variables = part.get("variables", {})
        if set(part) != {"variables"} or any(entry and entry.get("isSealed") for entry in variables.values()):
            raise Failure(
                "The token of a project may not change settings, services or sealed variables: use RAILWAY_API_TOKEN"
            )
    for service_id, part in patch.items():
        where = {"projectId": place.project, "environmentId": place.environment, "serviceId": service_id}
        values = {name: entry["value"] for name, entry in part["variables"].items() if entry}
        if values:
            # `replace` deletes every variable that is not in the list.
            given = {**where, "variables": values, "replace": False, "skipDeploys": True}
            railway.call(operations.UPSERT, input=given)
        for name in (name for name, entry in part["variables"].items() if entry is None):
            railway.call(operations.VARIABLE_DELETE, input={**where, "name": name})


def _end_services(railway: Railway, project: Project, current: Plan, workspace: str | None) -> None:
    """Whether a patch ends a service is not known for sure: where it has not, the operation made for it does."""
    ended = {one for one, part in current.patch.items() if part.get("isDeleted")}
    if not ended:
        return
    place = observe(railway, project, workspace, known=current.state.place, values=False).place
    for service_id in ended & set(place.services.values()):
        railway.call(operations.SERVICE_DELETE, id=service_id, environmentId=place.environment)
