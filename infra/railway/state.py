"""What Railway has of a stage, read once: where it is, its settings, variables, domains and deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from infra.railway.operations import VARIABLES, Deployment, Railway, nodes, values_of
from infra.railway.project import API, Project, project_name
from infra.shell.failure import Failure


class PlaceError(Failure):
    """Which project or environment is meant is not clear, or the token is for another one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project is on Railway; None for what is not there yet.

    Attributes:
        workspace: Id of the workspace; None with the token of one project.
        project: Id of the project.
        environment: Id of its environment.
        services: Ids of its services by the name they have in a ``Project``.
    """

    workspace: str | None
    project: str | None = None
    environment: str | None = None
    services: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A variable that Railway has.

    Attributes:
        value: Its text before references are filled in; None when it is sealed, or of another service.
        sealed: Whether it is.
        updated_at: ISO 8601, UTC.
    """

    value: str | None
    sealed: bool
    updated_at: str


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of a service.

    Attributes:
        id: Railway's id.
        name: The host.
        verified: Whether Railway has seen its records.
        records: What the zone has to have: type, name, value.
        custom: Whether it is the adopter's; otherwise one below railway.app.
    """

    id: str
    name: str
    verified: bool = True
    records: tuple[tuple[str, str, str], ...] = ()
    custom: bool = False

    @property
    def instructions(self) -> list[str]:
        """What its owner has to do about it."""
        records = [f"  {kind:<6} {name}  {value}" for kind, name, value in self.records]
        return [] if self.verified else [f"{self.name} waits for these DNS records:", *records]


@dataclass(frozen=True, slots=True)
class Instance:
    """A service in the environment.

    Attributes:
        latest: Its newest deployment.
        domains: Where it is reached.
    """

    latest: Deployment | None = None
    domains: tuple[Domain, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What there is.

    Attributes:
        place: Where.
        config: Settings by service id.
        held: Variables by service id and name.
        instances: By service id.
        notes: What a person should know: something has another name than it was given.
    """

    place: Place
    config: Mapping[str, Any] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# By which variable a service of ours is known that has been renamed.
_KNOWN_BY: Final = {"api": "DATABASE_URL", "tailscale": "TS_SOCKS5_SERVER"}


def observe(
    railway: Railway,
    project: Project,
    workspace: str | None = None,
    *,
    known: Place | None = None,
    values: bool = True,
) -> State:
    """Look.

    Args:
        railway: The API.
        project: What to look for.
        workspace: Id or name, where the token is for several.
        known: Where it was found, or made, a moment ago: that is not asked again.
        values: Whether the values of variables are needed; who deploys needs none.

    Raises:
        PlaceError: The workspace is not clear, two projects are the stage's, or the token is for another project.
    """
    notes: list[str] = []
    environment_id = workspace_id = None
    if railway.client.credential.project:
        project_id, environment_id = railway.token_project()
    elif known is not None and known.project is not None:
        workspace_id, project_id = known.workspace, known.project
    else:
        workspace_id = known.workspace if known else None
        workspace_id = workspace_id or choose_workspace(railway.workspaces(), workspace)
        listed = railway.listed(workspace_id)
        # By what was written below it when it was made: a name is for people to change.
        found = [one for one in listed if one.description == project.mark or one.name == project.name]
        if len(found) > 1:
            names = " and ".join(sorted(one.name for one in found))
            raise PlaceError(
                f"Two projects of the workspace are the stage's ({names}): rename or delete one on Railway"
            )
        if not found:
            return State(Place(workspace_id))
        project_id = found[0].id
        if found[0].name != project.name:
            notes.append(f"project {project.name} is named {found[0].name} on Railway")
    answer = railway.project(project_id)
    environments = [node for node in nodes(answer["environments"]) if not node["deletedAt"]]
    chosen = [node for node in environments if node["name"] == project.environment]
    if environment_id is not None and [node["id"] for node in chosen] != [environment_id]:
        raise PlaceError(f"RAILWAY_TOKEN is not for an environment named {project.environment}: take its own token")
    if not chosen:
        chosen = [node for node in environments if any(v["name"] == "DATABASE_URL" for v in nodes(node["variables"]))]
        if len(chosen) == 1:
            notes.append(f"environment {project.environment} is named {chosen[0]['name']} on Railway")
        else:
            services = {node["name"]: node["id"] for node in nodes(answer["services"]) if not node["deletedAt"]}
            return State(Place(workspace_id, project_id, None, services))
    return _read(railway, answer, chosen[0], workspace_id, notes, values)


