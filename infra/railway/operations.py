"""What is asked of Railway: each operation once, with its answer as a type.

tests/railway/test_api.py validates every document against Railway's schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.railway.api import Client, Operation

_PAGE: Final = 100
_PAGES: Final = 50  # that is enough for anybody, and an end where an answer has none

TOKEN_WORKSPACES = Operation(
    "query tokenWorkspaces{apiToken{workspaces{id name}}}", "see which workspaces the token is for"
)
TOKEN_PROJECT = Operation(
    "query tokenProject{projectToken{projectId environmentId}}", "see which project the token is for"
)
AGREEMENTS = Operation(
    "query agreements($workspaceId:String!){complianceAgreements(workspaceId:$workspaceId){hasBAA hasDPA}}",
    "see whether the workspace has a business associate agreement",
)
PROJECTS = Operation(
    "query projects($workspaceId:String,$first:Int,$after:String){"
    "projects(workspaceId:$workspaceId,first:$first,after:$after){"
    "edges{node{id name deletedAt}}pageInfo{hasNextPage endCursor}}}",
    "list the projects",
)
PROJECT = Operation(
    "query project($id:String!,$first:Int){project(id:$id){id name workspaceId "
    "environments(first:$first){edges{node{id name deletedAt}}}"
    "services(first:$first){edges{node{id name deletedAt}}}}}",
    "read the project",
)
PROJECT_CREATE = Operation(
    "mutation projectCreate($input:ProjectCreateInput!){projectCreate(input:$input){id}}",
    "create the project",
    repeatable=False,
)
PROJECT_DELETE = Operation(
    "mutation projectDelete($id:String!){projectDelete(id:$id)}",
    "delete the project",
    repeatable=False,
)
ENVIRONMENT_CREATE = Operation(
    "mutation environmentCreate($input:EnvironmentCreateInput!){environmentCreate(input:$input){id}}",
    "create the environment",
    repeatable=False,
)
ENVIRONMENT = Operation(
    "query environment($id:String!,$first:Int,$after:String){environment(id:$id){config(decryptVariables:false)"
    "variables(first:$first,after:$after){edges{node{name serviceId isSealed updatedAt}}"
    "pageInfo{hasNextPage endCursor}}}}",
    "read the environment",
)
VALUES = Operation(
    "query values($projectId:String!,$environmentId:String!,$serviceId:String){"
    "variables(projectId:$projectId,environmentId:$environmentId,serviceId:$serviceId,unrendered:true)}",
    "read the variables",
)
SERVICE_CREATE = Operation(
    "mutation serviceCreate($input:ServiceCreateInput!){serviceCreate(input:$input){id}}",
    "create the service",
    repeatable=False,
)
UPSERT = Operation(
    "mutation upsert($input:VariableCollectionUpsertInput!){variableCollectionUpsert(input:$input)}",
    "set the variables",
)
PATCH = Operation(
    "mutation patch($environmentId:String!,$patch:EnvironmentConfig!,$message:String){"
    "environmentPatchCommit(environmentId:$environmentId,patch:$patch,commitMessage:$message)}",
    "commit the environment patch",
)
PATCHES = Operation(
    "query patches($environmentId:String!,$first:Int,$after:String){"
    "environmentPatches(environmentId:$environmentId,first:$first,after:$after){"
    "edges{node{appliedAt message}}pageInfo{hasNextPage endCursor}}}",
    "list the committed patches",
)
INSTANCE = Operation(
    "query instance($environmentId:String!,$serviceId:String!){"
    "serviceInstance(environmentId:$environmentId,serviceId:$serviceId){"
    "latestDeployment{id status createdAt meta}"
    "domains{customDomains{domain status{verified verificationDnsHost verificationToken "
    "dnsRecords{recordType fqdn requiredValue status}}}serviceDomains{domain}}}}",
    "read the service's state",
)
DEPLOY = Operation(
    "mutation deploy($serviceId:String!,$environmentId:String!,$commitSha:String){"
    "serviceInstanceDeployV2(serviceId:$serviceId,environmentId:$environmentId,commitSha:$commitSha)}",
    "start a deployment",
    repeatable=False,
)
DEPLOYMENT = Operation(
    "query deployment($id:String!){deployment(id:$id){id status createdAt meta}}", "read the deployment"
)
CUSTOM_DOMAIN = Operation(
    "mutation customDomain($input:CustomDomainCreateInput!){customDomainCreate(input:$input){domain}}",
    "register the domain",
    repeatable=False,
)
SERVICE_DOMAIN = Operation(
    "mutation serviceDomain($input:ServiceDomainCreateInput!){serviceDomainCreate(input:$input){domain}}",
    "make a railway.app domain",
    repeatable=False,
)


@dataclass(frozen=True, slots=True)
class Held:
    """A variable that Railway has.

    Attributes:
        value: Its text before references are filled in; None when it is sealed.
        sealed: Whether it is.
        updated_at: ISO 8601, UTC.
    """

    value: str | None
    sealed: bool
    updated_at: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment.

    Attributes:
        id: Railway's id.
        status: One of ``DeploymentStatus``.
        created_at: ISO 8601, UTC.
        commit: What it was built from; None when Railway does not say.
    """

    id: str
    status: str
    created_at: str
    commit: str | None


