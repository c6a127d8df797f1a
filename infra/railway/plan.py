"""What is different between a project as it should be and as Railway has it. Looks, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from infra.environment.guard import looks_secret
from infra.railway.ledger import Ledger
from infra.railway.operations import Railway
from infra.railway.project import Project, Service
from infra.shell.failure import Failure
from infra.stage.variables import SEALED_PREFIX

SEALED: Final = "(sealed)"
_BLOCKS: Final = ("source", "build", "deploy")
_REGIONS: Final = "multiRegionConfig"
_LONGEST: Final = 100  # characters of a value that are shown


class PlanError(Failure):
    """Railway has something that the plan must not change by itself, or lacks something only a person can give."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project is on Railway; None for what is not there yet.

    Attributes:
        workspace: Id of the workspace; None with the token of one project.
        project: Id of the project.
        environment: Id of its environment.
        services: Ids of its services by name.
    """

    workspace: str | None
    project: str | None = None
    environment: str | None = None
    services: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        kind: What it is about.
        service: Which service; None for the project itself.
        name: Of the variable, or ``build.builder``, or of what is to be created.
        old: What Railway has, fit to be shown; None for nothing.
        new: What it is to have, fit to be shown.
    """

    kind: Literal["project", "environment", "service", "variable", "sealed", "setting"]
    service: str | None
    name: str
    old: str | None
    new: str

    def __str__(self) -> str:
        where = f"{self.service}: " if self.service and self.kind != "service" else ""
        shown = f"  {'+' if self.old is None else '~'} {where}{self.kind} {self.name}"
        if self.kind in ("project", "environment", "service"):
            return shown
        return f"{shown} = {self.new}" if self.old is None else f"{shown}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences.

    Attributes:
        place: Where the project is.
        changes: In the order in which they are made.
        foreign: Variables and services that are Railway's or somebody else's: they stay.
    """

    place: Place
    changes: tuple[Change, ...]
    foreign: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [str(change) for change in self.changes] or ["  nothing to change"]
        if self.foreign:
            lines.append(f"  left alone: {', '.join(self.foreign)}")
        return "\n".join(lines)


def locate(railway: Railway, project: Project, *, project_token: bool, workspace: str | None = None) -> Place:
    """Find a project by its name.

    Args:
        railway: The API.
        project: What to look for.
        project_token: Whether the token is for one project: then that one is it.
        workspace: Id or name, where the token is for several.

    Raises:
        PlanError: The workspace is not clear, two projects have the name, or the token is for another project.
    """
    if project_token:
        project_id, environment_id = railway.token_project()
        environments, services = railway.contents(project_id)
        if environments.get(project.environment) != environment_id:
            raise PlanError(f"RAILWAY_TOKEN is not for an environment named {project.environment}: take its own token")
        return Place(None, project_id, environment_id, services)
    workspace_id = choose_workspace(railway.workspaces(), workspace)
    found = [found_id for name, found_id in railway.projects(workspace_id) if name == project.name]
    if len(found) > 1:
        raise PlanError(f"Two projects of the workspace are named {project.name}: rename or delete one on Railway")
    if not found:
        return Place(workspace_id)
    environments, services = railway.contents(found[0])
    return Place(workspace_id, found[0], environments.get(project.environment), services)


def choose_workspace(found: Mapping[str, str], asked: str | None) -> str:
    """One workspace.

    Args:
        found: Those of the token, id -> name.
        asked: Id or name.

    Raises:
        PlanError: None, or not clear which.
    """
    names = ", ".join(sorted(found.values())) or "none"
    matching = [one for one, name in found.items() if asked is None or asked in (one, name)]
    if len(matching) != 1:
        raise PlanError(f"Which workspace is not clear (the token is for: {names}): give --workspace")
    return matching[0]


def plan(railway: Railway, project: Project, place: Place, ledger: Ledger) -> Plan:
    """Compare.

    Args:
        railway: The API.
        project: As it should be.
        place: Where it is, from ``locate``.
        ledger: Which sealed values were sent.

    Raises:
        PlanError: A sealed variable would have to become plain, or a required one has no value anywhere.
    """
    changes: list[Change] = []
    foreign: list[str] = []
    if place.project is None:
        changes.append(Change("project", None, project.name, None, ""))
    if place.environment is None:
        changes.append(Change("environment", None, project.environment, None, ""))
        config: Mapping[str, Any] = {}
        rows: Mapping[str, Mapping[str, tuple[bool, str]]] = {}
    else:
        config, rows = railway.environment(place.environment)
    for service in project.services:
        service_id = place.services.get(service.name)
        values: Mapping[str, str | None] = {}
        if service_id is None:
            changes.append(Change("service", service.name, service.name, None, ""))
        elif place.project is not None and place.environment is not None:
            values = railway.values(place.project, place.environment, service_id)
        sealed = {name for name, (is_sealed, _) in rows.get(service_id or "", {}).items() if is_sealed}
        changes += _variables(service, service_id, values, sealed, ledger)
        changes += _settings(service, config.get(service_id or "") or {})
        known = {v.name for v in service.variables}
        foreign += sorted(f"{service.name}.{n}" for n in values if n not in known and not n.startswith("RAILWAY_"))
    foreign += sorted(set(place.services) - {service.name for service in project.services})
    return Plan(place, tuple(changes), tuple(foreign))


def _variables(
    service: Service, service_id: str | None, values: Mapping[str, str | None], sealed: set[str], ledger: Ledger
) -> Iterator[Change]:
    for v in service.variables:
        there = v.name in values
        if v.secret is not None:
            known = service_id is not None and ledger.knows(service_id, v.name, v.secret.get_secret_value())
            if v.name not in sealed or not known:
                yield Change("sealed", service.name, v.name, SEALED if there else None, SEALED)
        elif v.value is None:
            if not there:
                raise PlanError(
                    f"{v.name} of service {service.name} is not on Railway yet, and no value was given ({v.source}): "
                    f"set {SEALED_PREFIX}{v.name} in the environment of this command"
                )
        elif v.name in sealed:
            raise PlanError(
                f"{v.name} of service {service.name} is sealed on Railway and should be plain; a seal cannot be "
                "broken: delete it on Railway, then run this again"
            )
        elif values.get(v.name) != v.value:
            old = values.get(v.name)
            shown = None if old is None else "(hidden)" if looks_secret(v.name, old) else _shown(old)
            yield Change("variable", service.name, v.name, shown, _shown(v.value))


def settings_patch(service: Service, config: Mapping[str, Any]) -> dict[str, Any]:
    """Which settings of a service have to change, as the part of a patch.

    Args:
        service: As it should be.
        config: What Railway has for it.
    """
    found: dict[str, Any] = {}
    for block in _BLOCKS:
        wanted, there = getattr(service, block), config.get(block) or {}
        changed = {name: value for name, value in wanted.items() if not _covers(there.get(name), value)}
        # A patch is merged: a region that it does not name would go on running replicas.
        if isinstance(regions := wanted.get(_REGIONS), Mapping):
            left = [name for name, value in (there.get(_REGIONS) or {}).items() if name not in regions and value]
            if left:
                changed[_REGIONS] = {**regions, **dict.fromkeys(left)}
        if changed:
            found[block] = changed
    return found


def _covers(there: object, wanted: object) -> bool:
    """Whether Railway has it, be it with more beside it: it adds to nested settings what it has decided itself."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(_covers(there.get(name), value) for name, value in wanted.items())
    return there == wanted


def _settings(service: Service, config: Mapping[str, Any]) -> Iterator[Change]:
    for block, changed in settings_patch(service, config).items():
        for name, value in changed.items():
            old = (config.get(block) or {}).get(name)
            shown = None if old is None else _shown(old)
            yield Change("setting", service.name, f"{block}.{name}", shown, _shown(value))


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