def told(railway: Railway, stage: str, variable: str, workspace: str | None = None) -> str | None:
    """What the API's service of a stage is told on Railway; None where it is not, or the value is sealed.

    Args:
        railway: The API.
        stage: Its name.
        variable: Which.
        workspace: Id or name, where the token is for several.
    """
    state = observe(railway, Project(project_name(stage), stage, ()), workspace)
    held = state.held.get(state.place.services.get(API, ""), {}).get(variable)
    return held.value if held else None


def choose_workspace(found: Mapping[str, str], asked: str | None) -> str:
    """One workspace.

    Args:
        found: Those of the token, id -> name.
        asked: Id or name.

    Raises:
        PlaceError: None, or not clear which.
    """
    names = ", ".join(sorted(found.values())) or "none"
    matching = [one for one, name in found.items() if asked is None or asked in (one, name)]
    if len(matching) != 1:
        raise PlaceError(f"Which workspace is not clear (the token is for: {names}): give --workspace")
    return matching[0]


def waiting(state: State, project: Project) -> list[Domain]:
    """Domains of the stage whose records Railway has not seen.

    Args:
        state: What there is.
        project: The project.
    """
    instance = state.instances.get(state.place.services.get(project.services[0].name, ""), Instance())
    return [domain for domain in instance.domains if domain.name == project.host and not domain.verified]


def _read(
    railway: Railway, answer: Any, environment: Any, workspace: str | None, notes: list[str], with_values: bool
) -> State:
    rows: dict[str, dict[str, Any]] = {}
    for node in _rows(railway, environment):
        if node["serviceId"]:
            rows.setdefault(node["serviceId"], {})[node["name"]] = node
    services = {node["name"]: node["id"] for node in nodes(answer["services"]) if not node["deletedAt"]}
    for name, variable in _KNOWN_BY.items():
        there = [(other, one) for other, one in services.items() if variable in rows.get(one, {})]
        if name not in services and len(there) == 1:
            notes.append(f"service {name} is named {there[0][0]} on Railway")
            del services[there[0][0]]
            services[name] = there[0][1]
    ours = [services[name] for name in _KNOWN_BY if with_values and services.get(name) in rows]
    values: dict[str, Any] = {}
    if ours:
        asked = {f"s{n}": one for n, one in enumerate(ours)}
        told = railway.call(values_of(len(ours)), projectId=answer["id"], environmentId=environment["id"], **asked)
        values = {one: told[f"v{n}"] for n, one in enumerate(ours)}
    held = {one: dict(_held(rows.get(one, {}), values.get(one, {}))) for one in services.values()}
    instances = {
        node["serviceId"]: _instance(node) for node in nodes(environment["serviceInstances"]) if not node["deletedAt"]
    }
    config = (environment["config"] or {}).get("services") or {}
    place = Place(workspace, answer["id"], environment["id"], services)
    return State(place, config, held, instances, tuple(notes))


def _rows(railway: Railway, environment: Any) -> Iterator[Any]:
    first = environment["variables"]
    yield from nodes(first)
    if first["pageInfo"]["hasNextPage"]:
        after = first["pageInfo"]["endCursor"]
        for page in railway.pages(
            VARIABLES, lambda data: data["environment"]["variables"], after, id=environment["id"]
        ):
            yield from nodes(page)


def _held(rows: Mapping[str, Any], values: Mapping[str, str | None]) -> Iterator[tuple[str, Held]]:
    for name in {**rows, **values}:
        row = rows.get(name) or {"isSealed": values.get(name) is None, "updatedAt": ""}
        yield name, Held(values.get(name), bool(row["isSealed"]), row["updatedAt"])


def _instance(found: Mapping[str, Any]) -> Instance:
    latest = found["latestDeployment"]
    domains = found["domains"]
    own = [Domain(one["id"], one["domain"]) for one in domains["serviceDomains"]]
    return Instance(Deployment.read(latest) if latest else None, (*map(custom_domain, domains["customDomains"]), *own))


def custom_domain(found: Mapping[str, Any]) -> Domain:
    """As Railway answers.

    Args:
        found: With its status.
    """
    status = found["status"]
    records = [
        (r["recordType"].removeprefix("DNS_RECORD_TYPE_"), r["fqdn"], r["requiredValue"]) for r in status["dnsRecords"]
    ]
    if status["verificationToken"] and status["verificationDnsHost"]:
        records.append(("TXT", status["verificationDnsHost"], status["verificationToken"]))
    return Domain(found["id"], found["domain"], bool(status["verified"]), tuple(records), custom=True)
