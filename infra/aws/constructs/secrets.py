"""Secrets that AWS generates, so that no person and no template ever holds them."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as sm
from constructs import Construct

from infra.aws.constructs.removal import removal
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
        self._stage, self._key = stage, key
        self.app_login = self._secret(
            "DatabaseApp",
            "database-app",
            "Database login of the service",
            secret_string_template=json.dumps({"username": stage.database.app_user}),
            generate_string_key="password",
            password_length=48,
        )
        self.session_key = self._secret("SessionKey", "session-key", "Encrypts login cookies", password_length=64)
        self.router_key: sm.Secret | None = None
        if stage.subnet_router:
            what = "Tailscale auth key of the subnet router; put there by hand"
            self.router_key = self._secret("RouterKey", "tailscale-router", what)

    def _secret(self, construct_id: str, name: str, description: str, **generated: Any) -> sm.Secret:
        how = sm.SecretStringGenerator(exclude_punctuation=True, **generated) if generated else None
        return sm.Secret(
            self,
            construct_id,
            secret_name=f"{self._stage.secrets_prefix}/{name}",
            description=description,
            encryption_key=self._key,
            removal_policy=removal(self._stage.retain),
            generate_secret_string=how,
        )
