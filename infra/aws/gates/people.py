"""What finished templates promise of users, of the network, of the service's identity, and of who is told."""

from __future__ import annotations

import json
import re
from typing import Final

from infra.aws.alarms import LOG_ALARMS, METRIC_ALARMS
from infra.aws.gates.data import SIX_YEARS, promises, retained
from infra.stage.record import Stage

_POOL, _CLIENT = "AWS::Cognito::UserPool", "AWS::Cognito::UserPoolClient"
_TRAIL, _ALARM, _FILTER = "AWS::CloudTrail::Trail", "AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter"
_GROUP, _ROUTER = "AWS::EC2::SecurityGroup", "AWS::EC2::LaunchTemplate"
_ANY: Final = "0.0.0.0/0"


def plus(stage: Stage) -> bool:
    """Stages with threat protection."""
    return stage.cognito_plan == "PLUS"


def _tenants(stage: Stage) -> str:
    return json.dumps({provider.name: provider.tenant for provider in stage.federation}, sort_keys=True)


USERS: Final = (
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "a password alone would do",  # rules of the packs ask for less: a warning
        ("MfaConfiguration", "is", "ON"),
        ("EnabledMfas", "only lists", ("SOFTWARE_TOKEN_MFA", "EMAIL_OTP")),
        when=lambda stage: stage.mfa_required,
    ),
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "threat protection does not act",
        ("UserPoolTier", "is", "PLUS"),
        ("UserPoolAddOns.AdvancedSecurityMode", "is", "ENFORCED"),
        when=plus,
    ),
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "the plan cannot put a tenant into access tokens",
        ("UserPoolTier", "one of", ("ESSENTIALS", "PLUS")),
    ),
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "anybody could sign up, or take over an account by an address that is not verified",
        ("AdminCreateUserConfig.AllowAdminCreateUserOnly", "is", True),
        ("UserAttributeUpdateSettings.AttributesRequireVerificationBeforeUpdate", "lists", ("email",)),
        ("AutoVerifiedAttributes", "lists", ("email",)),
        ("AccountRecoverySetting.RecoveryMechanisms.*.Name", "one of", ("verified_email", "admin_only")),
        ("UsernameConfiguration.CaseSensitive", "is", False),
    ),
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "passwords could be short, simple, old, or lie in an inbox for long",
        ("Policies.PasswordPolicy.MinimumLength", "at least", 14),
        ("Policies.PasswordPolicy.PasswordHistorySize", "at least", 24),
        ("Policies.PasswordPolicy.TemporaryPasswordValidityDays", "at most", 1),
        ("Policies.PasswordPolicy.RequireLowercase", "is", True),
        ("Policies.PasswordPolicy.RequireUppercase", "is", True),
        ("Policies.PasswordPolicy.RequireNumbers", "is", True),
        ("Policies.PasswordPolicy.RequireSymbols", "is", True),
    ),
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "a user's tenant could be changed, or empty",
        ("Schema.*.Mutable", "is", False),
        ("Schema.*.Name", "is", "tenant_id"),
        ("Schema.*.AttributeDataType", "is", "String"),
        ("Schema.*.StringAttributeConstraints.MinLength", "at least", 1),
        ("Schema.*.StringAttributeConstraints.MaxLength", "at most", 64),
    ),
    *promises(
        "Signalbox-UserPool",
        _POOL,
        "tokens would come without the tenant, or from another issuer",
        ("LambdaConfig.PreTokenGenerationConfig.LambdaArn", "is ours"),
        ("LambdaConfig.PreTokenGenerationConfig.LambdaVersion", "one of", ("V2_0", "V3_0")),
        ("IssuerConfiguration.Type", "is", "ORIGINAL"),
    ),
    *promises("Signalbox-UserPool", _POOL, "a name is no address", ("UsernameAttributes", "only lists", ("email",))),
    *promises(
        "Signalbox-UserPool",
        "AWS::Cognito::UserPoolDomain",
        "the login page is another one",
        ("UserPoolId", "is ours"),
        ("ManagedLoginVersion", "is", 2),
    ),
    *promises(
        "Signalbox-UserPool", "AWS::Cognito::UserPoolResourceServer", "scopes of another", ("UserPoolId", "is ours")
    ),
    *promises(
        "Signalbox-UserPool", _POOL, "the users can be deleted", ("DeletionProtection", "is", "ACTIVE"), when=retained
    ),
    *promises(
        "Signalbox-TenantNotWritable",
        _CLIENT,
        "a user could write the own tenant",
        ("WriteAttributes", "only lists", ("given_name", "family_name", "email")),
    ),
    *promises(
        "Signalbox-TenantRead",
        _CLIENT,
        "tokens would come without the tenant, or with more about a person than the service takes",
        ("ReadAttributes", "lists", ("custom:tenant_id",)),
        ("ReadAttributes", "only lists", ("custom:tenant_id", "email", "email_verified", "family_name", "given_name")),
    ),
    *promises(
        "Signalbox-TenantNotWritable",
        _CLIENT,
        "a flow but the code flow, or a way past the login page, is allowed",
        ("AllowedOAuthFlows", "only lists", ("code",)),
        ("AllowedOAuthFlowsUserPoolClient", "is", True),
        ("ExplicitAuthFlows", "only lists", ("ALLOW_USER_SRP_AUTH",)),
        ("AllowedOAuthScopes.*", "one of, or ours", ("openid", "email", "profile")),
        ("GenerateSecret", "is", False),
        ("UserPoolId", "is ours"),
        ("CallbackURLs.*", "matches", lambda stage: f"^{re.escape(stage.public_url)}/"),
        (
            "LogoutURLs.*",
            "matches",
            lambda stage: f"^({'|'.join(map(re.escape, (stage.public_url, *stage.allowed_origins)))})/",
        ),
        (
            "SupportedIdentityProviders",
            "only lists",
            lambda stage: ("COGNITO", *(provider.name for provider in stage.federation)),
        ),
    ),
    *promises(
        "Signalbox-TokenLife",
        _CLIENT,
        "tokens would live for longer than the service takes, or than a day's work",
        ("AccessTokenValidity", "at most", 60),
        ("IdTokenValidity", "at most", 60),
        ("RefreshTokenValidity", "at most", 720),
        ("TokenValidityUnits.AccessToken", "is", "minutes"),
        ("TokenValidityUnits.IdToken", "is", "minutes"),
        ("TokenValidityUnits.RefreshToken", "is", "minutes"),
        ("AuthSessionValidity", "at most", 15),
    ),
    *promises(
        "Signalbox-TokenLife",
        _CLIENT,
        "a token that was taken could be used for longer, or names of users be guessed",
        ("EnableTokenRevocation", "is", True),
        ("RefreshTokenRotation.Feature", "is", "ENABLED"),
        ("RefreshTokenRotation.RetryGracePeriodSeconds", "at most", 60),
        ("PreventUserExistenceErrors", "is", "ENABLED"),
    ),
    *promises(
        "Signalbox-SignIns",
        "AWS::Cognito::LogDeliveryConfiguration",
        "sign-ins are not recorded where they are kept",
        ("LogConfigurations.*.EventSource", "is", "userAuthEvents"),
        ("LogConfigurations.*.LogLevel", "is", "INFO"),
        ("LogConfigurations.*.CloudWatchLogsConfiguration.LogGroupArn", "is ours"),
        ("UserPoolId", "is ours"),
    ),
    *promises(
        "Signalbox-Function",
        "AWS::Lambda::Function",
        "the function that gives tenants is another one, logs elsewhere, or takes tenants from elsewhere",
        ("Environment.Variables.TENANTS_BY_PROVIDER", "is", _tenants),
        ("LoggingConfig.LogGroup", "is ours"),
        ("Role", "is ours"),
        ("Handler", "is", "handler.handler"),
        ("Code.S3Bucket", "is ours"),
        ("Code.S3Key", "matches", r"^[0-9a-f]{64}\.zip$"),
        ("Timeout", "at most", 5),  # Cognito waits no longer
        ("Runtime", "matches", r"^python3\.1[3-9]$"),
        ("ReservedConcurrentExecutions", "at least", 5),
        only=("id", "^PreToken"),
    ),
    *promises(
        "Signalbox-Function",
        "AWS::Lambda::Permission",
        "another than our user pool may call the function",
        ("Principal", "is", "cognito-idp.amazonaws.com"),
        ("Action", "is", "lambda:InvokeFunction"),
        ("SourceArn", "is ours"),
        ("FunctionName", "is ours"),
    ),
)

