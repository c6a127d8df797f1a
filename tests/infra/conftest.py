"""Every stage synthesized once, offline, with the gate in place; the tests read what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra.aws.app import build_app
from infra.product import STAGES
from infra.stage.chosen import stage
from tests.support.cloud.stacks import Deployed, local_aws


@dataclass(frozen=True)
class Synthesized:
    """One stage."""

    name: str
    app: cdk.App
    folder: Path
    templates: Mapping[str, dict[str, Any]]  # by part: network, data, ...
    report: dict[str, Any]

    def resources(self, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Of some types, as ``part/logical id`` and resource."""
        for part, template in self.templates.items():
            for logical_id, resource in template["Resources"].items():
                if resource["Type"] in types:
                    yield f"{part}/{logical_id}", resource

    def properties(self, *types: str) -> list[dict[str, Any]]:
        return [resource.get("Properties", {}) for _, resource in self.resources(*types)]


def synthesize(name: str, folder: Path, **context: Any) -> Synthesized:
    with pytest.MonkeyPatch.context() as patch:  # as in a fresh checkout, also where an authority was committed
        patch.setattr("infra.aws.app.AUTHORITIES", folder / "no-authorities")
        app = build_app(name, context, outdir=str(folder))
    assembly = app.synth()
    templates = {stack.stack_name.rpartition("-")[2]: stack.template for stack in assembly.stacks}
    report = json.loads((folder / "validation-report.json").read_text())
    return Synthesized(name, app, folder, templates, report)


class Stages(Mapping[str, Synthesized]):
    """Every stage, each synthesized when it is asked for the first time: most files of tests read one."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory, self._made = factory, dict[str, Synthesized]()

    def __getitem__(self, name: str) -> Synthesized:
        if name not in STAGES:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = synthesize(name, self._factory.mktemp(name))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(STAGES)

    def __len__(self) -> int:
        return len(STAGES)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Synthesized]:
    return Stages(tmp_path_factory)


@pytest.fixture(scope="session")
def production(stages: Mapping[str, Synthesized]) -> Synthesized:
    return stages["production"]


OKTA = {"name": "AcmeOkta", "kind": "saml", "tenant": "acme", "metadata_url": "https://acme.okta.example/metadata"}
ENTRA = {"name": "GlobexEntra", "kind": "oidc", "tenant": "globex", "issuer": "https://e.example", "client_id": "c"}


@pytest.fixture(scope="session")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """Production with every option: organizations with providers of their own, three zones, endpoints, an authority."""
    options = {"nat_gateways": 3, "interface_endpoints": True}
    organizations = {"federation": (OKTA, ENTRA), "provider_secrets": ("client-okta",), "signing_keys": (2, 1)}
    changed = stage("production", availability_zones=3, network=options, tenant_keys="required", **organizations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.aws.app.stage", lambda *_, **__: changed)
        return synthesize(
            "production", tmp_path_factory.mktemp("federated"), authority="-----BEGIN CERTIFICATE-----\nx"
        )


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A local AWS for every test that deploys: its start and its bootstrap are most of what they cost."""
    with local_aws(tmp_path_factory.mktemp("deployed")) as found:
        yield found
