"""Dynamic resources over our client. AWS stays with the CDK; these own what follows from its outputs.

A provider is pickled into the state, so it holds nothing: the token is read from the environment whenever it is called.
Outputs hold a keyed digest where a sealed value would be; the inputs that carry one are Pulumi secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

if TYPE_CHECKING:  # the provider is pickled, and imports what it needs when it is called
    from infra.railway.project import Project

DIGEST_KEY: Final = "RAILWAY_DIGEST_KEY"
_SHORTEST_KEY: Final = 32  # characters
_PLACE: Final = ("stage", "workspace")  # another one is another project
_KEPT: Final = ("stage", "workspace", "outputs", "repository", "branch")


def _key() -> bytes:
    from infra.shell.failure import Failure

    value = os.environ.get(DIGEST_KEY, "")
    if len(value) < _SHORTEST_KEY:
        raise Failure(f"{DIGEST_KEY} needs {_SHORTEST_KEY} characters or more, kept with the stack's other secrets")
    return value.encode()


def digest(key: bytes, name: str, value: str) -> str:
    """The keyed digest of a sealed value: what the state keeps of it.

    Args:
        key: Of the stack.
        name: Of the variable: the same value under two names has two digests.
        value: The secret.
    """
    return hmac.new(key, f"{name}={value}".encode(), hashlib.sha256).hexdigest()


def _project(props: Mapping[str, Any], sealed: Mapping[str, str]) -> Project:
    from infra.railway.sources import stage_project
    from infra.shell.paths import ROOT
    from infra.stage.chosen import stage

    target = stage(props["stage"])
    return stage_project(ROOT, target, props["outputs"], sealed, props["repository"], props["branch"])


def _rendered(props: Mapping[str, Any]) -> str:
    """A digest of everything that is rendered: the stage's record and railway.json are in it, not the inputs alone."""
    project = _project(props, {})
    services = [
        [s.name, dict(s.source), dict(s.build), dict(s.deploy), [[v.name, v.value, v.sealed] for v in s.variables]]
        for s in project.services
    ]
    text = json.dumps([project.name, project.environment, project.host, services], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _push(props: Mapping[str, Any]) -> dict[str, Any]:
    """Bring Railway to what the inputs say; the answer is what the state keeps."""
    from infra.railway.api import Client
    from infra.railway.apply import apply
    from infra.railway.operations import Railway

    digests = {name: digest(_key(), name, value) for name, value in props["sealed"].items()}
    project = _project(props, props["sealed"])
    with Client.from_environment() as client:
        railway = Railway(client)
        place = apply(railway, project, workspace=props["workspace"] or None).place
    kept = {name: props[name] for name in _KEPT}
    ids = {"project_id": place.project, "environment_id": place.environment, "services": dict(place.services)}
    return {**kept, **ids, "digests": digests, "rendered": _rendered(props)}


class _StageProvider(ResourceProvider):
    """Create, compare, read, update. Deleting is refused: a project with data in it is not a state file's to end."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        found = _push(props)
        return CreateResult(id_=f"{found['project_id']}/{found['environment_id']}", outs=found)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        moved = [name for name in _PLACE if _olds[name] != _news[name]]
        resealed = {name: digest(_key(), name, value) for name, value in _news["sealed"].items()} != _olds["digests"]
        changed = any(_olds[name] != _news[name] for name in _KEPT) or _olds.get("rendered") != _rendered(_news)
        return DiffResult(changes=changed or resealed, replaces=moved, delete_before_replace=False)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=_push(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """For ``pulumi refresh``: where Railway is not as it was left, the next ``up`` sees a change."""
        from infra.railway.api import Client
        from infra.railway.operations import Railway
        from infra.railway.plan import plan
        from infra.railway.state import observe

        project = _project(props, {})
        with Client.from_environment() as client:
            state = observe(Railway(client), project, props["workspace"] or None)
        if state.place.project is None:
            return ReadResult("", {})  # it is gone
        return ReadResult(id_, {**props, "rendered": ""} if plan(project, state).changes else props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        from infra.shell.failure import Failure

        name = _props["stage"]
        raise Failure(
            f"Pulumi deletes nothing on Railway: end stage {name} with uv run signalbox destroy {name}, then take it "
            "out of the state with pulumi state delete"
        )


class RailwayStage(Resource):
    """A stage on Railway: project, environment, services, settings, plain and sealed variables.

    Args:
        name: Pulumi's name of the resource.
        stage: Name of the stage in ``infra/stage/record.py``.
        outputs: Stack outputs by key.
        repository: ``owner/name`` that Railway builds.
        branch: Which branch.
        workspace: Id or name on Railway; "" where the token is for one.
        sealed: Sealed values by name; marked as secret here, whatever the caller does.
        opts: Pulumi's options.
    """

    project_id: pulumi.Output[str]
    environment_id: pulumi.Output[str]
    services: pulumi.Output[Mapping[str, str]]
    digests: pulumi.Output[Mapping[str, str]]

    def __init__(
        self,
        name: str,
        *,
        stage: str,
        outputs: pulumi.Input[Mapping[str, pulumi.Input[str]]],
        repository: str,
        branch: str = "main",
        workspace: str = "",
        sealed: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "stage": stage,
            "outputs": outputs,
            "repository": repository,
            "branch": branch,
            "workspace": workspace,
            "sealed": pulumi.Output.secret(sealed or {}),
            "project_id": None,
            "environment_id": None,
            "services": None,
            "digests": None,
            "rendered": None,
        }
        super().__init__(_StageProvider(), name, props, opts)
