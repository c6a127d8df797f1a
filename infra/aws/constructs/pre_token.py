"""The function behind ``tenant_id`` in every token, with a role that may write its log and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aws_cdk import Duration, IgnoreMode
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.aws.constructs.log_group import AuditLogGroup
from infra.stage.names import LABEL

_CODE: Final = Path(__file__).parents[1] / "functions" / "pre_token"


class PreToken(Construct):
    """The pre token generation function.

    Args:
        scope: The stack.
        construct_id: Its id there.
        logs_key: Encrypts its log.
        retain: Whether the log survives the deletion of its stack.
        tenants: Tenant of each federated provider, by the provider's name.

    Attributes:
        function: The function.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, logs_key: kms.IKey, retain: bool, tenants: Mapping[str, str]
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = AuditLogGroup(self, "Logs", key=logs_key, retain=retain)
        role, _ = log_group.writer(self, "lambda", f"{LABEL} pre token generation: writes its own log")
        self.function = lambda_.Function(
            self,
            "Function",
            description="Puts tenant_id into tokens, or refuses them",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handler",
            # Only this file: a stray __pycache__ would change the hash, and with it the deployment, on every machine.
            code=lambda_.Code.from_asset(str(_CODE), exclude=["*", "!handler.py"], ignore_mode=IgnoreMode.GIT),
            # Cognito waits 5 seconds for an answer and no longer.
            timeout=Duration.seconds(5),
            memory_size=128,
            # Signing in must not be able to use up the account's concurrency, nor the other way round.
            reserved_concurrent_executions=20,
            # Sorted: the same configuration makes the same template.
            environment={"TENANTS_BY_PROVIDER": json.dumps(dict(tenants), sort_keys=True)},
            role=role.without_policy_updates(),
            log_group=log_group,
        )
