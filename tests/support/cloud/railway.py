"""Railway's API on this machine: its real schema executed over HTTP, with the rules that its documentation states.

It is as strict as what is known of Railway: kinds of tokens, sealed values that nobody can read or overwrite by upsert,
patches that fit the published shape, a limit of requests. Failures can be put before or after an operation.
"""

# ruff: noqa: A002, N802, N803  the names are those of Railway's schema
from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self

import httpx
from graphql import DocumentNode, GraphQLError, GraphQLSchema, build_client_schema, execute_sync, parse, validate
from jsonschema import Draft7Validator
from pydantic import SecretStr

from infra.railway.api import Client, Token
from tests.support.api.server import ROOT
from tests.support.local_http import LocalHttp

SCHEMAS = ROOT / "infra" / "railway" / "schema"
ACCOUNT_TOKEN, PROJECT_TOKEN = "account-token-of-the-test", "project-token-of-the-test"
WORKSPACE = "workspace-1"
How = Literal["500", "drop", "429", "error", "garbage", "401"]
_REFERENCE = re.compile(r"\$\{\{\s*(?:([\w-]+)\.)?(\w+)\s*\}\}")


@cache
def schema() -> GraphQLSchema:
    raw = json.loads(gzip.decompress((SCHEMAS / "railway-graphql-introspection.json.gz").read_bytes()))
    found = build_client_schema(raw["data"], assume_valid=True)
    environment = Draft7Validator(json.loads((SCHEMAS / "railway-iac-Env.schema.json").read_text()))

    def config(value: Any) -> Any:
        if errors := [e.message for e in environment.iter_errors(value)]:
            raise GraphQLError(f"EnvironmentConfig cannot represent {json.dumps(value)}: {errors[0]}")
        return value

    def variables(value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise GraphQLError(f"EnvironmentVariables cannot represent {json.dumps(value)}")
        return value

    for name, check in (("EnvironmentConfig", config), ("EnvironmentVariables", variables)):
        scalar: Any = found.type_map[name]
        scalar.parse_value = scalar.coerce_input_value = check
    return found


@cache
def parsed(query: str) -> tuple[DocumentNode, tuple[str, ...]]:
    """A document, and what is wrong with it."""
    document = parse(query)
    return document, tuple(error.message for error in validate(schema(), document))


@dataclass
class Variable:
    value: str
    sealed: bool
    updated: str


@dataclass
class Service:
    id: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    custom: list[dict[str, Any]] = field(default_factory=list)
    domains: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Project:
    id: str
    name: str
    environment_id: str
    environment: str
    description: str | None = None
    services: dict[str, Service] = field(default_factory=dict)
    patches: list[dict[str, Any]] = field(default_factory=list)
    deleted: str | None = None
    others: list[tuple[str, str, dict[str, Service]]] = field(default_factory=list)  # environments beside that one


@dataclass
class Fault:
    operation: str
    when: Literal["before", "after"]
    how: How
    times: int
    retry_after: str


class FakeRailway(LocalHttp):
    """The server; ``mutations`` counts what was executed, ``requests`` what came in."""

    def __init__(self, *, baa: bool = True, redeploys_on_patch: bool = False, per_second: int = 1000) -> None:
        # Where nobody knows what Railway does, a test says which of both ways.
        self.patch_ends_services, self.project_token_patches = True, False
        self.baa, self.redeploys_on_patch, self.per_second = baa, redeploys_on_patch, per_second
        self.projects: dict[str, Project] = {}
        self.mutations: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.limited = 0
        self.hidden: set[str] = set()  # names of services that are there and not shown yet
        self.script = ["INITIALIZING", "BUILDING", "DEPLOYING", "SUCCESS"]
        self.commit = "c0ffee" + "0" * 34
        self.project_token_for: Project | None = None
        self._faults: list[Fault] = []
        self._arrivals: list[float] = []
        self._count = 0
        self._last = datetime.now(UTC)
        self._ahead = timedelta()
        self._lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: 40 ms of waiting for each answer

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer._lock:
                    answer = outer.answer(body, self.headers)
                if answer is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, text, headers = answer
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)
        self.url += "/graphql/v2"

    def __enter__(self) -> Self:
        schema()  # parsed before the first request, which would have to wait for it
        return super().__enter__()

    # What a test says.

    def fail(
        self, operation: str, when: Literal["before", "after"], how: How, *, times: int = 1, retry_after: str = "0"
    ) -> None:
        self._faults.append(Fault(operation, when, how, times, retry_after))

    def project(self, name: str) -> Project:
        found = [p for p in self.projects.values() if p.name == name and not p.deleted]
        assert len(found) == 1, f"{len(found)} projects are named {name}"
        return found[0]

    def service(self, project: str, name: str = "api") -> Service:
        found = [s for s in self.project(project).services.values() if s.name == name]
        assert len(found) == 1, f"{len(found)} services are named {name}"
        return found[0]

    def injected(self, project: str, name: str = "api") -> dict[str, str]:
        """What the process of the newest deployment gets: sealed values too, references filled in."""
        found: dict[str, str] = self.service(project, name).deployments[-1]["injected"]
        return found

    def set_by_hand(self, project: str, name: str, value: str, *, sealed: bool = False, service: str = "api") -> None:
        self.service(project, service).variables[name] = Variable(value, sealed, self.now())

    def client(self) -> Client:
        """A client of it that waits for nothing."""
        return Client(Token(SecretStr(ACCOUNT_TOKEN)), self.url, sleep=lambda _: None)

    def carried(self) -> Client:
        """A client that hands over its requests without a network: for tests that make thousands."""

        def handed(request: httpx.Request) -> httpx.Response:
            answer = self.answer(request.content, request.headers)
            if answer is None:
                raise httpx.RemoteProtocolError("hung up", request=request)
            status, text, headers = answer
            return httpx.Response(status, headers=headers, content=text)

        carries, secret = httpx.MockTransport(handed), Token(SecretStr(ACCOUNT_TOKEN))
        return Client(secret, self.url, sleep=lambda _: None, transport=carries)

    @classmethod
    @contextmanager
    def direct(cls) -> Iterator[tuple[Self, Client]]:
        """One that listens nowhere, and its client."""
        fake = cls()
        fake._server.server_close()
        with fake.carried() as client:
            yield fake, client

    def add_service(self, project: str, name: str) -> None:
        made = Service(self.new_id("service"), name)
        self.project(project).services[made.id] = made

    def add_domain(self, project: str, domain: str) -> None:
        status: dict[str, Any] = {"verified": True, "dnsRecords": []}
        status |= {"verificationDnsHost": None, "verificationToken": None}
        made = {"id": self.new_id("domain"), "domain": domain, "status": status}
        self.service(project).custom.append(made)

    def pass_time(self, **much: float) -> None:
        self._ahead += timedelta(**much)

    def now(self) -> str:
        # Later each time, whatever the machine's clock does: what is newer than what decides on deployments.
        self._last = max(datetime.now(UTC) + self._ahead, self._last + timedelta(microseconds=1))
        return self._last.isoformat(timespec="microseconds").replace("+00:00", "Z")

    # What Railway does.

    def answer(self, body: bytes, headers: Any) -> tuple[int, bytes, dict[str, str]] | None:
        request = json.loads(body)
        name = request.get("operationName") or ""
        self.requests.append({"operation": name, "headers": dict(headers), "body": body.decode()})
        now = time.monotonic()
        self._arrivals = [t for t in self._arrivals if now - t < 1.0] + [now]
        if len(self._arrivals) > self.per_second:
            self.limited += 1
            self._arrivals.pop()
            return 429, b'{"errors":[{"message":"rate limited"}]}', {"Retry-After": "1", "X-RateLimit-Remaining": "0"}
        fault = self._fault(name)
        if fault and fault.when == "before":
            return self._broken(fault)
        bearer, project_token = headers.get("Authorization"), headers.get("Project-Access-Token")
        if bearer == f"Bearer {ACCOUNT_TOKEN}" and project_token is None:
            principal = "account"
        elif project_token == PROJECT_TOKEN and bearer is None and self.project_token_for:
            principal = "project"
        else:
            return 200, b'{"errors":[{"message":"Not Authorized"}],"data":null}', {}
        document, errors = parsed(request["query"])
        if errors:
            return 400, json.dumps({"errors": [{"message": message} for message in errors]}).encode(), {}
        result = execute_sync(
            schema(),
            document,
            root_value=Root(self, principal),
            variable_values=request.get("variables"),
            operation_name=name,
        )
        if fault:
            return self._broken(fault)
        shown: dict[str, Any] = {"data": result.data}
        if result.errors:
            shown["errors"] = [{"message": e.message} for e in result.errors]
        return 200, json.dumps(shown).encode(), {"X-RateLimit-Remaining": "9999"}

    def _fault(self, operation: str) -> Fault | None:
        for fault in self._faults:
            if fault.operation == operation and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _broken(self, fault: Fault) -> tuple[int, bytes, dict[str, str]] | None:
        if fault.how == "drop":
            return None
        if fault.how == "429":
            return 429, b"{}", {"Retry-After": fault.retry_after}
        if fault.how == "error":
            return 200, b'{"errors":[{"message":"Problem processing request"}],"data":null}', {}
        if fault.how == "garbage":
            return 200, b"<html>not json", {}
        return int(fault.how), b"{}", {}

    def new_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count:04}"

    def owned(self, principal: str, *, project_id: str | None = None, environment_id: str | None = None) -> Project:
        for project in self.projects.values():
            if project.deleted or (principal == "project" and project is not self.project_token_for):
                continue
            if project_id == project.id or (environment_id == project.environment_id and project_id is None):
                if project_id and environment_id and environment_id != project.environment_id:
                    break
                return project
        raise GraphQLError("Not Authorized")

    def deploy(self, project: Project, service: Service, commit: str | None = None) -> str:
        if not service.config.get("source"):
            raise GraphQLError("Service has no source")
        deployment = {
            "id": self.new_id("deployment"),
            "created": self.now(),
            "steps": list(self.script),
            "commit": commit or self.commit,
            "injected": self.runtime(project, service),
        }
        service.deployments.append(deployment)
        return str(deployment["id"])

    def runtime(self, project: Project, service: Service) -> dict[str, str]:
        by_name = {s.name: s for s in project.services.values()}

        def filled(of: Service, text: str) -> str:
            def value(match: re.Match[str]) -> str:
                other = by_name[match[1]] if match[1] else of
                if match[2] == "RAILWAY_PRIVATE_DOMAIN":
                    return f"{other.name}.railway.internal"
                return filled(other, other.variables[match[2]].value)

            return _REFERENCE.sub(value, text)

        return {name: filled(service, v.value) for name, v in service.variables.items()}

    def shown_deployment(self, deployment: dict[str, Any]) -> dict[str, Any]:
        status = deployment["steps"][0]
        if len(deployment["steps"]) > 1:
            deployment["steps"].pop(0)
        meta = {"commitHash": deployment["commit"], "branch": "main"}
        return {"id": deployment["id"], "status": status, "createdAt": deployment["created"], "meta": meta}