NETWORK: Final = (
    *promises(
        "Signalbox-Network",
        "AWS::Lambda::Function",
        "the function that closes the default security group is another one",
        ("Code.S3Bucket", "is ours"),
        ("Code.S3Key", "matches", r"^[0-9a-f]{64}\.zip$"),
        ("Role", "is ours"),
        only=("id", "^CustomVpcRestrictDefaultSG"),
    ),
    *promises(
        "Signalbox-FlowLog",
        "AWS::EC2::FlowLog",
        "traffic is not recorded, or not all of it, or not where it is kept",
        ("TrafficType", "is", "ALL"),
        ("ResourceType", "is", "VPC"),
        ("ResourceId", "is ours"),
        ("LogDestinationType", "is", "cloud-watch-logs"),
        ("LogDestination", "is ours, if set"),
        ("LogGroupName", "is ours"),
        ("DeliverLogsPermissionArn", "is ours"),
    ),
    *promises(
        "Signalbox-Network",
        "AWS::EC2::Subnet",
        "a machine would get a public address by itself",
        ("MapPublicIpOnLaunch", "is", False),
        ("VpcId", "is ours"),
    ),
    *promises(
        "Signalbox-Network",
        "AWS::EC2::Route",
        "a subnet that only NAT may leave has another way out",
        ("NatGatewayId", "is ours"),
        ("GatewayId", "is not set"),
        ("VpcPeeringConnectionId", "is not set"),
        ("TransitGatewayId", "is not set"),
        never=("RouteTableId", "NatSubnet"),
    ),
    *promises(
        "Signalbox-Network",
        "AWS::EC2::Route",
        "a database subnet has a way out",
        ("RouteTableId.Ref", "matches", "^NetworkVpc(Router|Nat)Subnet"),
    ),
    *promises(
        "Signalbox-Network",
        "AWS::EC2::SubnetRouteTableAssociation",
        "a database subnet has the way out of another",
        ("RouteTableId.Ref", "matches", "^NetworkVpcDatabaseSubnet"),
        only=("SubnetId", "DatabaseSubnet"),
    ),
    *promises(
        "Signalbox-Network",
        "Custom::VpcRestrictDefaultSG",
        "the default security group stays open",
        ("DefaultSecurityGroupId", "is ours"),
        ("ServiceToken", "is ours"),
    ),
    *promises(
        "Signalbox-DatabaseIngress",
        "AWS::EC2::SecurityGroupIngress",
        "more than the router, or more than PostgreSQL, gets through",
        ("SourceSecurityGroupId", "is ours"),
        ("GroupId", "is ours"),
        ("CidrIp", "is not set"),
        ("CidrIpv6", "is not set"),
        ("SourcePrefixListId", "is not set"),
        ("IpProtocol", "is", "tcp"),
        ("FromPort", "is", lambda stage: stage.database.port),
        ("ToPort", "is", lambda stage: stage.database.port),
    ),
    *promises(
        "Signalbox-RouterEgress",
        "AWS::EC2::SecurityGroupEgress",
        "the router gets further than to PostgreSQL",
        ("DestinationSecurityGroupId", "is ours"),
        ("CidrIp", "is not set"),
        ("CidrIpv6", "is not set"),
        ("IpProtocol", "is", "tcp"),
        ("FromPort", "is", lambda stage: stage.database.port),
        ("ToPort", "is", lambda stage: stage.database.port),
    ),
    *promises(
        "Signalbox-RouterEgress",
        _GROUP,
        "the router is called, or calls out further than Tailscale needs",
        ("SecurityGroupIngress", "is not set"),
        ("SecurityGroupEgress.*.IpProtocol", "one of", ("tcp", "udp")),
        ("SecurityGroupEgress.*.FromPort", "one of", (443, 1024, 3478)),
        ("SecurityGroupEgress.*.ToPort", "one of", (443, 3478, 65535)),
        only=("id", "^RouterSecurityGroup"),
    ),
    *promises(
        "Signalbox-DatabaseIngress",
        _GROUP,
        "the database's group lets in, or out, by itself",
        ("SecurityGroupIngress", "is not set"),
        ("SecurityGroupEgress.*.CidrIp", "is", "255.255.255.255/32"),
        only=("id", "^NetworkDatabaseGroup"),
    ),
    *promises(
        "Signalbox-Router",
        _ROUTER,
        "another could become the router, read what it holds, or reach it",
        ("LaunchTemplateData.MetadataOptions.HttpTokens", "is", "required"),
        ("LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit", "at most", 1),
        ("LaunchTemplateData.BlockDeviceMappings.*.Ebs.Encrypted", "is", True),
        ("LaunchTemplateData.NetworkInterfaces.*.AssociatePublicIpAddress", "is", False),
        ("LaunchTemplateData.NetworkInterfaces.*.Groups.*", "is ours"),
        ("LaunchTemplateData.Monitoring.Enabled", "is", True),
        ("LaunchTemplateData.IamInstanceProfile.Arn", "is ours"),
        ("LaunchTemplateData.ImageId", "is ours"),
        ("LaunchTemplateData.KeyName", "is not set"),
        (
            "LaunchTemplateData.UserData",
            "mentions",
            (
                *(
                    "https://pkgs.tailscale.com/",
                    "umask 077",
                    "--accept-dns=false",
                    "secretsmanager get-secret-value",
                    "--ssh=false",
                ),
                *("--auth-key=file:/run/tailscale-key", "--accept-routes=false", "rm -f /run/tailscale-key"),
            ),
        ),
        ("LaunchTemplateData.UserData.Fn::Base64", "is ours"),
    ),
    *promises(
        "Signalbox-Router",
        "AWS::AutoScaling::AutoScalingGroup",
        "the router is not replaced, is not told about, or stands elsewhere",
        ("MaxInstanceLifetime", "at most", 30 * 86400),
        ("MinSize", "is", "1"),
        ("VPCZoneIdentifier.*", "is ours"),
        ("LaunchTemplate.LaunchTemplateId", "is ours"),
        ("LaunchTemplate.Version", "is ours"),
        ("MetricsCollection.*.Granularity", "is", "1Minute"),
    ),
    *promises("Signalbox-Router", "AWS::IAM::InstanceProfile", "another role", ("Roles.*", "is ours")),
)