@dataclass(frozen=True, slots=True)
class Domain:
    """A custom domain.

    Attributes:
        name: The host.
        verified: Whether Railway has seen its records.
        records: What the zone has to have: type, name, value.
    """

    name: str
    verified: bool
    records: tuple[tuple[str, str, str], ...]


class Railway:
    """The operations with their answers as types.

    Args:
        client: Calls them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.call = client.call

    def workspaces(self) -> dict[str, str]:
        """Workspaces of the token, id -> name."""
        found = self.call(TOKEN_WORKSPACES)["apiToken"]["workspaces"]
        return {workspace["id"]: workspace["name"] for workspace in found}

    def token_project(self) -> tuple[str, str]:
        """Project and environment that a project token is for."""
        found = self.call(TOKEN_PROJECT)["projectToken"]
        return found["projectId"], found["environmentId"]

    def has_baa(self, workspace_id: str) -> bool:
        """Whether the workspace has signed a business associate agreement."""
        return bool(self.call(AGREEMENTS, workspaceId=workspace_id)["complianceAgreements"]["hasBAA"])

    def projects(self, workspace_id: str) -> list[tuple[str, str]]:
        """Name and id of each project of a workspace that is not deleted."""
        pages = self._pages(PROJECTS, lambda data: data["projects"], workspaceId=workspace_id)
        return [(node["name"], node["id"]) for page in pages for node in _nodes(page) if not node["deletedAt"]]

    def contents(self, project_id: str) -> tuple[dict[str, str], dict[str, str]]:
        """Environments and services of a project, name -> id."""
        found = self.call(PROJECT, id=project_id, first=_PAGE)["project"]
        return _by_name(found["environments"]), _by_name(found["services"])

    def environment(self, environment_id: str) -> tuple[Mapping[str, Any], dict[str, dict[str, tuple[bool, str]]]]:
        """The configuration by service id, and for each service id its variables: sealed, and since when."""
        rows: dict[str, dict[str, tuple[bool, str]]] = {}
        config: Mapping[str, Any] = {}

        def variables(data: Any) -> Any:
            nonlocal config
            config = (data["environment"]["config"] or {}).get("services") or {}
            return data["environment"]["variables"]

        for page in self._pages(ENVIRONMENT, variables, id=environment_id):
            for node in _nodes(page):
                if node["serviceId"]:
                    rows.setdefault(node["serviceId"], {})[node["name"]] = (node["isSealed"], node["updatedAt"])
        return config, rows

    def values(self, project_id: str, environment_id: str, service_id: str) -> dict[str, str | None]:
        """Variables of a service with their references as written; a sealed one is None."""
        found = self.call(VALUES, projectId=project_id, environmentId=environment_id, serviceId=service_id)
        return dict(found["variables"])

    def patched_at(self, environment_id: str, prefix: str) -> str | None:
        """When the newest patch whose message begins with a text was applied."""
        pages = self._pages(PATCHES, lambda data: data["environmentPatches"], environmentId=environment_id)
        nodes = (node for page in pages for node in _nodes(page))
        ours = (n["appliedAt"] for n in nodes if n["appliedAt"] and (n["message"] or "").startswith(prefix))
        return max(ours, default=None)

    def latest(self, environment_id: str, service_id: str) -> Deployment | None:
        """The newest deployment of a service."""
        found = self._instance(environment_id, service_id)["latestDeployment"]
        return _deployment(found) if found else None

    def deployment(self, deployment_id: str) -> Deployment:
        """A deployment."""
        return _deployment(self.call(DEPLOYMENT, id=deployment_id)["deployment"])

    def domains(self, environment_id: str, service_id: str) -> tuple[list[Domain], list[str]]:
        """Custom domains, and railway.app domains, of a service."""
        found = self._instance(environment_id, service_id)["domains"]
        return [_domain(d) for d in found["customDomains"]], [d["domain"] for d in found["serviceDomains"]]

    def _pages(self, operation: Operation, part: Callable[[Any], Any], **variables: str) -> Iterator[Any]:
        """The pages of a connection."""
        after = None
        for _ in range(_PAGES):
            page = part(self.call(operation, **variables, first=_PAGE, after=after))
            yield page
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]

    def _instance(self, environment_id: str, service_id: str) -> Any:
        return self.call(INSTANCE, environmentId=environment_id, serviceId=service_id)["serviceInstance"]


def _nodes(connection: Mapping[str, Any]) -> list[Any]:
    return [edge["node"] for edge in connection["edges"]]


def _by_name(connection: Mapping[str, Any]) -> dict[str, str]:
    return {node["name"]: node["id"] for node in _nodes(connection) if not node["deletedAt"]}


def _deployment(found: Mapping[str, Any]) -> Deployment:
    meta = found["meta"] if isinstance(found["meta"], Mapping) else {}
    return Deployment(found["id"], found["status"], found["createdAt"], meta.get("commitHash"))


def _domain(found: Mapping[str, Any]) -> Domain:
    status = found["status"]
    records = [
        (r["recordType"].removeprefix("DNS_RECORD_TYPE_"), r["fqdn"], r["requiredValue"]) for r in status["dnsRecords"]
    ]
    if status["verificationToken"] and status["verificationDnsHost"]:
        records.append(("TXT", status["verificationDnsHost"], status["verificationToken"]))
    return Domain(found["domain"], bool(status["verified"]), tuple(records))
