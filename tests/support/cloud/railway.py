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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self

from graphql import GraphQLError, GraphQLSchema, build_client_schema, execute_sync, parse, validate
from jsonschema import Draft7Validator

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
    services: dict[str, Service] = field(default_factory=dict)
    patches: list[dict[str, Any]] = field(default_factory=list)
    deleted: str | None = None


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

    def now(self) -> str:
        # Later each time, whatever the machine's clock does: what is newer than what decides on deployments.
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
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
        document = parse(request["query"])
        errors = validate(schema(), document)
        if errors:
            return 400, json.dumps({"errors": [{"message": e.message} for e in errors]}).encode(), {}
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
            [{"id": p.id, "name": p.name, "deletedAt": p.deleted} for p in self._fake.projects.values()], after, first
        )

    def project(self, info: Any, id: str) -> Any:
        project = self._fake.owned(self._principal, project_id=id)
        shown = [s for s in project.services.values() if s.name not in self._fake.hidden]
        return {
            "id": project.id,
            "name": project.name,
            "workspaceId": WORKSPACE,
            "environments": lambda info, **page: edges(
                [{"id": project.environment_id, "name": project.environment, "deletedAt": None}], None, 10
            ),
            "services": lambda info, **page: edges(
                [{"id": s.id, "name": s.name, "deletedAt": None} for s in shown], None, 10
            ),
        }

    def environment(self, info: Any, id: str) -> Any:
        project = self._fake.owned(self._principal, environment_id=id)
        rows = [
            {"name": name, "serviceId": s.id, "isSealed": v.sealed, "updatedAt": v.updated}
            for s in project.services.values()
            for name, v in s.variables.items()
        ]
        return {
            "config": lambda info, decryptVariables=False: {
                "services": {s.id: s.config for s in project.services.values()}
            },
            "variables": lambda info, first=10, after=None: edges(rows, after, first),
        }

    def variables(self, info: Any, projectId: str, environmentId: str, serviceId: str, unrendered: bool) -> Any:
        project = self._fake.owned(self._principal, project_id=projectId, environment_id=environmentId)
        found = project.services[serviceId].variables
        return {name: None if v.sealed else v.value for name, v in found.items()}

    def environmentPatches(self, info: Any, environmentId: str, first: int, after: str | None = None) -> Any:
        project = self._fake.owned(self._principal, environment_id=environmentId)
        return edges(project.patches, after, first)

    def serviceInstance(self, info: Any, environmentId: str, serviceId: str) -> Any:
        _, service = self._find(serviceId, environmentId)
        latest = service.deployments[-1] if service.deployments else None
        return {
            "latestDeployment": self._fake.shown_deployment(latest) if latest else None,
            "domains": {"customDomains": service.custom, "serviceDomains": service.domains},
        }

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
            new("project"), input["name"], new("environment"), input.get("defaultEnvironmentName", "production")
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
        self._account()
        self._fake.mutations["environmentPatchCommit"] += 1
        project = self._fake.owned(self._principal, environment_id=environmentId)
        project.patches.append({"appliedAt": self._fake.now(), "message": commitMessage})
        for service_id, change in patch.get("services", {}).items():
            if service_id not in project.services:
                raise GraphQLError("Service not found")
            service = project.services[service_id]
            for name, entry in change.get("variables", {}).items():
                if name in service.variables and service.variables[name].sealed and not entry.get("isSealed"):
                    raise GraphQLError(f"{name} cannot be unsealed")
                service.variables[name] = Variable(entry["value"], bool(entry.get("isSealed")), self._fake.now())
            for block in ("source", "build", "deploy"):
                if block in change:
                    service.config[block] = merged(service.config.get(block) or {}, change[block] or {})
            if self._fake.redeploys_on_patch and service.config.get("source"):
                self._fake.deploy(project, service)
        return self._fake.new_id("patch")

    def serviceInstanceDeployV2(
        self, info: Any, serviceId: str, environmentId: str, commitSha: str | None = None
    ) -> str:
        self._fake.mutations["serviceInstanceDeployV2"] += 1
        project, service = self._find(serviceId, environmentId)
        return self._fake.deploy(project, service, commitSha)

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
        service.custom.append({"domain": domain, "status": status})
        return {"domain": domain}

    def serviceDomainCreate(self, info: Any, input: Mapping[str, Any]) -> Any:
        self._fake.mutations["serviceDomainCreate"] += 1
        _, service = self._find(input["serviceId"], input["environmentId"])
        service.domains.append({"domain": f"{service.name}-1234.up.railway.app"})
        return service.domains[-1]
