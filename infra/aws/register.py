"""The register: every finding of a rule pack that we live with, where, why, who answers for it, and until when.

There is no other way to silence a rule. tests/infra/test_checks.py fails for a row that silences nothing, has no
reason, stands above more than it needs, or is past its review.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from infra.product import STAGES
from infra.stage.record import Stage


def _where(holds: Callable[[Stage], bool]) -> tuple[str, ...]:
    """Names of the stages that are so: what a stage is called is the adopter's to choose."""
    return tuple(stage.name for stage in STAGES.values() if holds(stage))


_ALL: Final = tuple(STAGES)
_ROUTED: Final = _where(lambda stage: stage.subnet_router)
_DISPOSABLE: Final = _where(lambda stage: not stage.retain)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A row of the register.

    Attributes:
        rule: The pack's long id; the short one would vanish from the report.
        paths: The constructs it concerns, each the smallest that covers the finding.
        reason: Why the finding does no harm here, or what is in place instead.
        owner: Role that answers for it.
        review: Day by which an operator has looked at it again.
        stages: Where it holds.
    """

    rule: str
    paths: tuple[str, ...]
    reason: str
    owner: str
    review: date
    stages: tuple[str, ...] = _ALL


_SECURITY, _PLATFORM = "security officer", "platform team"
_NEXT: Final = date(2027, 11, 1)

_MANAGED_ROLES: Final = (
    ("SignalboxData/Database/Instance/MonitoringRole", "service-role/AmazonRDSEnhancedMonitoringRole", _ALL),
    ("SignalboxData/Database/Plan/Instance/Role", "service-role/AWSBackupServiceRolePolicyForBackup", _ALL),
)
_SECRETS: Final = (
    (
        "SignalboxData/Secrets/DatabaseApp",
        _ALL,
        "The service's database login is changed by a person or a job with two commands and no outage "
        "(docs/INFRASTRUCTURE.md, Rotation; shown by test_rotation.py). A rotation function would need a path from the "
        "isolated subnets to Secrets Manager. Stages with database.iam_auth have no password to rotate.",
    ),
    (
        "SignalboxData/Secrets/SessionKey",
        _ALL,
        "It encrypts what lives for minutes: the cookies of sign-ins, and login codes. Changed by hand when a person "
        "who could read it leaves; no sign-in breaks (test_a_rotated_session_key_breaks_no_open_login). A rotation "
        "function would be one more thing that can read it.",
    ),
    (
        "SignalboxData/Secrets/RouterKey",
        _ROUTED,
        "Only Tailscale can make this key, and it expires there after 90 days at most; no function of ours could "
        "rotate it.",
    ),
)

REGISTER: Final = (
    Acknowledged(
        "HIPAA.Security::HIPAA.Security-VPCNoUnrestrictedRouteToIGW",
        tuple(f"SignalboxNetwork/Network/Vpc/NatSubnet{number}/DefaultRoute" for number in (1, 2, 3)),
        "These subnets hold NAT gateways and nothing else; no address in them is given out at launch, and the database "
        "subnets have no route to them.",
        _PLATFORM,
        _NEXT,
        _ROUTED,
    ),
    Acknowledged(
        "HIPAA.Security::HIPAA.Security-S3BucketReplicationEnabled",
        ("SignalboxData/AccessLogs/Resource", "SignalboxData/Documents/Bucket/Resource"),
        "One region is the scope of the template's contingency plan: S3 keeps each object in three zones, and versions "
        "for six years. A second region is the customer's decision, because it doubles where health data are.",
        _SECURITY,
        _NEXT,
    ),
    Acknowledged(
        "HIPAA.Security::HIPAA.Security-S3BucketReplicationEnabled",
        ("SignalboxWatch/Trail/Bucket/Resource",),
        "The trail is in a log group, too, and its digest files show a gap; S3 keeps each object in three zones.",
        _SECURITY,
        _NEXT,
        _where(lambda stage: stage.watch.trail),
    ),
    Acknowledged(
        "HIPAA.Security::HIPAA.Security-S3DefaultEncryptionKMS",
        ("SignalboxData/AccessLogs/Resource",),
        "S3's log delivery writes here. It is encrypted with S3's own key; it holds requests, no document.",
        _SECURITY,
        _NEXT,
    ),
    *(
        Acknowledged(rule, (f"{path}/Resource",), reason, _SECURITY, _NEXT, stages)
        for path, stages, reason in _SECRETS
        for rule in (
            "HIPAA.Security::HIPAA.Security-SecretsManagerRotationEnabled",
            "AwsSolutions::AwsSolutions-SMG4",
        )
    ),
    Acknowledged(
        "HIPAA.Security::HIPAA.Security-LambdaDLQ",
        ("SignalboxIdentity/PreToken/Function/Resource",),
        "Cognito waits for the answer and tells the person; there is no event that a queue could keep for later.",
        _PLATFORM,
        _NEXT,
    ),
    Acknowledged(
        "HIPAA.Security::HIPAA.Security-LambdaInsideVPC",
        ("SignalboxIdentity/PreToken/Function/Resource",),
        "It reads nothing but its event and may do nothing but log: a network could only give it a way to something.",
        _PLATFORM,
        _NEXT,
    ),
    *(
        Acknowledged(
            f"AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]",
            (f"{path}/Resource",),
            "AWS's own policy for its own service or agent; it follows what that needs, as a copy of ours would not.",
            _PLATFORM,
            _NEXT,
            stages,
        )
        for path, policy, stages in _MANAGED_ROLES
    ),
    Acknowledged(
        "AwsSolutions::AwsSolutions-IAM5[Resource::<DocumentsBucket089EA665.Arn>/tenants/<aws:PrincipalTag/tenant_id>/*]",
        ("SignalboxData/Tenant/Policy/Resource",),
        "All objects of one tenant, whose name the session carries: the role cannot be taken on without one, and the "
        "service takes the name from the token.",
        _SECURITY,
        _NEXT,
    ),
    Acknowledged(
        "AwsSolutions::AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:kms:<AWS::Region>:<AWS::AccountId>:key/*]",
        ("SignalboxData/Tenant/Policy/Resource",),
        "Any key whose alias carries this stage and the tenant of the session, and no other: keys of tenants are made "
        "when a tenant comes, so that no stack knows their ids. Only administrators of the account give aliases.",
        _SECURITY,
        _NEXT,
    ),
    Acknowledged(
        "AwsSolutions::AwsSolutions-IAM5[Resource::*]",
        ("SignalboxAccess/Router/Policy/Resource",),
        "Session Manager's and Patch Manager's actions, and those on metrics and machines, know no resource; metrics "
        "are bound to the router's namespace, what it says of a machine to the group with its name.",
        _PLATFORM,
        _NEXT,
        _ROUTED,
    ),
    Acknowledged(
        "AwsSolutions::AwsSolutions-AS3",
        ("SignalboxAccess/Router/Group/ASG",),
        "The machine replaces itself every 30 days; a message for each would be noise. That it is gone shows at once "
        "in the service's readiness.",
        _PLATFORM,
        _NEXT,
        _ROUTED,
    ),
    *(
        Acknowledged(rule, ("SignalboxData/Database/Instance/Resource",), reason, _PLATFORM, _NEXT, _DISPOSABLE)
        for rule, reason in (
            ("HIPAA.Security::HIPAA.Security-RDSMultiAZSupport", "No health data in this stage; it may be down."),
            (
                "HIPAA.Security::HIPAA.Security-RDSInstanceDeletionProtectionEnabled",
                "No health data in this stage; it is made to be thrown away.",
            ),
            ("AwsSolutions::AwsSolutions-RDS3", "No health data in this stage; it may be down."),
            ("AwsSolutions::AwsSolutions-RDS10", "No health data in this stage; it is made to be thrown away."),
        )
    ),
    *(
        Acknowledged(
            rule,
            ("SignalboxData/Database/Instance/Resource",),
            "Staging is rebuilt from production's backups in an outage, at half the price; no health data in it.",
            _PLATFORM,
            _NEXT,
            _where(lambda stage: stage.retain and not stage.database.multi_az),
        )
        for rule in ("HIPAA.Security::HIPAA.Security-RDSMultiAZSupport", "AwsSolutions::AwsSolutions-RDS3")
    ),
    Acknowledged(
        "AwsSolutions::AwsSolutions-COG8",
        ("SignalboxIdentity/Users/Pool/Resource",),
        "Threat protection is priced per user, and this stage has test users only; staging and production have it.",
        _PLATFORM,
        _NEXT,
        _DISPOSABLE,
    ),
    Acknowledged(
        "AwsSolutions::AwsSolutions-COG2",
        ("SignalboxIdentity/Users/Pool/Resource",),
        "The emulator's login page cannot ask for a code. Every stage on AWS requires one; the configuration refuses "
        "anything else.",
        _PLATFORM,
        _NEXT,
        _where(lambda stage: not stage.mfa_required),
    ),
)
