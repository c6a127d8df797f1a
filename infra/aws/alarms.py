"""What an operator is woken for: three tables. infra/aws/constructs/alarms.py makes the alarms from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

_GIB = 1024**3
ENDS_WITHIN: Final = 14  # days; `signalbox due` says it a month before


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """An alarm on a metric.

    Attributes:
        name: Construct id, and part of the alarm's name.
        namespace: Of the metric; empty is that of the stage's subnet router, which keeps it itself.
        metric: Its name.
        of: Which resource's: a key of the dimensions that ``Alarms`` is given.
        threshold: In the metric's unit.
        why: What it means, for the operator who is woken.
        statistic: Over a period.
        minutes: Length of a period.
        periods: Periods in a row.
        compare: Which side of the threshold is wrong.
        missing: What no data means: nothing is known, nothing is wrong, or this is.
    """

    name: str
    namespace: str
    metric: str
    of: str
    threshold: float
    why: str
    statistic: str = "Average"
    minutes: int = 5
    periods: int = 3
    compare: Literal["above", "below"] = "above"
    missing: Literal["missing", "fine", "wrong"] = "missing"


@dataclass(frozen=True, slots=True)
class LogAlarm:
    """An alarm on what a log group says.

    Attributes:
        name: Construct id, and part of the alarm's name.
        log: ``trail`` or ``sign-ins``.
        pattern: What CloudWatch Logs is to look for ("Filter pattern syntax" in its user guide).
        why: What it means, for the operator who is woken.
        threshold: Matching lines within five minutes.
    """

    name: str
    log: str
    pattern: str
    why: str
    threshold: int = 1


@dataclass(frozen=True, slots=True)
class EventAlarm:
    """A message about what a service of AWS says by itself, once a day for as long as it is so.

    Attributes:
        name: Construct id, and the rule's description begins with it.
        of: ``roles-anywhere``: a stage without it goes without.
        pattern: What Amazon EventBridge is to look for ("Event patterns" in its user guide).
        why: What it means, for whoever is woken.
    """

    name: str
    of: str
    pattern: Mapping[str, Any]
    why: str


def calls(of: Mapping[str, str]) -> str:
    """A pattern for calls to AWS, as the trail records them.

    Args:
        of: Service -> names of calls, by spaces. An asterisk stands for the rest of a name, at its end alone: in its
            midst CloudWatch Logs takes it for an asterisk.
    """
    services = []
    for source, names in of.items():
        listed = " || ".join(f"($.eventName = {name})" for name in names.split())
        services.append(f"(($.eventSource = {source}.amazonaws.com) && ({listed}))")
    return f"{{ {' || '.join(services)} }}"


METRIC_ALARMS: Final = (
    MetricAlarm("DatabaseCpu", "AWS/RDS", "CPUUtilization", "database", 80, "The database is busy for 15 minutes"),
    MetricAlarm(
        "DatabaseStorage",
        "AWS/RDS",
        "FreeStorageSpace",
        "database",
        5 * _GIB,
        "Less than 5 GiB are free; RDS grows the volume by itself, up to the stage's maximum",
        compare="below",
    ),
    MetricAlarm(
        "DatabaseMemory",
        "AWS/RDS",
        "FreeableMemory",
        "database",
        0.1 * _GIB,
        "Less than 100 MiB are free",
        compare="below",
    ),
    MetricAlarm(
        "DatabaseConnections",
        "AWS/RDS",
        "DatabaseConnections",
        "database",
        150,
        "More connections than six replicas with full pools should have",
        statistic="Maximum",
    ),
    MetricAlarm(
        "RouterGone",
        "AWS/AutoScaling",
        "GroupInServiceInstances",
        "router",
        1,
        "No subnet router runs: the service does not reach the database",
        statistic="Minimum",
        minutes=1,
        compare="below",
    ),
    MetricAlarm(
        "RouterIdle",
        "",
        "Routes",
        "router",
        1,
        "A subnet router runs and does not route, or says nothing: not in the tailnet, or its routes are not approved",
        statistic="Maximum",
        minutes=1,
        periods=5,
        compare="below",
        missing="wrong",
    ),
    MetricAlarm(
        "TunnelDown",
        "",
        "Tunnel",
        "router",
        1,
        "The subnet router does not see the service's end of the tunnel: look at service tailscale on Railway",
        statistic="Maximum",
        minutes=1,
        periods=5,
        compare="below",
        missing="wrong",
    ),
    MetricAlarm(
        "RouterKeyEnds",
        "",
        "KeyDays",
        "router",
        ENDS_WITHIN,
        "The subnet router's key ends within 14 days: docs/DEPLOYMENT.md, Tailscale, Renewal",
        statistic="Minimum",
        periods=1,
        compare="below",
        missing="fine",
    ),
    MetricAlarm(
        "TokenFunctionErrors",
        "AWS/Lambda",
        "Errors",
        "token-function",
        5,
        "People without a tenant try to sign in, or the function is broken",
        statistic="Sum",
        periods=1,
        missing="fine",
    ),
    MetricAlarm(
        "TokenFunctionThrottles",
        "AWS/Lambda",
        "Throttles",
        "token-function",
        1,
        "People cannot sign in: more sign-ins at once than the function may serve",
        statistic="Sum",
        periods=1,
        missing="fine",
    ),
)

LOG_ALARMS: Final = (
    LogAlarm(
        "FailedSignIns",
        "sign-ins",
        '{ $.message.eventType = "SignIn" && $.message.eventResponse = "Fail" }',
        "20 sign-ins failed within five minutes: passwords may be guessed",
        threshold=20,
    ),
    LogAlarm(
        "RootUse",
        "trail",
        '{ $.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != "AwsServiceEvent" }',
        "The account's root user did something, which no operator needs it for",
    ),
    LogAlarm(
        "PolicyChange",
        "trail",
        calls(
            {
                "iam": "Put* Attach* Detach* CreatePolicy* DeletePolicy* DeleteRolePolicy DeleteUserPolicy "
                "DeleteGroupPolicy DeleteRolePermissionsBoundary DeleteUserPermissionsBoundary "
                "SetDefaultPolicyVersion UpdateAssumeRolePolicy"
            }
        ),
        "Who may do what has changed; a deployment does that, too",
    ),
    LogAlarm(
        "CredentialsMade",
        "trail",
        calls(
            {
                "iam": "CreateUser CreateAccessKey UpdateAccessKey CreateLoginProfile UpdateLoginProfile "
                "CreateServiceSpecificCredential Upload* AddUserToGroup DeactivateMFADevice CreateSAMLProvider "
                "UpdateSAMLProvider CreateOpenIDConnectProvider UpdateOpenIDConnectProvider* AddClientIDTo*"
            }
        ),
        "A principal can come into the account who could not before, or with less proof",
    ),
    LogAlarm(
        "KeyEndangered",
        "trail",
        calls(
            {
                "kms": "DisableKey DisableKeyRotation ScheduleKeyDeletion PutKeyPolicy DeleteImportedKeyMaterial "
                "DeleteAlias UpdateAlias"
            }
        ),
        "A key was disabled, given another policy or name, or is to be deleted: stop it within the waiting time",
    ),
    LogAlarm(
        "KeyRefused",
        "trail",
        '{ ($.eventSource = kms.amazonaws.com) && ($.errorCode = "AccessDenied*") }',
        "A principal without the right to tried to use a key",
        threshold=5,
    ),
    LogAlarm(
        "RolesAnywhereChange",
        "trail",
        # Not Create*: the service creates a session every hour.
        calls(
            {
                "rolesanywhere": "CreateTrustAnchor CreateProfile Update* Enable* Disable* Delete* Import* "
                "PutAttributeMapping ResetNotificationSettings"
            }
        ),
        "Who may vouch for the service has changed",
    ),
    LogAlarm(
        "TrailChange",
        "trail",
        calls({"cloudtrail": "StopLogging DeleteTrail UpdateTrail PutEventSelectors PutInsightSelectors"}),
        "The audit trail was changed or stopped",
    ),
    LogAlarm(
        "WatchChange",
        "trail",
        calls(
            {
                "logs": "Delete* PutMetricFilter PutRetentionPolicy DisassociateKmsKey",
                "monitoring": "DeleteAlarms DisableAlarmActions PutMetricAlarm PutCompositeAlarm SetAlarmState",
                "sns": "DeleteTopic Unsubscribe Set* AddPermission RemovePermission",
                "events": "Delete* Disable* Remove* Put*",
            }
        ),
        "What records, or what wakes us, was changed; a deployment does that, too",
    ),
    LogAlarm(
        "BucketChange",
        "trail",
        calls(
            {
                "s3": "PutBucket* DeleteBucket* PutAccountPublicAccessBlock DeleteAccountPublicAccessBlock",
            }
        ),
        "A bucket's policy, encryption, versions or records have changed; a deployment does that, too",
    ),
    LogAlarm(
        "NetworkChange",
        "trail",
        calls(
            {
                "ec2": "AuthorizeSecurityGroup* RevokeSecurityGroup* ModifySecurityGroupRules CreateRoute "
                "ReplaceRoute* DeleteRoute AssociateRouteTable DisassociateRouteTable AttachInternetGateway "
                "CreateVpcPeering* AcceptVpcPeering* ModifySubnetAttribute ModifyVpc* ModifyInstanceAttribute "
                "ModifyNetworkInterfaceAttribute DeleteFlowLogs"
            }
        ),
        "The way to the database, or its record, has changed; a deployment does that, too",
    ),
    LogAlarm(
        "PoolUserChange",
        "trail",
        calls(
            {
                "cognito-idp": "AdminCreateUser AdminUpdateUserAttributes AdminDeleteUserAttributes "
                "AdminSetUserPassword AdminSetUserMFAPreference AdminSetUserSettings AdminEnableUser "
                "AdminLinkProviderForUser AdminDisableProviderForUser AdminAddUserToGroup CreateUserImportJob"
            }
        ),
        "An administrator has changed which tenant a user belongs to, or how users prove who they are",
    ),
    LogAlarm(
        "PoolChange",
        "trail",
        calls(
            {
                "cognito-idp": "UpdateUserPool* DeleteUserPool* CreateUserPool* SetUserPoolMfaConfig "
                "SetRiskConfiguration SetLogDeliveryConfiguration AddCustomAttributes AddUserPoolClientSecret "
                "CreateIdentityProvider UpdateIdentityProvider DeleteIdentityProvider CreateResourceServer "
                "UpdateResourceServer DeleteResourceServer"
            }
        ),
        "How people sign in, or who vouches for them, has changed; a deployment does that, too",
    ),
    LogAlarm(
        "TokenFunctionChange",
        "trail",
        # CloudTrail ends the names of Lambda's calls in the version of their interface.
        calls(
            {
                "lambda": "UpdateFunction* DeleteFunction* AddPermission* RemovePermission* PutFunctionConcurrency* "
                "CreateFunctionUrlConfig*"
            }
        ),
        "The function that gives tenants, or its table of them, has changed; a deployment does that, too",
    ),
    LogAlarm(
        "BackupEndangered",
        "trail",
        calls(
            {
                "backup": "Delete* UpdateBackupPlan UpdateRecoveryPointLifecycle PutBackupVaultAccessPolicy "
                "Disassociate* StopBackupJob StartCopyJob",
                "rds": "DeleteDBInstance* DeleteDBSnapshot ModifyDBInstance ModifyDBSnapshotAttribute "
                "CopyDBSnapshot StartExportTask",
            }
        ),
        "A copy of the data was deleted, shared or moved, or there will be fewer of them",
    ),
    LogAlarm(
        "SecretChange",
        "trail",
        calls(
            {
                "secretsmanager": "DeleteSecret UpdateSecret PutResourcePolicy DeleteResourcePolicy "
                "CancelRotateSecret ReplicateSecretToRegions"
            }
        ),
        "A secret was deleted, or more people may read it",
    ),
)

EVENT_ALARMS: Final = (
    EventAlarm(
        "CertificateEnds",
        "roles-anywhere",
        # Of every authority and certificate of the account: what the event calls an issuer is not documented to the
        # letter, and one alarm too many is better than none.
        {
            "source": ["aws.rolesanywhere"],
            "detail-type": ["Roles Anywhere Certificate Expiration State Change"],
            "detail": {"days-to-expiry": [{"numeric": ["<=", ENDS_WITHIN]}]},
        },
        "An authority or a certificate of the service ends within 14 days: signalbox certs",
    ),
)
