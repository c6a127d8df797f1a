"""Who comes in: the user pool and the function that puts the tenant into its tokens."""

from __future__ import annotations

from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.aws.constructs.pre_token import PreToken
from infra.aws.constructs.user_pool import UserPool
from infra.aws.stacks.base import StageStack
from infra.stage.names import LABEL
from infra.stage.outputs import emit
from infra.stage.record import Stage


class IdentityStack(StageStack):
    """The third stack.

    Args:
        scope: The app.
        stage: Its configuration.
        logs_key: Key for log groups.

    Attributes:
        pre_token: The function that puts the tenant into tokens.
        users: The pool, its client and its hosted login.
    """

    def __init__(self, scope: Construct, *, stage: Stage, logs_key: kms.IKey) -> None:
        super().__init__(scope, stage=stage, part="identity", description=f"{LABEL}: users, login, tenant claim")
        self.pre_token = PreToken(
            self,
            "PreToken",
            logs_key=logs_key,
            retain=stage.retain,
            tenants={provider.name: provider.tenant for provider in stage.federation},
        )
        self.users = UserPool(self, "Users", stage=stage, pre_token=self.pre_token.function, logs_key=logs_key)
        emit(self, "UserPoolId", self.users.pool.user_pool_id)
        emit(self, "UserPoolIssuer", self.users.pool.user_pool_provider_url)
        emit(self, "UserPoolClientId", self.users.client.user_pool_client_id)
        emit(self, "HostedLoginUrl", self.users.domain.base_url())
