"""What the templates say, read as a security officer would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from infra.docs import stacks as picture
from infra.product import STAGES
from infra.stage.chosen import stage as stage_of
from infra.stage.outputs import OUTPUTS
from infra.stage.stateful import STATEFUL
from service.product import NAME
from tests.infra.conftest import Synthesized, synthesize
from tests.support.api.server import ROOT
from tests.support.cloud.formation import NAMED

SNAPSHOT = Path(__file__).with_name("stateful_ids.json")


def test_what_is_stateful_keeps_its_logical_id(production: Synthesized) -> None:
    """Another id is another resource: CloudFormation would make an empty one, and leave the old one to nobody."""
    found = sorted(where for where, _ in production.resources(*STATEFUL))
    assert found == json.loads(
        SNAPSHOT.read_text()
    ), "if this is meant, plan a migration first, then change the snapshot"


@pytest.mark.parametrize("name", ["staging", "production"])
def test_what_is_stateful_outlives_its_stack(name: str, stages: Mapping[str, Synthesized]) -> None:
    kept = list(stages[name].resources(*STATEFUL))
    assert len(kept) > 15
    for where, resource in kept:
        policies = resource["DeletionPolicy"], resource["UpdateReplacePolicy"]
        assert policies == ("RetainExceptOnCreate", "Retain"), where
    manifest = json.loads((stages[name].folder / "manifest.json").read_text())
    stacks = [part for part in manifest["artifacts"].values() if part["type"] == "aws:cloudformation:stack"]
    assert all(part["properties"]["terminationProtection"] for part in stacks)


def test_every_output_of_the_table_is_in_a_template_and_the_other_way_round(production: Synthesized) -> None:
    others = {("access", "ServiceUserName"), ("data", "TenantKeyPrefix")}  # of stages with other options
    expected = {(output.stack, output.key) for output in OUTPUTS} - others
    found = {
        (part, key)
        for part, template in production.templates.items()
        for key in template.get("Outputs", {})
        if not key.startswith("PublishOutput")
    }
    assert found == expected
    for template in production.templates.values():
        assert not any("Export" in output for output in template.get("Outputs", {}).values())


def test_templates_hold_no_secret_and_outputs_only_names(production: Synthesized) -> None:
    for secret in production.properties("AWS::SecretsManager::Secret"):
        assert "SecretString" not in secret
        assert "GenerateSecretString" in secret
    assert "AWS::IAM::AccessKey" not in {
        r["Type"] for t in production.templates.values() for r in t["Resources"].values()
    }


def test_the_database_is_where_nothing_leads_to_but_the_router(production: Synthesized) -> None:
    (instance,) = production.properties("AWS::RDS::DBInstance")
    assert instance["EngineVersion"].startswith("18")
    assert instance["PubliclyAccessible"] is False
    assert instance["BackupRetentionPeriod"] >= 30
    routes = production.properties("AWS::EC2::Route")
    isolated = {
        json.dumps(route["RouteTableId"]) for route in routes if "Database" in json.dumps(route["RouteTableId"])
    }
    assert isolated == set(), "a database subnet has a way out"
    (ingress,) = production.properties("AWS::EC2::SecurityGroupIngress")
    assert (ingress["FromPort"], ingress["ToPort"], ingress["IpProtocol"]) == (5433, 5433, "tcp")
    assert "Router" in json.dumps(ingress["SourceSecurityGroupId"])
    assert [group.get("SecurityGroupIngress") for group in production.properties("AWS::EC2::SecurityGroup")] == [
        None,
        None,
    ]


def test_documents_are_encrypted_with_our_key(production: Synthesized) -> None:
    """S3's own access logs are the one exception, which the register explains: S3 writes them with its own key only."""
    buckets = dict(production.resources("AWS::S3::Bucket"))
    ours = {name for name, found in buckets.items() if "KMSMasterKeyID" in str(found["Properties"]["BucketEncryption"])}
    assert [name for name in buckets if name not in ours and "AccessLogs" not in name] == []
    assert any("Documents" in name for name in ours)


