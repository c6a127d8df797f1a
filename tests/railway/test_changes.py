"""A change of mind: whatever a stage was, and whatever was set for it, it ends as a fresh deployment of what it is."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from functools import cache
from itertools import combinations
from typing import Any

import pytest

from infra.railway.apply import apply
from infra.railway.operations import Railway
from infra.railway.plan import plan
from infra.railway.project import Project
from infra.railway.sealed import RECORD
from infra.railway.sources import sealed_needed, stage_project
from infra.railway.state import observe
from infra.stage.chosen import stage
from infra.stage.names import StageNames
from infra.stage.variables import SEALED
from service import settings
from tests.support.api.environments import AUTH
from tests.support.api.server import ROOT
from tests.support.cloud.given import GIVEN, OUTPUT_VALUES
from tests.support.cloud.railway import FakeRailway

NAME = StageNames("staging").whole
# What a stage may change its mind about, each as the fields of its record that say so.
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "as it was": {},
    "iam_auth": {"database": {"iam_auth": True}},
    "subnet_router": {"subnet_router": False},
    "access": {"access": "user"},
    "region": {"region": "eu-central-1"},
    "replicas": {"replicas": 3},
    "domain": {"public_url": "https://api.moved.example.com"},
    "railway's domain": {"public_url": "https://api-1234.up.railway.app"},
    "migrations": {"migrations": "manual"},
    "a provider": {
        "variables": {
            "IDP__OKTA__KIND": "okta",
            "IDP__OKTA__ISSUER": "https://acme.okta.com/oauth2/default",
            "IDP__OKTA__AUDIENCE": "https://api.example.com",
            "IDP__OKTA__CLIENT_ID": "0oa1",
            "IDP__OKTA__CLIENT_SECRET": SEALED,
        }
    },
    "settings": {"variables": {"LOG_LEVEL": "WARNING", "DATABASE_POOL_SIZE": "5"}},
}


def project(*changes: str) -> Project:
    fields: dict[str, Any] = {"region": "us-east-1", "public_url": "https://api.example.com"}
    fields["allowed_origins"] = ("https://app.example.com",)
    for change in changes:
        fields |= CHANGES[change]
    target = stage("staging", **fields)
    given = {name: GIVEN.get(name, f"given-{name}") for name in sealed_needed(target)}
    return stage_project(ROOT, target, OUTPUT_VALUES, given, "example/signalbox", "main")


def seen(fake: FakeRailway) -> dict[str, Any]:
    """Everything that Railway has of the stage, without what is never twice the same: ids, times, salts."""
    found: dict[str, Any] = {}
    for service in fake.project(NAME).services.values():
        held = {n: (v.value, v.sealed) for n, v in service.variables.items() if n != RECORD}
        record = service.variables.get(RECORD)
        found[service.name] = {
            "variables": held,
            "record": sorted(json.loads(record.value)) if record else None,
            "config": service.config,
            "domains": sorted(d["domain"] for d in (*service.custom, *service.domains)),
        }
    return found


@cache
def fresh(*changes: str) -> dict[str, Any]:
    with FakeRailway.direct() as (other, client):
        apply(Railway(client), project(*changes))
        return seen(other)


def chosen() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of stages, each walked to and fro. By default a ring, in which each change stands twice; with PAIRS=all
    every pair there is, and as many of several changes at once."""
    drawn = random.Random(14)  # noqa: S311  the same ones each time
    if os.environ.get("PAIRS") != "all":
        ring = drawn.sample(list(CHANGES), len(CHANGES))
        return [((a,), (b,)) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    alone = [((a,), (b,)) for a, b in combinations(CHANGES, 2)]
    several = [tuple(drawn.sample(list(CHANGES), drawn.randint(2, 5))) for _ in range(2 * len(alone))]
    return [*alone, *zip(several[::2], several[1::2], strict=True)]


@pytest.mark.parametrize(("before", "after"), chosen(), ids=lambda names: "+".join(names))
def test_a_changed_stage_is_what_a_fresh_deployment_would_be(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    with FakeRailway.direct() as (fake, client):
        railway = Railway(client)
        apply(railway, project(*before))
        for wanted in (after, before):
            fake.set_by_hand(NAME, "FEATURE_FLAG", "on")
            told = plan(project(*wanted), observe(railway, project(*wanted))).changes
            assert bool(told) == (fresh(*before) != fresh(*after)), "the plan shows what there is to do"
            apply(railway, project(*wanted))
            fake.service(NAME).variables.pop("FEATURE_FLAG")  # which had stayed
            assert seen(fake) == fresh(*wanted)
            assert not plan(project(*wanted), observe(railway, project(*wanted))).changes


def test_what_is_removed_is_shown_as_a_removal(fake: FakeRailway, railway: Railway) -> None:
    every = ("a provider", "domain", "replicas")
    apply(railway, project(*every))
    bare = project("access", "subnet_router", "migrations")
    text = str(plan(bare, observe(railway, bare)))
    for told in (
        "- api: sealed ROLES_ANYWHERE_PRIVATE_KEY_SECRET (was (sealed))",
        "- api: sealed IDP__OKTA__CLIENT_SECRET (was (sealed))",
        '- api: variable IDP__OKTA__CLIENT_ID (was "0oa1")',
        "- api: variable DATABASE_PROXY (was ",
        "- service tailscale",
        "- api: domain api.moved.example.com",
        '- api: setting deploy.preDeployCommand (was ["python -m migrations upgrade"])',
        "+ api: domain api.example.com",
        '+ api: variable RUN_MIGRATIONS = "manual"',
    ):
        assert told in text
    before = fake.mutations.copy()
    apply(railway, bare)
    assert fake.mutations - before == {"environmentPatchCommit": 1, "customDomainCreate": 1, "customDomainDelete": 1}


def test_a_service_that_a_patch_does_not_end_is_ended_all_the_same(fake: FakeRailway, railway: Railway) -> None:
    fake.patch_ends_services = False
    apply(railway, project())
    apply(railway, project("subnet_router"))
    assert fake.mutations["serviceDelete"] == 1
    assert seen(fake) == fresh("subnet_router")


def test_what_others_have_put_beside_it_stays(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, project())
    api = fake.service(NAME)
    fake.set_by_hand(NAME, "FEATURE_FLAG", "on")
    fake.set_by_hand(NAME, "RAILWAY_SHM_SIZE_BYTES", "1")
    fake.add_service(NAME, "worker")
    fake.add_domain(NAME, "status.example.com")
    api.config["deploy"]["startCommand"] = "theirs"
    api.config["deploy"]["limitOverride"] = {"containers": {"cpu": 1}}
    api.config["deploy"]["multiRegionConfig"]["us-east4-eqdc4a"]["stackerAssignment"] = "railway-decided"
    text = str(plan(project("domain"), observe(railway, project("domain"))))
    assert "left alone: api.FEATURE_FLAG, api.deploy.startCommand, worker" in text
    apply(railway, project("domain", "replicas", "subnet_router"))
    assert {"FEATURE_FLAG", "RAILWAY_SHM_SIZE_BYTES"} <= set(api.variables)
    assert [d["domain"] for d in api.custom] == ["status.example.com", "api.moved.example.com"]
    assert api.config["deploy"]["startCommand"] == "theirs"
    assert api.config["deploy"]["limitOverride"] == {"containers": {"cpu": 1}}
    assert api.config["deploy"]["multiRegionConfig"]["us-east4-eqdc4a"]["stackerAssignment"] == "railway-decided"
    fake.service(NAME, "worker")


@pytest.mark.parametrize("operation", ["customDomain", "customDomainDelete", "patch"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_that_was_broken_off_is_finished_by_the_next_run(
    fake: FakeRailway, railway: Railway, operation: str, when: str
) -> None:
    apply(railway, project())
    fake.fail(operation, when, "error")  # type: ignore[arg-type]
    changed = project("domain", "access", "subnet_router", "region")
    with pytest.raises(Exception, match="Railway"):
        apply(railway, changed)
    apply(railway, changed)
    assert seen(fake) == fresh("domain", "access", "subnet_router", "region")


def test_a_variable_of_the_services_that_was_set_by_hand_is_drift(fake: FakeRailway, railway: Railway) -> None:
    apply(railway, project())
    known = [v.name for v in settings.variables(AUTH) if "<" not in v.name and v.name != "PORT"]
    for name in known:
        if name not in fake.service(NAME).variables:
            fake.set_by_hand(NAME, name, "by-hand")
    fake.set_by_hand(NAME, "IDP__OTHER__ISSUER", "https://evil.example.com")
    apply(railway, project())
    assert seen(fake) == fresh()


def test_how_often_railway_is_asked(fake: FakeRailway, railway: Railway) -> None:
    """Half of what it was: 30 from nothing, 32 for nothing to do."""
    apply(railway, project())
    assert len(fake.requests) <= 15
    fake.requests.clear()
    apply(railway, project())
    assert len(fake.requests) <= 16
    assert [r["operation"] for r in fake.requests if r["operation"] == "patch"] == []
