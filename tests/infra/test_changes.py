"""What a change does to what stands: each field's row is true, what would be lost is refused, steps come in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from infra.aws.app import build_app
from infra.deploy.account import PARTS
from infra.deploy.certificates import issue
from infra.deploy.changes import Change, ChangeRefused, Templates, changes, refuse
from infra.deploy.planned import judge, read, told
from infra.deploy.specification import SpecificationError, specification
from infra.product import STAGES
from infra.shell.paths import ROOT
from infra.stage.chosen import stage
from infra.stage.effects import EFFECTS
from infra.stage.parts import Database, Network, Watch
from infra.stage.record import Stage
from tests.infra.conftest import ENTRA, OKTA

Synth = Callable[..., Templates]
_SECOND = {"signing_keys": (2, 1)}
_PLAIN = {"database": {"deletion_protection": False}, "retain": False, "environment": "development"}
# Field and change -> the stage, what it has before besides its record, and after.
TRIED: Mapping[tuple[str, str], tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    ("environment", ""): ("staging", {}, {"environment": "development"}),
    ("public_url", ""): ("staging", {}, {"public_url": "https://api.other.example.com"}),
    ("allowed_origins", ""): ("staging", {}, {"allowed_origins": ("https://other.example.com",)}),
    ("availability_zones", "2 to 3"): ("staging", {}, {"availability_zones": 3}),
    ("availability_zones", "3 to 2"): ("staging", {"availability_zones": 3}, {}),
    ("domain_prefix", ""): ("staging", {}, {"domain_prefix": "another-login"}),
    ("cognito_plan", "ESSENTIALS to PLUS"): ("development", {}, {"cognito_plan": "PLUS"}),
    ("cognito_plan", "PLUS to ESSENTIALS"): ("staging", {}, {"cognito_plan": "ESSENTIALS"}),
    ("mfa_required", ""): ("local", {}, {"mfa_required": True}),
    ("token_minutes", ""): ("staging", {}, {"token_minutes": 15}),
    ("retain", ""): ("staging", {}, _PLAIN),
    ("access", ""): ("staging", {}, {"access": "user"}),
    ("subnet_router", "off"): ("staging", {}, {"subnet_router": False}),
    ("subnet_router", "on"): ("staging", {"subnet_router": False}, {}),
    ("federation", "one more"): ("staging", {"federation": (OKTA,)}, {"federation": (OKTA, ENTRA)}),
    ("federation", "one less"): ("staging", {"federation": (OKTA,)}, {}),
    ("signing_keys", "one more"): ("staging", {}, {"signing_keys": (1, 2)}),
    ("signing_keys", "one less"): ("staging", _SECOND, {"signing_keys": (2,)}),
    ("retired_signing_keys", "one less"): (
        "staging",
        {"signing_keys": (2,), "retired_signing_keys": (1,)},
        {"signing_keys": (2,)},
    ),
    ("provider_secrets", ""): ("staging", {}, {"provider_secrets": ("client-okta",)}),
    ("tenant_keys", "off to on"): ("staging", {}, {"tenant_keys": "on"}),
    ("tenant_keys", "on to required"): ("staging", {"tenant_keys": "on"}, {"tenant_keys": "required"}),
    ("tenant_keys", "off to required"): ("staging", {"tenant_keys": "off"}, {"tenant_keys": "required"}),
    ("tenant_keys", "back to off"): ("staging", {"tenant_keys": "required"}, {}),
    ("watch.email", ""): ("staging", {}, {"watch": {"email": "other@example.com"}}),
    ("watch.trail", "off"): ("staging", {}, {"watch": {"trail": False}}),
    ("watch.trail", "on"): ("staging", {"watch": {"trail": False}}, {}),
    ("watch.budget_usd", ""): ("staging", {}, {"watch": {"budget_usd": 700}}),
    ("railway_region", ""): ("staging", {}, {"railway_region": "europe-west4-drams3a"}),
    ("replicas", ""): ("staging", {}, {"replicas": 3}),
    ("migrations", ""): ("staging", {}, {"migrations": "manual"}),
    ("variables", ""): ("staging", {}, {"variables": {"LOG_LEVEL": "WARNING"}}),
    ("database.instance_type", ""): ("staging", {}, {"database": {"instance_type": "m7g.large"}}),
    ("database.storage_gib", "more"): ("staging", {}, {"database": {"storage_gib": 60}}),
    ("database.storage_gib", "less"): ("staging", {}, {"database": {"storage_gib": 20}}),
    ("database.max_storage_gib", ""): ("staging", {}, {"database": {"max_storage_gib": 300}}),
    ("database.multi_az", ""): ("staging", {}, {"database": {"multi_az": True}}),
    ("database.backup_days", ""): ("staging", {}, {"database": {"backup_days": 20}}),
    ("database.deletion_protection", ""): ("development", {}, {"database": {"deletion_protection": True}}),
    ("database.port", ""): ("staging", {}, {"database": {"port": 5544}}),
    ("database.name", ""): ("staging", {}, {"database": {"name": "other"}}),
    ("database.master_user", ""): ("staging", {}, {"database": {"master_user": "other_owner"}}),
    ("database.app_user", ""): ("staging", {}, {"database": {"app_user": "other_app"}}),
    ("database.iam_auth", ""): ("staging", {}, {"database": {"iam_auth": True}}),
    ("network.cidr", ""): ("staging", {}, {"network": {"cidr": "10.99.0.0/16"}}),
    ("network.nat_gateways", "one more"): ("staging", {}, {"network": {"nat_gateways": 2}}),
    ("network.nat_gateways", "one less"): ("staging", {"network": {"nat_gateways": 2}}, {}),
    ("network.interface_endpoints", ""): ("staging", {}, {"network": {"interface_endpoints": True}}),
}


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    """Templates of a stage with some fields changed, without the gates: each made once."""
    made: dict[str, Templates] = {}

    def templates(name: str, **fields: Any) -> Templates:
        key = json.dumps([name, fields], sort_keys=True)
        if key not in made:
            folder = tmp_path_factory.mktemp("changed")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("infra.aws.app.AUTHORITIES", folder / "none")
                patch.setattr("infra.aws.app.stage", lambda *_, **__: stage(name, **fields))
                patch.setattr("infra.aws.checks.install", lambda *_: None)
                context = {"@aws-cdk/core:validateAgainstDefaultRules": False}
                build_app(name, context, outdir=str(folder / "out")).synth()
            made[key] = read(folder / "out")
        return made[key]

    return templates


def _found(before: Templates, after: Templates) -> list[Change]:
    return changes(before, after, specification(ROOT))


def _outcome(before: Templates, after: Templates) -> str:
    try:
        judge(before, after)
    except ChangeRefused as refused:
        return "loses" if "--lose" in str(refused) else "cannot"
    return "in place"


def test_every_field_of_a_stage_has_a_row() -> None:
    parts: Mapping[str, type[BaseModel]] = {"database": Database, "network": Network, "watch": Watch}
    fields = {name for name in Stage.model_fields if name not in parts}
    fields |= {f"{part}.{name}" for part, record in parts.items() for name in record.model_fields}
    assert {row.field for row in EFFECTS} == fields
    assert {(row.field, row.change) for row in EFFECTS if row.what != "elsewhere"} == set(TRIED)


@pytest.mark.faults
def test_each_row_is_what_the_specification_says(synth: Synth, request: pytest.FixtureRequest) -> None:
    """In full each by itself; in short those of one outcome at once, whose first mistake would show as well."""
    if "faults" not in request.config.option.markexpr:
        was = synth("staging")
        for what in ("in place", "loses", "cannot"):
            assert _outcome(was, synth("staging", **_at_once(what))) == what
        return
    wrong = dict[tuple[str, ...], object]()
    for row in EFFECTS:
        if row.what != "elsewhere":
            name, before, after = TRIED[row.field, row.change]
            was, will = synth(name, **before), synth(name, **after)
            if (outcome := _outcome(was, will)) != row.what:
                wrong[row.field, row.change] = (outcome, [str(one) for one in _found(was, will)][:9])
            nothing = "nothing in AWS" in row.words
            if nothing != (was == will):
                wrong[row.field, row.change, "in AWS"] = (nothing, [])
    assert wrong == {}


def _at_once(what: str) -> dict[str, Any]:
    """The changes of staging that have one outcome, together."""
    merged: dict[str, Any] = {}
    for row in EFFECTS:
        name, before, after = TRIED.get((row.field, row.change), ("", {}, {}))
        if row.what == what and name == "staging" and not before:
            for field, value in after.items():
                merged[field] = merged.get(field, {}) | value if isinstance(value, dict) else value
    return merged


def test_what_is_stateful_is_lost_by_its_name_alone(synth: Synth) -> None:
    was, will = synth("staging"), synth("staging", **_at_once("loses"))
    losing = [one.name for one in _found(was, will) if one.loses]
    for part in ("SignIns", "RouterKey", "DatabaseApp", "TrailLogs", "TrailBucket"):
        assert [name for name in losing if part in name], part
    judge(was, will, losing)
    with pytest.raises(ChangeRefused) as refused:
        judge(was, will, losing[:1])
    assert f"--lose {losing[1]}" in str(refused.value)
    assert losing[0] not in str(refused.value)
    with pytest.raises(ChangeRefused, match="nothing of that name would be lost"):
        judge(was, was, ["data/Documents"])
    text = told(was, will)
    assert f"{losing[0]}, " in text
    assert "the stage loses what it holds" in text
    assert "nothing changes" in told(was, was)


def test_what_cannot_be_says_why(synth: Synth) -> None:
    was, will = synth("staging"), synth("staging", **_at_once("cannot"))
    with pytest.raises(ChangeRefused) as refused:
        judge(was, will, [one.name for one in _found(was, will) if one.loses])
    for why in (
        "DBName, MasterUsername, Port",
        "DBInstanceIdentifier is taken",
        "the database stands in these subnets",
    ):
        assert why in str(refused.value)
    smaller = deepcopy(was)
    (instance,) = [r for r in smaller["data"]["Resources"].values() if r["Type"] == "AWS::RDS::DBInstance"]
    instance["Properties"]["AllocatedStorage"] = "20"
    with pytest.raises(ChangeRefused, match="RDS makes no volume smaller"):
        judge(was, smaller)


def test_every_stateful_resource_is_missed_when_it_goes_or_gets_another_id(synth: Synth) -> None:
    was = synth("staging")
    for part in PARTS:
        for logical, resource in was[part]["Resources"].items():
            gone = deepcopy(was)
            gone[part]["Resources"][f"{logical}Renamed"] = gone[part]["Resources"].pop(logical)
            stateful = [one.name for one in _found(was, gone) if one.loses]
            protected = resource["Type"] in (
                *("AWS::KMS::Key", "AWS::RDS::DBInstance", "AWS::S3::Bucket", "AWS::SecretsManager::Secret"),
                *("AWS::Cognito::UserPool", "AWS::Backup::BackupVault", "AWS::Logs::LogGroup"),
            )
            assert not protected or f"{part}/{logical}" in stateful, logical


def test_a_replacement_is_followed_through_references_and_other_stacks(synth: Synth) -> None:
    """The key of the data is another one: a bucket takes it in place, database and vault could not."""
    was = synth("staging")
    will = deepcopy(was)
    (key,) = [
        name for name, one in was["data"]["Resources"].items() if one["Type"] == "AWS::KMS::Key" and "Data" in name
    ]
    will["data"]["Resources"][key]["Type"] = "AWS::KMS::ReplicaKey"
    outcomes = {one.type: one.outcome for one in _found(was, will)}
    assert outcomes["AWS::RDS::DBInstance"] == "cannot"  # encrypted with it, for good, and its name is taken
    assert outcomes["AWS::Backup::BackupVault"] == "cannot"
    assert outcomes["AWS::S3::Bucket"] == "in place"
    unknown = deepcopy(was)
    unknown["data"]["Resources"][key]["Type"] = "AWS::Nobody::Knows"
    with pytest.raises(SpecificationError, match="AWS::Nobody::Knows"):
        _found(unknown, deepcopy(unknown))


def test_a_signing_key_goes_in_two_steps(synth: Synth) -> None:
    both, retiring = synth("staging", **_SECOND), synth("staging", signing_keys=(2,), retired_signing_keys=(1,))
    alone = synth("staging", signing_keys=(2,))
    with pytest.raises(ChangeRefused, match="move its number from signing_keys to retired_signing_keys"):
        judge(both, alone, [one.name for one in _found(both, alone) if one.loses])
    judge(both, retiring)
    policy = [one for one in _found(both, retiring) if "ServicePolicy" in one.name]
    assert {one.outcome for one in policy} <= {"in place"}
    for template in (both, retiring):  # replicas that still name it may use it
        statements = json.dumps([r for n, r in template["data"]["Resources"].items() if "ServicePolicy" in n])
        assert statements.count("SigningKey") == 2
    judge(retiring, alone)


def test_the_key_of_the_stage_leaves_tenants_in_two_steps(synth: Synth) -> None:
    off, on, required = (synth("staging", **({"tenant_keys": one} if one else {})) for one in ("", "on", "required"))
    with pytest.raises(ChangeRefused, match='set tenant_keys="on"'):
        judge(off, required)
    for before, after in ((off, on), (on, required), (required, on), (required, off), (on, off)):
        judge(before, after)
        # Whichever replica runs meanwhile, with or without the tenants' keys: what it writes with, it may, and read.
    policies = [
        {one["Sid"]: one["Action"] for one in row["Properties"]["PolicyDocument"]["Statement"]}
        for row in (r for t in (off, on, required) for n, r in t["data"]["Resources"].items() if "TenantPolicy" in n)
    ]
    assert policies[0] == policies[1], "to switch it on, or off again, takes nothing from a replica that runs"
    assert policies[2] == policies[0] | {"TenantKey": "kms:Decrypt", "TenantDocumentsKey": "kms:Decrypt"}


def test_an_authority_goes_in_two_steps(synth: Synth, tmp_path: Path) -> None:
    old, new = (issue(STAGES["staging"], tmp_path / f"{n}", tmp_path / f"k{n}").authority.read_text() for n in "ab")

    def trusting(text: str) -> Templates:
        found = deepcopy(synth("staging"))
        resources = found["access"]["Resources"].values()
        (anchor,) = [one for one in resources if one["Type"] == "AWS::RolesAnywhere::TrustAnchor"]
        anchor["Properties"]["Source"]["SourceData"]["X509CertificateData"] = text
        return found

    first, both, last = (trusting(text) for text in (old, new + old, new))
    with pytest.raises(ChangeRefused, match="--new-authority"):
        judge(first, last)
    judge(first, both)
    judge(both, last)
    judge(first, first)


def test_what_cannot_be_is_refused_whatever_is_named() -> None:
    change = Change("data/X", "AWS::RDS::DBInstance", "cannot", ("its name is taken",))
    with pytest.raises(ChangeRefused, match=r"data/X, RDS::DBInstance, cannot be changed so \(its name is taken\)"):
        refuse([change], ["data/X"])
