"""What is asked of Railway: each operation once, with its answer as a type.

tests/railway/test_api.py validates every document against Railway's schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from infra.railway.api import Client, Operation

PAGE: Final = 100
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
    "edges{node{id name description deletedAt}}pageInfo{hasNextPage endCursor}}}",
    "list the projects",
)
PROJECT = Operation(
    "query project($id:String!,$first:Int){project(id:$id){id name "
    "services(first:$first){edges{node{id name deletedAt}}}"
    "environments(first:$first){edges{node{id name deletedAt config(decryptVariables:false)"
    "variables(first:$first){edges{node{name serviceId isSealed updatedAt}}pageInfo{hasNextPage endCursor}}"
    "serviceInstances(first:$first){edges{node{serviceId deletedAt "
    "latestDeployment{id status createdAt meta}"
    "domains{customDomains{id domain status{verified verificationDnsHost verificationToken "
    "dnsRecords{recordType fqdn requiredValue status}}}serviceDomains{id domain}}}}}}}}}}",
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
VARIABLES = Operation(
    "query variables($id:String!,$first:Int,$after:String){environment(id:$id){"
    "variables(first:$first,after:$after){edges{node{name serviceId isSealed updatedAt}}"
    "pageInfo{hasNextPage endCursor}}}}",
    "list the variables",
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
VARIABLE_DELETE = Operation(
    "mutation variableDelete($input:VariableDeleteInput!){variableDelete(input:$input)}",
    "remove the variable",
)
SERVICE_DELETE = Operation(
    "mutation serviceDelete($id:String!,$environmentId:String){serviceDelete(id:$id,environmentId:$environmentId)}",
    "remove the service",
    repeatable=False,
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
    "mutation customDomain($input:CustomDomainCreateInput!){customDomainCreate(input:$input){id domain "
    "status{verified verificationDnsHost verificationToken dnsRecords{recordType fqdn requiredValue status}}}}",
    "register the domain",
    repeatable=False,
)
CUSTOM_DOMAIN_DELETE = Operation(
    "mutation customDomainDelete($id:String!){customDomainDelete(id:$id)}", "remove the domain", repeatable=False
)
SERVICE_DOMAIN_DELETE = Operation(
    "mutation serviceDomainDelete($id:String!){serviceDomainDelete(id:$id)}",
    "remove the railway.app domain",
    repeatable=False,
)
SERVICE_DOMAIN = Operation(
    "mutation serviceDomain($input:ServiceDomainCreateInput!){serviceDomainCreate(input:$input){domain}}",
    "make a railway.app domain",
    repeatable=False,
)


def values_of(services: int) -> Operation:
    """Read the variables of several services, as ``v0``, ``v1``, ..., in one request.

    Args:
        services: How many; their ids are ``s0``, ``s1``, ...
    """
    given = "".join(f",$s{n}:String!" for n in range(services))
    asked = "".join(
        f"v{n}:variables(projectId:$projectId,environmentId:$environmentId,serviceId:$s{n},unrendered:true)"
        for n in range(services)
    )
    text = f"query values($projectId:String!,$environmentId:String!{given}){{{asked}}}"
    return Operation(text, "read the variables")


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

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """As Railway answers."""
        meta = found["meta"] if isinstance(found["meta"], Mapping) else {}
        return cls(found["id"], found["status"], found["createdAt"], meta.get("commitHash"))


@dataclass(frozen=True, slots=True)
class Listed:
    """A project in a list.

    Attributes:
        id: Railway's id.
        name: What it is called.
        description: What is written below it.
    """

    id: str
    name: str
    description: str


class Railway:
    """The operations with their answers as types.

    Args:
        client: Calls them.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
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

    def listed(self, workspace_id: str) -> list[Listed]:
        """The projects of a workspace that are not deleted."""
        pages = self.pages(PROJECTS, lambda data: data["projects"], workspaceId=workspace_id)
        every = (node for page in pages for node in nodes(page))
        return [Listed(n["id"], n["name"], n["description"] or "") for n in every if not n["deletedAt"]]

    def projects(self, workspace_id: str) -> list[tuple[str, str]]:
        """Name and id of each project of a workspace that is not deleted."""
        return [(found.name, found.id) for found in self.listed(workspace_id)]

    def project(self, project_id: str) -> Any:
        """A project with its environments and all that is in them."""
        return self.call(PROJECT, id=project_id, first=PAGE)["project"]

    def patches(self, environment_id: str) -> Iterator[tuple[str, str]]:
        """When each committed patch was applied, and its message."""
        pages = self.pages(PATCHES, lambda data: data["environmentPatches"], environmentId=environment_id)
        for node in (node for page in pages for node in nodes(page)):
            if node["appliedAt"]:
                yield node["appliedAt"], node["message"] or ""

    def deployment(self, deployment_id: str) -> Deployment:
        """A deployment."""
        return Deployment.read(self.call(DEPLOYMENT, id=deployment_id)["deployment"])

    def pages(
        self, operation: Operation, part: Callable[[Any], Any], after: str | None = None, **variables: str
    ) -> Iterator[Any]:
        """The pages of a connection.

        Args:
            operation: Which.
            part: The connection in its answer.
            after: Where to begin; None at the first.
            variables: Its variables.
        """
        for _ in range(_PAGES):
            page = part(self.call(operation, **variables, first=PAGE, after=after))
            yield page
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]


def nodes(connection: Mapping[str, Any]) -> list[Any]:
    """What a connection holds."""
    return [edge["node"] for edge in connection["edges"]]
