"""The gate closes on every property it stands for; what it lets pass is written down, with a reason that holds."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2

from infra.aws.app import build_app
from infra.aws.checks import problems
from infra.aws.register import REGISTER
from infra.product import STAGES
from tests.infra.conftest import Synthesized
from tests.support.api.server import ROOT

_INSTANCE, _BUCKET = "SignalboxData/Database/Instance/Resource", "SignalboxData/Documents/Bucket/Resource"
_LOGIN = "SignalboxData/Secrets/DatabaseApp/Resource"
_WIDE = {"Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}}
_FOR_ALL = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:x", "Principal": {"AWS": "*"}}]}
SYNTHESIS_SECONDS = 8  # of CPU, for a stage
_EVERYBODY = [{"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 5433, "ToPort": 5433}]
_OLD_METADATA = ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
    metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(http_tokens="optional")
)

# Switched off one by one, as a careless change of a construct would: where, what, and the pack's rule that notices.
CHANGED: tuple[tuple[str, str, object, str], ...] = (
    (_INSTANCE, "multi_az", False, "RDSMultiAZSupport"),
    (_INSTANCE, "publicly_accessible", True, "RDSInstancePublicAccess"),
    (_INSTANCE, "storage_encrypted", False, "RDSStorageEncrypted"),
    (_INSTANCE, "deletion_protection", False, "RDSInstanceDeletionProtectionEnabled"),
    (_INSTANCE, "monitoring_interval", 0, "RDSEnhancedMonitoringEnabled"),
    (_INSTANCE, "enable_cloudwatch_logs_exports", ["upgrade"], "RDSLoggingEnabled"),
    (_INSTANCE, "auto_minor_version_upgrade", False, "RDSAutomaticMinorVersionUpgradeEnabled"),
    (_BUCKET, "bucket_encryption", None, "S3DefaultEncryptionKMS"),
    (_BUCKET, "versioning_configuration", None, "S3BucketVersioningEnabled"),
    (_BUCKET, "logging_configuration", None, "S3BucketLoggingEnabled"),
    (_LOGIN, "kms_key_id", None, "SecretsManagerUsingKMSKey"),
    ("SignalboxData/DataKey/Key/Resource", "enable_key_rotation", False, "AwsSolutions-KMS5"),
    ("SignalboxNetwork/Network/FlowLogs/Resource", "kms_key_id", None, "CloudWatchLogGroupEncrypted"),
    ("SignalboxNetwork/Network/FlowLogs/Resource", "retention_in_days", None, "CloudWatchLogGroupRetentionPeriod"),
    ("SignalboxIdentity/PreToken/Function/Resource", "reserved_concurrent_executions", None, "LambdaConcurrency"),
    ("SignalboxWatch/Topic/Resource", "kms_master_key_id", None, "SNSEncryptedKMS"),
    ("SignalboxWatch/Trail/Trail", "enable_log_file_validation", False, "CloudTrailLogFileValidationEnabled"),
    ("SignalboxWatch/Trail/Trail", "kms_key_id", None, "CloudTrailEncryptionEnabled"),
    ("SignalboxAccess/Router/Template/Resource", "launch_template_data", _OLD_METADATA, "EC2IMDSv2Enabled"),
)

# The packs read constructs, and miss what a raw override does to the template; our rules read the template.
OVERRIDDEN: tuple[tuple[str, str, object, str], ...] = (
    ("AWS::RDS::DBInstance", "Properties.BackupRetentionPeriod", 7, "Signalbox-Database"),
    ("AWS::RDS::DBInstance", "Properties.BackupRetentionPeriod", None, "Signalbox-Database"),
    ("AWS::RDS::DBInstance", "Properties.EnableIAMDatabaseAuthentication", False, "Signalbox-Database"),
    ("AWS::RDS::DBInstance", "Properties.StorageEncrypted", False, "Signalbox-Database"),
    ("AWS::RDS::DBInstance", "Properties.PubliclyAccessible", True, "Signalbox-Database"),
    ("AWS::RDS::DBInstance", "Properties.MasterUserPassword", "hunter2", "Signalbox-Database"),
    ("AWS::RDS::DBInstance", "DeletionPolicy", "Delete", "Signalbox-Retained"),
    ("AWS::RDS::DBParameterGroup", "Properties.Parameters|rds.force_ssl", "0", "Signalbox-Parameters"),
    ("AWS::RDS::DBParameterGroup", "Properties.Parameters|log_statement", "all", "Signalbox-Parameters"),
    ("AWS::RDS::DBParameterGroup", "Properties.Parameters|log_parameter_max_length", None, "Signalbox-Parameters"),
    ("AWS::KMS::Key", "UpdateReplacePolicy", "Delete", "Signalbox-Retained"),
    ("AWS::KMS::Key", "DeletionPolicy", None, "Signalbox-Retained"),
    ("AWS::KMS::Key", "DeletionPolicy", "Retain", "Signalbox-Retained"),
    ("AWS::SecretsManager::Secret", "Properties.SecretString", "hunter2", "Signalbox-NoSecret"),
    ("AWS::SecretsManager::Secret", "DeletionPolicy", "Delete", "Signalbox-Retained"),
    ("AWS::S3::Bucket", "DeletionPolicy", "Delete", "Signalbox-Retained"),
    ("AWS::Logs::LogGroup", "Properties.RetentionInDays", 30, "Signalbox-LogGroup"),
    ("AWS::Logs::LogGroup", "Properties.KmsKeyId", None, "Signalbox-LogGroup"),
    ("AWS::EC2::SecurityGroup", "Properties.SecurityGroupIngress", _EVERYBODY, "Signalbox-NoOpenIngress"),
    ("AWS::Cognito::UserPoolClient", "Properties.WriteAttributes", None, "Signalbox-TenantNotWritable"),
    ("AWS::Cognito::UserPoolClient", "Properties.WriteAttributes", ["custom:tenant_id"], "Signalbox-TenantNotWritable"),
    ("AWS::Cognito::UserPoolClient", "Properties.AllowedOAuthFlows", ["implicit"], "Signalbox-TenantNotWritable"),
    ("AWS::Cognito::UserPool", "Properties.MfaConfiguration", "OPTIONAL", "Signalbox-UserPool"),
    ("AWS::Cognito::UserPool", "Properties.UserPoolAddOns", None, "Signalbox-UserPool"),
    ("AWS::Cognito::UserPool", "Properties.UserPoolAddOns.AdvancedSecurityMode", "AUDIT", "Signalbox-UserPool"),
    ("AWS::Cognito::UserPool", "Properties.AdminCreateUserConfig", None, "Signalbox-UserPool"),
    ("AWS::Cognito::UserPool", "Properties.Schema", [{"Name": "tenant_id", "Mutable": True}], "Signalbox-UserPool"),
    ("AWS::CloudWatch::Alarm", "Properties.AlarmActions", None, "Signalbox-Alarm"),
    ("AWS::IAM::ManagedPolicy", "Properties.PolicyDocument", _WIDE, "Signalbox-Rights"),
    ("AWS::SNS::TopicPolicy", "Properties.PolicyDocument", _FOR_ALL, "Signalbox-NotPublic"),
    ("AWS::S3::BucketPolicy", "Properties.PolicyDocument", _FOR_ALL, "Signalbox-NotPublic"),
)


def child(app: cdk.App, path: str) -> Any:
    found: Any = app
    for part in path.split("/"):
        found = found.node.find_child(part)
    return found


def violations(app: cdk.App, folder: Path) -> set[tuple[str, str]]:
    """Path and rule of everything that the gate closed for."""
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((folder / "validation-report.json").read_text())
    return {
        (construct.get("constructPath", ""), found["ruleName"])
        for plugin in report["pluginReports"]
        for found in plugin["violations"]
        for construct in found["violatingConstructs"]
    }


@pytest.fixture(scope="session")
def closed_for(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Every row of ``CHANGED`` in one app: each finding names its construct, so none stands in for another."""
    folder = tmp_path_factory.mktemp("spoiled")
    app = build_app("production", outdir=str(folder))
    for path, name, value, _ in CHANGED:
        setattr(child(app, path), name, value)
    child(app, _LOGIN).add_override("DeletionPolicy", "Delete")
    return violations(app, folder)


