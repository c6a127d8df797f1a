"""What finished templates promise of users, and of the service's own identity."""

from __future__ import annotations

import json
import re
from typing import Final

from infra.aws.gates.data import promises, retained
from infra.stage.record import Stage

_POOL, _CLIENT = "AWS::Cognito::UserPool", "AWS::Cognito::UserPoolClient"


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
