"""Secrets that AWS generates, so that no person and no template ever holds them."""

from __future__ import annotations

import json

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as sm
from constructs import Construct

from infra.stage.record import Stage


class Secrets(Construct):
    """What the service reads from Secrets Manager.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage: Names, and whether the secrets survive their stack.
        key: Encrypts them.

    Attributes:
        app_login: JSON with ``username`` and ``password`` of the service's database login.
        session_key: 64 letters and digits, from which the key of the login cookies is made.
        router_key: Tailscale's key for the subnet router, which only Tailscale can make: what AWS generates here opens
            nothing, and is replaced by hand. None in a stage without a router.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        removal = RemovalPolicy.RETAIN if stage.retain else RemovalPolicy.DESTROY
        self.app_login = sm.Secret(
            self,
            "DatabaseApp",
            secret_name=f"{stage.secrets_prefix}/database-app",
            description="Database login of the service",
            encryption_key=key,
            removal_policy=removal,
            generate_secret_string=sm.SecretStringGenerator(
                secret_string_template=json.dumps({"username": stage.database.app_user}),
                generate_string_key="password",
                password_length=48,
                exclude_punctuation=True,
            ),
        )
        self.session_key = sm.Secret(
            self,
            "SessionKey",
            secret_name=f"{stage.secrets_prefix}/session-key",
            description="Encrypts login cookies",
            encryption_key=key,
            removal_policy=removal,
            generate_secret_string=sm.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        )
        self.router_key: sm.Secret | None = None
        if stage.subnet_router:
            self.router_key = sm.Secret(
                self,
                "RouterKey",
                secret_name=f"{stage.secrets_prefix}/tailscale-router",
                description="Tailscale auth key of the subnet router; put there by hand",
                encryption_key=key,
                removal_policy=removal,
            )