@pytest.mark.parametrize(("path", "name", "value", "rule"), CHANGED, ids=[f"{row[3]}-{row[1]}" for row in CHANGED])
def test_a_property_that_is_switched_off_is_found(
    path: str, name: str, value: object, rule: str, closed_for: set[tuple[str, str]]
) -> None:
    # The pack finds a launch template's faults at the group that launches from it.
    expected = path.replace("Template/Resource", "Group/ASG")
    assert any(where == expected and rule in found for where, found in closed_for)


def test_one_property_of_a_pack_closes_the_gate(tmp_path: Path) -> None:
    app = build_app("production", outdir=str(tmp_path))
    child(app, _INSTANCE).multi_az = False
    assert {rule.rpartition("-")[2] for _, rule in violations(app, tmp_path)} == {
        "RDSMultiAZSupport",
        "RDS3",
        "Database",
    }


def test_a_raw_override_closes_the_gate(closed_for: set[tuple[str, str]]) -> None:
    assert (_LOGIN, "Signalbox-Retained") in closed_for


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "rule"),
    OVERRIDDEN,
    ids=[f"{row[3]}-{row[1]}-{row[2]}"[:70] for row in OVERRIDDEN],
)
def test_what_a_template_says_is_judged_by_our_own_rules(
    resource_type: str, name: str, value: object, rule: str, production: Synthesized
) -> None:
    for template in production.templates.values():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == resource_type:
                spoiled = copy.deepcopy(resource)
                *way, last = re.split(r"[.|]", name, maxsplit=name.count(".") if "|" not in name else 2)
                inner = spoiled
                for part in way:
                    inner = inner.setdefault(part, {})
                if value is None:
                    inner.pop(last, None)
                else:
                    inner[last] = value
                before = list(problems({"Resources": {logical_id: resource}}, STAGES["production"]))
                after = list(problems({"Resources": {logical_id: spoiled}}, STAGES["production"]))
                assert before == []
                assert rule in {found for found, _, _ in after}
                return
    pytest.fail(f"production has no {resource_type}")


