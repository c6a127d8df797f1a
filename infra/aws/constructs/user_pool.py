"""Cognito: people that an administrator admitted, to a tenant that neither they nor their client can change."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.aws.constructs.federation import add_providers
from infra.aws.constructs.log_group import AuditLogGroup
from infra.aws.constructs.removal import removal
from infra.stage.record import Stage
from service.product import NAME

CALLBACK_PATH = "/api/v1/auth/cognito/callback"


class UserPool(Construct):
    """The pool, its hosted login and the API's client.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage: Addresses, plan, lifetimes.
        pre_token: Function that puts the tenant into tokens.
        logs_key: Encrypts the log of sign-ins.

    Attributes:
        pool: The pool.
        client: The client.
        domain: The hosted login.
        sign_ins: Log group with every sign-in and what Cognito thought of it; None below the plan that tells.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        pre_token: lambda_.IFunction,
        logs_key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        self.pool = self._build_pool(stage)
        self.pool.add_trigger(
            cognito.UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG, pre_token, cognito.LambdaVersion.V2_0
        )
        self.domain = self.pool.add_domain(
            "Domain",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=stage.domain_prefix),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        access = cognito.ResourceServerScope(scope_name="access", scope_description="Call the API")
        server = self.pool.add_resource_server("Api", identifier="api", scopes=[access])
        federated = add_providers(self, self.pool, stage.federation, secrets_prefix=stage.secrets_prefix)
        self.client = self._build_client(stage, cognito.OAuthScope.resource_server(server, access))
        self.client.node.add_dependency(*federated)
        # Managed login shows no page to a client that has no style.
        cognito.CfnManagedLoginBranding(
            self,
            "Branding",
            user_pool_id=self.pool.user_pool_id,
            client_id=self.client.user_pool_client_id,
            use_cognito_provided_values=True,
        )
        self.sign_ins = self._log_sign_ins(stage, logs_key) if stage.cognito_plan == "PLUS" else None

    def _log_sign_ins(self, stage: Stage, logs_key: kms.IKey) -> AuditLogGroup:
        # The prefix keeps the log service's resource policy, of which there is one for all vended logs, short enough.
        name = stage.names.sign_ins
        group = AuditLogGroup(self, "SignIns", key=logs_key, retain=stage.retain, name=name)
        cognito.CfnLogDeliveryConfiguration(
            self,
            "SignInDelivery",
            user_pool_id=self.pool.user_pool_id,
            log_configurations=[
                cognito.CfnLogDeliveryConfiguration.LogConfigurationProperty(
                    event_source="userAuthEvents",
                    log_level="INFO",
                    cloud_watch_logs_configuration=cognito.CfnLogDeliveryConfiguration.CloudWatchLogsConfigurationProperty(
                        log_group_arn=group.log_group_arn
                    ),
                )
            ],
        )
        return group

    def _build_pool(self, stage: Stage) -> cognito.UserPool:
        plus = stage.cognito_plan == "PLUS"
        pool = cognito.UserPool(
            self,
            "Pool",
            user_pool_name=stage.names.whole,
            feature_plan=cognito.FeaturePlan.PLUS if plus else cognito.FeaturePlan.ESSENTIALS,
            standard_threat_protection_mode=cognito.StandardThreatProtectionMode.FULL_FUNCTION if plus else None,
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            # Until a new address is verified, the old one stays: an account cannot pose as somebody else's address.
            keep_original=cognito.KeepOriginalAttrs(email=True),
            # Immutable, because an access token may write every mutable attribute that its client may write.
            custom_attributes={"tenant_id": cognito.StringAttribute(min_len=1, max_len=64, mutable=False)},
            mfa=cognito.Mfa.REQUIRED if stage.mfa_required else cognito.Mfa.OFF,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False) if stage.mfa_required else None,
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            password_policy=cognito.PasswordPolicy(
                min_length=14,
                require_digits=True,
                require_lowercase=True,
                require_uppercase=True,
                require_symbols=True,
                temp_password_validity=Duration.days(1),
                password_history_size=24,
            ),
            deletion_protection=stage.retain,
            removal_policy=removal(stage.retain),
        )
        resource = pool.node.default_child
        assert isinstance(resource, cognito.CfnUserPool)
        # Said outright, because the other form changes `iss`, and with it what the service accepts.
        resource.issuer_configuration = cognito.CfnUserPool.IssuerConfigurationProperty(type="ORIGINAL")
        return pool

    def _build_client(self, stage: Stage, scope: cognito.OAuthScope) -> cognito.UserPoolClient:
        minutes = Duration.minutes(stage.token_minutes)
        return self.pool.add_client(
            "Web",
            user_pool_client_name=f"{NAME}-api",
            # A public client: PKCE proves who redeems the code, and there is no secret to rotate or leak.
            generate_secret=False,
            auth_flows=cognito.AuthFlow(user_srp=True),
            # Left out, CDK would allow the implicit grant, which puts tokens into the address bar.
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID, cognito.OAuthScope.EMAIL, cognito.OAuthScope.PROFILE, scope],
                callback_urls=[f"{stage.public_url}{CALLBACK_PATH}"],
                logout_urls=[f"{stage.public_url}/", *(f"{origin}/" for origin in stage.allowed_origins)],
            ),
            supported_identity_providers=[
                cognito.UserPoolClientIdentityProvider.COGNITO,
                *(cognito.UserPoolClientIdentityProvider.custom(p.name) for p in stage.federation),
            ],
            access_token_validity=minutes,
            id_token_validity=minutes,
            refresh_token_validity=Duration.hours(12),
            # A refresh token works once; the seconds are for an answer that got lost on the way.
            refresh_token_rotation_grace_period=Duration.seconds(10),
            auth_session_validity=Duration.minutes(5),
            enable_token_revocation=True,
            prevent_user_existence_errors=True,
            read_attributes=cognito.ClientAttributes()
            .with_standard_attributes(email=True, email_verified=True, given_name=True, family_name=True)
            .with_custom_attributes("tenant_id"),
            # Whatever is listed here, its user can set to anything. Left out, it would be every attribute. An attribute
            # that a provider maps must be among them, or its users cannot sign in.
            write_attributes=cognito.ClientAttributes().with_standard_attributes(
                given_name=True, family_name=True, email=bool(stage.federation)
            ),
        )