def merged(there: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """As a patch is merged: at every depth, and null removes."""
    found = dict(there)
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        else:
            old = found.get(name)
            found[name] = (
                merged(old if isinstance(old, Mapping) else {}, value) if isinstance(value, Mapping) else value
            )
    return found


def edges(nodes: Iterator[dict[str, Any]] | list[dict[str, Any]], after: str | None, first: int) -> dict[str, Any]:
    """A page, small on purpose: whoever reads only the first finds too little."""
    every = list(nodes)
    start = int(after or 0)
    end = start + min(first, 7)
    page = {"hasNextPage": end < len(every), "endCursor": str(end)}
    return {"edges": [{"node": node} for node in every[start:end]], "pageInfo": page}


class Root:
    """Queries and mutations, under Railway's names."""

    def __init__(self, fake: FakeRailway, principal: str) -> None:
        self._fake, self._principal = fake, principal

    def _account(self) -> None:
        if self._principal != "account":
            raise GraphQLError("Not Authorized")

    def _find(self, service_id: str, environment_id: str) -> tuple[Project, Service]:
        project = self._fake.owned(self._principal, environment_id=environment_id)
        if service_id not in project.services:
            raise GraphQLError("ServiceInstance not found")
        return project, project.services[service_id]

    def apiToken(self, info: Any) -> Any:
        self._account()
        return {"workspaces": [{"id": WORKSPACE, "name": "Example"}]}

    def projectToken(self, info: Any) -> Any:
        project = self._fake.project_token_for
        if self._principal != "project" or project is None:
            raise GraphQLError("Project Token not found")
        return {"projectId": project.id, "environmentId": project.environment_id}

    def complianceAgreements(self, info: Any, workspaceId: str) -> Any:
        self._account()
        return {"hasBAA": self._fake.baa, "hasDPA": False}

    def projects(self, info: Any, workspaceId: str, first: int = 10, after: str | None = None) -> Any:
        self._account()
        return edges(
            [
                {"id": p.id, "name": p.name, "description": p.description, "deletedAt": p.deleted}
                for p in self._fake.projects.values()
            ],
            after,
            first,
        )

    def project(self, info: Any, id: str) -> Any:
        project = self._fake.owned(self._principal, project_id=id)
        shown = [s for s in project.services.values() if s.name not in self._fake.hidden]
        return {
            "id": project.id,
            "name": project.name,
            "workspaceId": WORKSPACE,
            "environments": lambda info, **page: edges(
                [
                    self._environment(project, *of) | {"name": of[1], "deletedAt": None}
                    for of in (*project.others, (project.environment_id, project.environment, project.services))
                ],
                None,
                10,
            ),
            "services": lambda info, **page: edges(
                [{"id": s.id, "name": s.name, "deletedAt": None} for s in shown], None, 10
            ),
        }

    def environment(self, info: Any, id: str) -> Any:
        found = self._fake.owned(self._principal, environment_id=id)
        return self._environment(found, found.environment_id, found.environment, found.services)

    def _environment(
        self, project: Project, environment_id: str, name: str, services: Mapping[str, Service]
    ) -> dict[str, Any]:
        rows = [
            {"name": name, "serviceId": s.id, "isSealed": v.sealed, "updatedAt": v.updated}
            for s in services.values()
            for name, v in s.variables.items()
        ]
        instances = [self._instance(s) | {"serviceId": s.id, "deletedAt": None} for s in services.values()]
        return {
            "id": environment_id,
            "config": lambda info, decryptVariables=False: {"services": {s.id: s.config for s in services.values()}},
            "variables": lambda info, first=10, after=None: edges(rows, after, first),
            "serviceInstances": lambda info, **page: edges(instances, None, 10),
        }

    def _instance(self, service: Service) -> dict[str, Any]:
        latest = service.deployments[-1] if service.deployments else None
        return {
            "latestDeployment": lambda info: self._fake.shown_deployment(latest) if latest else None,
            "domains": {"customDomains": service.custom, "serviceDomains": service.domains},
        }

    def variables(self, info: Any, projectId: str, environmentId: str, serviceId: str, unrendered: bool) -> Any:
        project = self._fake.owned(self._principal, project_id=projectId, environment_id=environmentId)
        found = project.services[serviceId].variables
        return {name: None if v.sealed else v.value for name, v in found.items()}

    def environmentPatches(self, info: Any, environmentId: str, first: int, after: str | None = None) -> Any:
        project = self._fake.owned(self._principal, environment_id=environmentId)
        return edges(project.patches, after, first)

    def deployment(self, info: Any, id: str) -> Any:
        for project in self._fake.projects.values():
            for service in project.services.values():
                for deployment in service.deployments:
                    if deployment["id"] == id:
                        self._fake.owned(self._principal, project_id=project.id)
                        return self._fake.shown_deployment(deployment)
        raise GraphQLError("Deployment not found")

    def projectCreate(self, info: Any, input: Mapping[str, Any]) -> Any:
        self._account()
        self._fake.mutations["projectCreate"] += 1
        assert input["workspaceId"] == WORKSPACE
        new = self._fake.new_id
        project = Project(
            new("project"),
            input["name"],
            new("environment"),
            input.get("defaultEnvironmentName", "production"),
            input.get("description"),
        )
        self._fake.projects[project.id] = project
        return {"id": project.id}

    def projectDelete(self, info: Any, id: str) -> bool:
        self._account()
        self._fake.mutations["projectDelete"] += 1
        self._fake.owned(self._principal, project_id=id).deleted = self._fake.now()
        return True

    def serviceCreate(self, info: Any, input: Mapping[str, Any]) -> Any:
        self._account()
        self._fake.mutations["serviceCreate"] += 1
        project = self._fake.owned(self._principal, project_id=input["projectId"])
        if any(s.name == input["name"] for s in project.services.values()):
            raise GraphQLError("Service name is taken")
        service = Service(self._fake.new_id("service"), input["name"])
        if input.get("source"):
            service.config["source"] = dict(input["source"])
            self._fake.deploy(project, service)
        project.services[service.id] = service
        return {"id": service.id}

    def variableCollectionUpsert(self, info: Any, input: Mapping[str, Any]) -> bool:
        self._fake.mutations["variableCollectionUpsert"] += 1
        if input["replace"]:
            raise GraphQLError("replace would delete what others have set")
        project = self._fake.owned(
            self._principal, project_id=input["projectId"], environment_id=input["environmentId"]
        )
        service = project.services[input["serviceId"]]
        for name, value in input["variables"].items():
            if name.startswith("RAILWAY_"):
                raise GraphQLError(f"{name} is reserved")
            if name in service.variables and service.variables[name].sealed:
                raise GraphQLError(f"{name} is sealed")
            service.variables[name] = Variable(value, False, self._fake.now())
        if not input["skipDeploys"] and service.deployments:
            self._fake.deploy(project, service)
        return True

    def environmentPatchCommit(self, info: Any, environmentId: str, patch: Any, commitMessage: str = "") -> str:
        if not self._fake.project_token_patches:
            self._account()
        self._fake.mutations["environmentPatchCommit"] += 1
        project = self._fake.owned(self._principal, environment_id=environmentId)
        project.patches.append({"appliedAt": self._fake.now(), "message": commitMessage})
        for service_id, change in patch.get("services", {}).items():
            if service_id not in project.services:
                raise GraphQLError("Service not found")
            service = project.services[service_id]
            if change.get("isDeleted"):
                if self._fake.patch_ends_services:
                    del project.services[service_id]
                continue
            for name, entry in (change.get("variables") or {}).items():
                if name.startswith("RAILWAY_"):
                    raise GraphQLError(f"{name} is reserved")
                if entry is None:
                    service.variables.pop(name, None)
                    continue
                if name in service.variables and service.variables[name].sealed and not entry.get("isSealed"):
                    raise GraphQLError(f"{name} cannot be unsealed")
                service.variables[name] = Variable(entry["value"], bool(entry.get("isSealed")), self._fake.now())
            for block in ("source", "build", "deploy"):
                if block in change:
                    service.config[block] = merged(service.config.get(block) or {}, change[block] or {})
            if "networking" in change:
                raise GraphQLError("Custom-domain registration is not supported by Railway configuration")
            if self._fake.redeploys_on_patch and service.config.get("source"):
                self._fake.deploy(project, service)
        return self._fake.new_id("patch")

    def serviceInstanceDeployV2(
        self, info: Any, serviceId: str, environmentId: str, commitSha: str | None = None
    ) -> str:
        self._fake.mutations["serviceInstanceDeployV2"] += 1
        project, service = self._find(serviceId, environmentId)
        return self._fake.deploy(project, service, commitSha)

    def variableDelete(self, info: Any, input: Mapping[str, Any]) -> bool:
        self._fake.mutations["variableDelete"] += 1
        _, service = self._find(input["serviceId"], input["environmentId"])
        if service.variables.pop(input["name"], None) is None:
            raise GraphQLError("Variable not found")
        return True

    def serviceDelete(self, info: Any, id: str, environmentId: str | None = None) -> bool:
        self._account()
        self._fake.mutations["serviceDelete"] += 1
        project, service = self._find(id, environmentId or "")
        del project.services[service.id]
        return True

    def _end_domain(self, kind: str, id: str) -> bool:
        self._fake.mutations[f"{kind}Delete"] += 1
        for project in self._fake.projects.values():
            for service in project.services.values():
                listed = service.custom if kind == "customDomain" else service.domains
                for domain in [d for d in listed if d["id"] == id]:
                    self._fake.owned(self._principal, project_id=project.id)
                    listed.remove(domain)
                    return True
        raise GraphQLError("Domain not found")

    def customDomainDelete(self, info: Any, id: str) -> bool:
        return self._end_domain("customDomain", id)

    def serviceDomainDelete(self, info: Any, id: str) -> bool:
        return self._end_domain("serviceDomain", id)

    def customDomainCreate(self, info: Any, input: Mapping[str, Any]) -> Any:
        self._fake.mutations["customDomainCreate"] += 1
        _, service = self._find(input["serviceId"], input["environmentId"])
        if any(d["domain"] == input["domain"] for d in service.custom):
            raise GraphQLError("Domain is taken")
        domain = input["domain"]
        record = {
            "recordType": "DNS_RECORD_TYPE_CNAME",
            "fqdn": domain,
            "requiredValue": "abc123.up.railway.app",
            "status": "DNS_RECORD_STATUS_REQUIRES_UPDATE",
        }
        status = {
            "verified": False,
            "verificationDnsHost": f"_railway-verify.{domain}",
            "verificationToken": "railway-verify=1234",
            "dnsRecords": [record],
        }
        service.custom.append({"id": self._fake.new_id("domain"), "domain": domain, "status": status})
        return service.custom[-1]

    def serviceDomainCreate(self, info: Any, input: Mapping[str, Any]) -> Any:
        self._fake.mutations["serviceDomainCreate"] += 1
        _, service = self._find(input["serviceId"], input["environmentId"])
        made = {"id": self._fake.new_id("domain"), "domain": f"{service.name}-1234.up.railway.app"}
        service.domains.append(made)
        return service.domains[-1]

    def environmentCreate(self, info: Any, input: Mapping[str, Any]) -> Any:
        """An environment without a source is empty; its services appear when a patch names them."""
        self._account()
        self._fake.mutations["environmentCreate"] += 1
        project = self._fake.owned(self._principal, project_id=input["projectId"])
        if project.environment == input["name"]:
            raise GraphQLError("Environment name is taken")
        project.others.append((project.environment_id, project.environment, project.services))
        project.environment_id, project.environment = self._fake.new_id("environment"), input["name"]
        project.services = {s.id: Service(s.id, s.name) for s in project.services.values()}
        return {"id": project.environment_id}
