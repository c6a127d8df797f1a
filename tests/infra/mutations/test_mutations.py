"""The gates, judged by what they let through: every property of production's templates is broken once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.aws import checks
from infra.aws.checks import problems
from infra.aws.gates.promises import broken
from infra.aws.gates.whole import missing
from infra.product import STAGES
from tests.infra.conftest import Synthesized
from tests.infra.mutations.generate import Mutation, mutations
from tests.infra.mutations.irrelevant import IRRELEVANT, UNSEEN

STAGE = "production"
LEAST = 0.95


def objections(mutation: Mutation, templates: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Of the gates that read templates. The rest of the stage is as it was, and has none."""
    changed = mutation.apply(templates)
    if mutation.path:
        one = {"Resources": {mutation.logical_id: changed[mutation.part]["Resources"][mutation.logical_id]}}
        yield from (rule for rule, _, _ in problems(one, STAGES[STAGE]))
    yield from (rule for rule, _ in missing(changed.values(), STAGES[STAGE]))


def rows(table: tuple[tuple[str, str], ...], mutation: Mutation) -> list[str]:
    return [pattern for pattern, _ in table if re.search(pattern, str(mutation))]


@pytest.fixture(scope="module")
def judged(production: Synthesized) -> list[tuple[Mutation, str | None]]:
    """Every mutation, and the first rule that objects."""
    templates = json.loads(json.dumps(production.templates))
    assert [*missing(templates.values(), STAGES[STAGE])] == []
    assert [found for template in templates.values() for found in problems(template, STAGES[STAGE])] == []
    return [(mutation, next(objections(mutation, templates), None)) for mutation in mutations(templates)]


def test_the_gates_see_what_breaks_a_promise(judged: list[tuple[Mutation, str | None]]) -> None:
    counted = [(mutation, rule) for mutation, rule in judged if rule or not rows(IRRELEVANT, mutation)]
    unseen = [str(mutation) for mutation, rule in counted if rule is None]
    assert len(counted) > 1800
    assert 1 - len(unseen) / len(counted) >= LEAST
    # Whatever passes is in the table of what passes, with its reason.
    assert [name for name in unseen if not any(re.search(pattern, name) for pattern, _ in UNSEEN)] == []


def test_no_row_of_the_tables_hides_what_a_gate_sees_or_is_about_nothing(
    judged: list[tuple[Mutation, str | None]],
) -> None:
    """A row that covers more than what passes today would cover for a gate that is switched off tomorrow."""
    seen = [f"{mutation}: {rule}" for mutation, rule in judged if rule and rows(IRRELEVANT, mutation)]
    assert seen == []
    used = {pattern for mutation, _ in judged for pattern in rows((*IRRELEVANT, *UNSEEN), mutation)}
    assert {pattern for pattern, _ in (*IRRELEVANT, *UNSEEN)} - used == set()


def test_every_promise_is_broken_by_some_mutation(production: Synthesized) -> None:
    """A promise that no change breaks is about nothing, or the generator lacks the change that it is there for."""
    templates = json.loads(json.dumps(production.templates))
    stage, idle = STAGES[STAGE], {*range(len(checks.PROMISES))}
    for mutation in mutations(templates):
        if mutation.path:
            resource = mutation.apply(templates)[mutation.part]["Resources"][mutation.logical_id]
            idle -= {n for n in idle if broken(checks.PROMISES[n], mutation.logical_id, resource, stage)}
    assert [f"{checks.PROMISES[n].type} {checks.PROMISES[n].path}" for n in sorted(idle)] == []


def test_without_the_promises_most_of_it_would_pass(
    judged: list[tuple[Mutation, str | None]], monkeypatch: pytest.MonkeyPatch, production: Synthesized
) -> None:
    monkeypatch.setattr(checks, "PROMISES", ())
    templates = json.loads(json.dumps(production.templates))
    caught = [mutation for mutation, rule in judged if rule][::20]
    still = [mutation for mutation in caught if next(objections(mutation, templates), None)]
    assert len(still) < len(caught) / 2


# By name, because each of these once passed every gate there was.
ONCE_UNSEEN = (
    "Trail AWS::CloudTrail::Trail IsLogging switch",
    "TrailBucket AWS::S3::Bucket LifecycleConfiguration.Rules.0.ExpirationInDays shorten to 1",
    "DatabaseVault AWS::Backup::BackupVault AccessPolicy remove",
    "NetworkVpcFlowLog AWS::EC2::FlowLog TrafficType downgrade",
    "DatabaseParameters AWS::RDS::DBParameterGroup Parameters.password_encryption downgrade",
    "DatabaseParameters AWS::RDS::DBParameterGroup Parameters.shared_preload_libraries drop pgaudit",
    "DatabaseParameters AWS::RDS::DBParameterGroup Parameters.pgaudit.log_parameter shorten to 1",
    "DataKey AWS::KMS::Key KeyPolicy.Statement.0.Principal open to another account",
    "DatabaseInstance AWS::RDS::DBInstance KmsKeyId open to another account",
    "RouterPolicy AWS::IAM::ManagedPolicy PolicyDocument.Statement.1.Condition ask nothing DecryptOwnKey",
    "RouterDatabaseIngress AWS::EC2::SecurityGroupIngress CidrIp add",
    "AlarmsRootUseFilter AWS::Logs::MetricFilter FilterPattern change",
    "UsersPoolWeb AWS::Cognito::UserPoolClient TokenValidityUnits.AccessToken downgrade",
    "DatabasePlanInstance AWS::Backup::BackupSelection  remove the resource",
    "DocumentsBucketPolicy AWS::S3::BucketPolicy  remove the resource",
)


@pytest.mark.parametrize("name", ONCE_UNSEEN)
def test_what_once_passed_every_gate_is_seen(name: str, judged: list[tuple[Mutation, str | None]]) -> None:
    found = [rule for mutation, rule in judged if str(mutation) == name]
    assert found, "no such mutation is made"
    assert all(found)


def test_the_gate_of_a_synthesis_is_what_the_mutations_are_tried_on(production: Synthesized) -> None:
    """The plugin of the CDK reads the same tables: its report has the findings of one changed template."""
    templates = json.loads(json.dumps(production.templates))
    for template in templates.values():
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::CloudTrail::Trail":
                resource["Properties"]["IsLogging"] = False
    found = [rule for template in templates.values() for rule, _, _ in problems(template, STAGES[STAGE])]
    assert found == ["Signalbox-Trail"]