IDENTITY: Final = (
    *promises(
        "Signalbox-Certificate",
        "AWS::RolesAnywhere::TrustAnchor",
        "another than our authority could vouch for the service",
        ("Source.SourceType", "is", "CERTIFICATE_BUNDLE"),
        ("Source.SourceData.X509CertificateData", "is set"),
        ("Enabled", "is", True),
    ),
    *promises(
        "Signalbox-Certificate",
        "AWS::RolesAnywhere::Profile",
        "what a certificate opens is open for longer than an hour, or is another role",
        ("DurationSeconds", "at most", 3600),
        ("RoleArns.*", "is ours"),
        ("AcceptRoleSessionName", "one of", (None, False)),
        ("Enabled", "is", True),
    ),
    *promises("Signalbox-Rights", "AWS::IAM::ManagedPolicy", "a policy says nothing", ("PolicyDocument", "is set")),
    *promises(
        "Signalbox-Rights",
        "AWS::IAM::Role",
        "the function that closes the default security group may do more, or on more",
        (
            "Policies.*.PolicyDocument.Statement.*.Action",
            "only lists",
            [f"ec2:{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in ("Ingress", "Egress")],
        ),
        ("Policies.*.PolicyDocument.Statement.*.Resource", "is ours"),
        only=("id", "^CustomVpcRestrictDefaultSG"),
    ),
    *promises(
        "Signalbox-Rights",
        "AWS::IAM::ManagedPolicy",
        "a policy says nothing, or is nobody's: records would not be written",
        ("Roles.*", "is ours"),
        never=("id", "^ServiceServicePolicy"),  # attached in the stack that knows who the service is
    ),
    *promises(
        "Signalbox-Certificate",
        "AWS::IAM::Role",
        "a session would last for longer than an hour",
        ("MaxSessionDuration", "at most, if set", 3600),
    ),
)

WATCH: Final = (
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "the log group is not encrypted with a key of ours",
        ("KmsKeyId", "is ours"),
    ),
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "the log group is not kept for six years, or cannot be watched",
        ("RetentionInDays", "at least", SIX_YEARS),
        ("LogGroupClass", "one of", (None, "STANDARD")),
    ),
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "RDS would make a group of its own, unencrypted and kept for ever",
        ("LogGroupName", "matches", lambda stage: f"^/aws/rds/instance/{stage.names.whole}/(postgresql|upgrade)$"),
        only=("id", "^Database"),
    ),
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "Cognito may write to names of its prefix alone",
        ("LogGroupName", "is", lambda stage: stage.names.sign_ins),
        only=("id", "^UsersSignIns"),
    ),
    *promises(
        "Signalbox-Trail",
        _TRAIL,
        "the audit trail is off, or has gaps",
        ("IsLogging", "is", True),
        ("IsMultiRegionTrail", "is", True),
        ("IncludeGlobalServiceEvents", "is", True),
        ("EnableLogFileValidation", "is", True),
        ("EventSelectors.*.IncludeManagementEvents", "is", True),
        ("EventSelectors.*.ReadWriteType", "is", "All"),
        ("EventSelectors.*.ExcludeManagementEventSources", "is not set"),
        ("EventSelectors.*.DataResources.*.Type", "is", "AWS::S3::Object"),
        ("EventSelectors.*.DataResources.*.Values.*", "is ours"),
    ),
    *promises(
        "Signalbox-Trail",
        _TRAIL,
        "the audit trail goes elsewhere, or is not encrypted with a key of ours",
        ("KMSKeyId", "is ours"),
        ("S3BucketName", "is ours"),
        ("CloudWatchLogsLogGroupArn", "is ours"),
        ("CloudWatchLogsRoleArn", "is ours"),
    ),
    *promises(
        "Signalbox-Alarm",
        _ALARM,
        "the alarm reaches nobody",
        ("AlarmActions.*", "is ours"),
        ("OKActions.*", "is ours"),
        ("InsufficientDataActions.*", "is ours"),
        ("ActionsEnabled", "one of", (None, True)),
    ),
    *(
        promise
        for row in METRIC_ALARMS
        for promise in promises(
            "Signalbox-Alarm",
            _ALARM,
            "the alarm is not that of infra/aws/alarms.py",
            ("Namespace", "is", row.namespace),
            ("MetricName", "is", row.metric),
            ("Threshold", "is", row.threshold),
            ("Statistic", "is", row.statistic),
            ("Period", "is", row.minutes * 60),
            ("EvaluationPeriods", "is", row.periods),
            ("TreatMissingData", "is", {"missing": "missing", "fine": "notBreaching"}[row.missing]),
            ("ComparisonOperator", "matches", "^Greater" if row.compare == "above" else "^Less"),
            ("Dimensions.*.Value", "is ours"),
            ("Dimensions.*.Name", "matches", "^(DBInstanceIdentifier|FunctionName|AutoScalingGroupName)$"),
            only=("id", f"^Alarms{row.name}[0-9A-F]{{8}}$"),
        )
    ),
    *(
        promise
        for entry in LOG_ALARMS
        for promise in (
            *promises(
                "Signalbox-Alarm",
                _ALARM,
                "the alarm is not that of infra/aws/alarms.py",
                ("MetricName", "is", entry.name),
                ("Namespace", "is", lambda stage: stage.names.path),
                ("Threshold", "is", entry.threshold),
                ("Statistic", "is", "Sum"),
                ("Period", "is", 300),
                ("EvaluationPeriods", "is", 1),
                ("TreatMissingData", "is", "notBreaching"),
                ("ComparisonOperator", "matches", "^Greater"),
                only=("id", f"^Alarms{entry.name}[0-9A-F]{{8}}$"),
            ),
            *promises(
                "Signalbox-Alarm",
                _FILTER,
                "what the alarm looks for is not that of infra/aws/alarms.py",
                ("FilterPattern", "is", entry.pattern),
                ("LogGroupName", "is ours"),
                ("MetricTransformations.*.MetricName", "is", entry.name),
                ("MetricTransformations.*.MetricNamespace", "is", lambda stage: stage.names.path),
                ("MetricTransformations.*.MetricValue", "is", "1"),
                ("MetricTransformations.*.DefaultValue", "is", 0),
                only=("id", f"^Alarms{entry.name}Filter"),
            ),
        )
    ),
    *promises(
        "Signalbox-Topic",
        "AWS::SNS::Topic",
        "messages are not encrypted with a key of ours",
        ("KmsMasterKeyId", "is ours"),
    ),
    *promises(
        "Signalbox-Topic",
        "AWS::SNS::Subscription",
        "alarms go to another than the stage names",
        ("Protocol", "is", "email"),
        ("Endpoint", "is", lambda stage: stage.watch.email),
        ("TopicArn", "is ours"),
    ),
)