def test_a_federated_provider_may_not_map_the_tenant_and_a_stack_holds_no_access_key() -> None:
    mapping = {"AttributeMapping": {"custom:tenant_id": "t"}}
    mapped = {"Type": "AWS::Cognito::UserPoolIdentityProvider", "Properties": mapping}
    template = {"Resources": {"P": mapped, "K": {"Type": "AWS::IAM::AccessKey"}}}
    found = {rule for rule, _, _ in problems(template, STAGES["production"])}
    assert found == {"Signalbox-TenantNotMapped", "Signalbox-NoSecret"}


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_has_a_finding_that_is_not_in_the_register(name: str, stages: Mapping[str, Synthesized]) -> None:
    report = stages[name].report
    assert [found for plugin in report["pluginReports"] for found in plugin["violations"]] == []
    rows = {(path, row.rule) for row in REGISTER if name in row.stages for path in row.paths}
    for plugin in report["pluginReports"]:
        for found in plugin.get("suppressedViolations", []):
            # The CDK silences its own linter about zones that it was told.
            ours = not found["acknowledgedId"].startswith("CloudFormation-Validate::")
            assert not ours or (found["acknowledgedAt"], found["acknowledgedId"]) in rows, found


@pytest.mark.parametrize("row", REGISTER, ids=lambda row: f"{row.rule.rpartition('::')[2][:60]}-{row.stages[0]}")
def test_a_row_of_the_register_is_reasoned_reviewed_and_of_use_on_every_stage_it_names(
    row: Any, stages: Mapping[str, Synthesized], federated: Synthesized
) -> None:
    assert row.rule.startswith(("HIPAA.Security::HIPAA.Security-", "AwsSolutions::AwsSolutions-"))
    assert len(row.reason) >= 40
    assert row.owner
    assert date.today() <= row.review, "the review of this row is due: look at it, then move the date"  # noqa: DTZ011
    everywhere: set[str] = set()
    for name in row.stages:
        app = stages[name].app
        there = {path for path in row.paths if exists(app, path)}
        silenced = silenced_by(row, stages[name])
        assert there, f"is about nothing in stage {name}"
        assert silenced >= there, f"silences nothing in stage {name}"
        everywhere |= silenced
        for path in there:
            assert list(child(app, path).node.children) == [], f"{path} covers more than one resource"
    assert everywhere | silenced_by(row, federated) >= set(row.paths), "a path leads nowhere in any stage"