def test_the_router_shows_its_key_to_nobody(production: Synthesized) -> None:
    (template,) = production.properties("AWS::EC2::LaunchTemplate")
    data = template["LaunchTemplateData"]
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert "KeyName" not in data
    script = json.dumps(data["UserData"])
    assert "get-secret-value" in script
    assert "--auth-key=file:" in script
    assert "/etc/environment" not in script
    (group,) = production.properties("AWS::AutoScaling::AutoScalingGroup")
    assert (group["MinSize"], group["MaxInstanceLifetime"]) == ("1", 30 * 86400)
    # The next one is up before the old one goes, with memory enough for its packages.
    assert group["InstanceMaintenancePolicy"] == {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    assert data["InstanceType"] == "t4g.micro"


def test_the_role_opens_for_our_authority_and_our_name_alone(federated: Synthesized) -> None:
    (anchor,) = federated.properties("AWS::RolesAnywhere::TrustAnchor")
    assert anchor["Source"]["SourceData"]["X509CertificateData"].startswith("-----BEGIN CERTIFICATE-----")
    trusts = [role["AssumeRolePolicyDocument"] for role in federated.properties("AWS::IAM::Role")]
    (trust,) = [trust for trust in trusts if "rolesanywhere.amazonaws.com" in json.dumps(trust)]
    actions = set()
    for statement in trust["Statement"]:
        allowed = statement["Action"]
        actions |= {allowed} if isinstance(allowed, str) else set(allowed)
        assert statement["Condition"]["StringEquals"] == {
            "aws:PrincipalTag/x509Subject/CN": f"{NAME}-service-production"
        }
        assert "TrustAnchorArn" in json.dumps(statement["Condition"]["ArnEquals"]["aws:SourceArn"])
    assert actions == {"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}
    (profile,) = federated.properties("AWS::RolesAnywhere::Profile")
    assert profile["DurationSeconds"] == 3600


def test_without_an_authority_cloudformation_refuses_to_deploy(production: Synthesized) -> None:
    (name, parameter), *rest = [
        item for item in production.templates["access"]["Parameters"].items() if "Authority" in item[0]
    ]
    assert rest == []
    assert "Default" not in parameter
    assert parameter["MinLength"] == 1
    assert "signalbox certs" in parameter["Description"]
    (anchor,) = production.properties("AWS::RolesAnywhere::TrustAnchor")
    assert anchor["Source"]["SourceData"]["X509CertificateData"] == {"Ref": name}


def test_the_policy_of_the_service_names_what_it_is_for(production: Synthesized) -> None:
    (policy,) = [
        p for p in production.properties("AWS::IAM::ManagedPolicy") if "what the service may do" in p["Description"]
    ]
    statements = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
    assert set(statements) == {
        *("ReadSecrets", "UseKeyThroughServices", "SignTokens", "ActForOneTenant", "DatabaseLogin"),
    }
    assert "kms:ViaService" in json.dumps(statements["UseKeyThroughServices"]["Condition"])
    # Which statement Router's key is in: none. It would let the service onto the tailnet as a router.
    assert "RouterKey" not in json.dumps(statements)


def test_a_providers_client_secret_is_readable_by_its_whole_name_alone(federated: Synthesized) -> None:
    policies = federated.properties("AWS::IAM::ManagedPolicy")
    (policy,) = [p for p in policies if "what the service may do" in p["Description"]]
    (read,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "ReadSecrets"]
    named = [json.dumps(arn) for arn in read["Resource"] if f"{NAME}/production/" in json.dumps(arn)]
    assert len(named) == 1
    assert f"secret:{NAME}/production/client-okta-??????" in named[0]


def test_neither_a_user_nor_a_provider_can_write_a_tenant(federated: Synthesized, production: Synthesized) -> None:
    for synthesized in (federated, production):
        (client,) = synthesized.properties("AWS::Cognito::UserPoolClient")
        assert not [name for name in client["WriteAttributes"] if "tenant" in name]
        assert "custom:tenant_id" in client["ReadAttributes"]
        (pool,) = synthesized.properties("AWS::Cognito::UserPool")
        (attribute,) = [entry for entry in pool["Schema"] if entry["Name"] == "tenant_id"]
        assert attribute["Mutable"] is False
        assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
        assert pool["MfaConfiguration"] == "ON"
        assert pool["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
        assert pool["UserPoolAddOns"] == {"AdvancedSecurityMode": "ENFORCED"}
        assert pool["Policies"]["PasswordPolicy"]["MinimumLength"] >= 14
    assert "email" not in production.properties("AWS::Cognito::UserPoolClient")[0]["WriteAttributes"]


def test_a_federated_provider_brings_an_address_and_its_tenant_comes_from_us(federated: Synthesized) -> None:
    providers = {p["ProviderName"]: p for p in federated.properties("AWS::Cognito::UserPoolIdentityProvider")}
    assert set(providers) == {"AcmeOkta", "GlobexEntra"}
    for provider in providers.values():
        assert set(provider["AttributeMapping"]) == {"email"}
    secret = json.dumps(providers["GlobexEntra"]["ProviderDetails"]["client_secret"])
    assert f"{{{{resolve:secretsmanager:{NAME}/production/idp-GlobexEntra" in secret
    assert providers["AcmeOkta"]["ProviderDetails"]["IDPInit"] is False
    functions = [f for f in federated.properties("AWS::Lambda::Function") if f["Handler"] == "handler.handler"]
    mapping = json.loads(functions[0]["Environment"]["Variables"]["TENANTS_BY_PROVIDER"])
    assert mapping == {"AcmeOkta": "acme", "GlobexEntra": "globex"}
    (client,) = federated.properties("AWS::Cognito::UserPoolClient")
    assert client["SupportedIdentityProviders"] == ["COGNITO", "AcmeOkta", "GlobexEntra"]
    assert "email" in client["WriteAttributes"]


def test_endpoints_take_calls_from_within_only(federated: Synthesized) -> None:
    endpoints = [e for e in federated.properties("AWS::EC2::VPCEndpoint") if e["VpcEndpointType"] == "Interface"]
    assert len(endpoints) == 5
    groups = [g for g in federated.properties("AWS::EC2::SecurityGroup") if "SecurityGroupIngress" in g]
    assert [rule["CidrIp"] for group in groups for rule in group["SecurityGroupIngress"]] == ["10.45.0.0/16"]


def test_two_stages_of_one_tailnet_have_different_addresses() -> None:
    routed = [record.network.cidr for record in STAGES.values() if record.subnet_router]
    assert len(set(routed)) == len(routed) == 3


def test_alarms_reach_somebody(production: Synthesized) -> None:
    alarms = production.properties("AWS::CloudWatch::Alarm")
    names = {str(alarm["AlarmName"]).rpartition("-")[2] for alarm in alarms}
    assert names >= {
        "DatabaseCpu",
        "RouterGone",
        "RouterIdle",
        "TunnelDown",
        "FailedSignIns",
        "RootUse",
        "PolicyChange",
        "KeyEndangered",
        "KeyRefused",
    }
    (topic,) = production.properties("AWS::SNS::Topic")
    assert topic["KmsMasterKeyId"]
    (reader,) = production.properties("AWS::SNS::Subscription")
    assert (reader["Protocol"], reader["Endpoint"]) == ("email", STAGES["production"].watch.email)
    (budget,) = production.properties("AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 1000, "Unit": "USD"}
    (trail,) = production.properties("AWS::CloudTrail::Trail")
    assert trail["IsMultiRegionTrail"] is True
    assert trail["EnableLogFileValidation"] is True


def test_the_flags_are_those_of_the_pinned_command_line() -> None:
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]["aws-cdk"]
    assert pinned.startswith("2."), "3.0.0 on npm is a stray build that cannot read what the library writes"
    lock: dict[str, Any] = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/aws-cdk"]["version"] == pinned


def test_a_second_signing_key_is_allowed_and_told_beside_the_first(
    production: Synthesized, federated: Synthesized
) -> None:
    """The first one keeps its logical id: another would be another key, and every token out there would be refused."""

    def signing(stage: Synthesized) -> list[str]:
        found = stage.resources("AWS::KMS::Key")
        return [where for where, key in found if key["Properties"].get("KeyUsage") == "SIGN_VERIFY"]

    (only,) = signing(production)
    both = signing(federated)
    assert len(both) == 2
    assert only in both
    policies = federated.properties("AWS::IAM::ManagedPolicy")
    statements = [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]
    (sign,) = (s for s in statements if s.get("Sid") == "SignTokens")
    ids = [reference["Fn::GetAtt"][0] for reference in sign["Resource"]]
    assert {f"data/{logical_id}" for logical_id in ids} == set(both)
    told = json.dumps(federated.templates["data"]["Outputs"]["TokenSigningKeyArn"]["Value"])
    assert told.index(ids[0]) < told.index(ids[1]), "the one that signs comes first"


def physical_names(stage: Synthesized) -> list[tuple[str, str]]:
    """Type and name of every resource with a name of its own."""
    found = []
    for template in stage.templates.values():
        for resource in template["Resources"].values():
            value: Any = resource.get("Properties", {})
            for part in NAMED.get(resource["Type"], "-").split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                found.append((resource["Type"], json.dumps(value)))
    return found


def test_no_two_stages_of_an_account_give_anything_the_same_name(stages: Mapping[str, Synthesized]) -> None:
    named = [found for stage in stages.values() for found in physical_names(stage)]
    assert len(named) == len(set(named))
    for name, stage in stages.items():
        for kind, called in physical_names(stage):
            assert NAME in called, (kind, called)
            assert name in called, (kind, called)
    assert {kind for kind, _ in named} == set(NAMED), "a row of the table is about nothing"


def test_a_third_zone_leaves_every_subnet_where_it_is(tmp_path: Path) -> None:
    """CloudFormation refuses a subnet whose addresses lie over another's."""

    def subnets(zones: int) -> dict[str, tuple[str, str]]:
        changed = stage_of("production", availability_zones=zones, account="111122223333")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("infra.aws.app.stage", lambda *_, **__: changed)
            found = synthesize("production", tmp_path / str(zones))
        assert not json.loads((found.folder / "manifest.json").read_text()).get("missing")
        return {
            where: (row["Properties"]["CidrBlock"], json.dumps(row["Properties"]["AvailabilityZone"]))
            for where, row in found.resources("AWS::EC2::Subnet")
        }

    two, three = subnets(2), subnets(3)
    assert (len(two), len(three)) == (6, 9)
    assert {where: three[where] for where in two} == two
    ranges = [ip_network(addresses) for addresses, _ in three.values()]
    assert not [pair for pair in combinations(ranges, 2) if pair[0].overlaps(pair[1])]
    assert all("Fn::GetAZs" in zone for _, zone in three.values()), "a zone is made of letters"


def test_the_picture_of_the_stacks_is_as_the_templates_are(production: Synthesized) -> None:
    assert (ROOT / picture.FILE).read_text() == picture.graph(production.templates), "uv run signalbox docs --stacks"