def exists(app: cdk.App, path: str) -> bool:
    return any(construct.node.path == path for construct in app.node.find_all())


def silenced_by(row: Any, stage: Synthesized) -> set[str]:
    return {
        found["acknowledgedAt"]
        for plugin in stage.report["pluginReports"]
        for found in plugin.get("suppressedViolations", [])
        if found["acknowledgedId"] == row.rule
    }


def test_acknowledgements_come_from_the_register_alone(stages: Mapping[str, Synthesized]) -> None:
    for name, stage in stages.items():
        rows = {(path, row.rule): row.reason for row in REGISTER if name in row.stages for path in row.paths}
        for construct in stage.app.node.find_all():
            for entry in construct.node.metadata:
                if entry.type == cdk.Validations.ACKNOWLEDGED_RULES_METADATA_KEY:
                    for rule, reason in entry.data.items():
                        # The CDK itself silences linters of its own about what it renders.
                        if not rule.startswith("CloudFormation-Validate::"):
                            assert rows.get((construct.node.path, rule)) == reason


def children_cpu() -> float:
    """Seconds of CPU of all processes that were waited for."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_staging_and_production_synthesize_without_network_credentials_or_git(
    production: Synthesized, tmp_path: Path
) -> None:
    """As the CDK's command line runs the app: a process without credentials, and without a way out.

    What it makes is, byte for byte, what this process made, whose hashes have another seed.
    """
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    # The home is for jsii's cache of the library, without which it would unpack all of it again.
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "AWS_EC2_METADATA_DISABLED": "true"}
    environment |= nowhere | nobody
    before = children_cpu()
    code = "; ".join(
        ["from pathlib import Path", "from tests.support.cloud import product", "product.install()"]
        + ["from infra.aws import app", "app.AUTHORITIES = Path('none')"]  # as the fixtures have it
        + [f"app.build_app({name!r}, outdir={str(tmp_path / name)!r}).synth()" for name in ("staging", "production")]
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True)
    for name in ("staging", "production"):
        assert not json.loads((tmp_path / name / "manifest.json").read_text()).get("missing")
    # Of Python and Node together, whatever else the machine does; most of it is the CDK's own linter, as it loads.
    assert children_cpu() - before < 2 * SYNTHESIS_SECONDS
    templates = sorted(production.folder.glob("*.template.json"))
    assert templates
    for template in templates:
        assert (tmp_path / "production" / template.name).read_text() == template.read_text()


def kinds(templates: list[Path]) -> set[str]:
    return {resource["Type"] for one in templates for resource in json.loads(one.read_text())["Resources"].values()}


def test_cloudformation_lint_has_nothing_to_say(federated: Synthesized, stages: Mapping[str, Synthesized]) -> None:
    # W3691 calls every engine version without a minor deprecated; the CDK says twice what depends on what (W3005).
    options = ["--regions", "us-east-1", "--format", "parseable", "--ignore-checks", "W3691", "W3005"]
    templates = sorted(federated.folder.glob("*.template.json"))
    there = kinds(templates)
    # Of another stage what has a kind of resource that is not there.
    templates += [one for one in stages["development"].folder.glob("*.template.json") if not kinds([one]) <= there]
    command = [str(Path(sys.executable).with_name("cfn-lint")), *options, "--", *map(str, templates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
