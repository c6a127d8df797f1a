"""What the service may do, apart from what it does it to: this stack can be rebuilt at any time."""

from __future__ import annotations

from constructs import Construct

from infra.config import Stage
from infra.constructs.service_access import ServiceAccess
from infra.outputs import emit
from infra.stacks.base import StageStack
from infra.stacks.data import DataStack


class AccessStack(StageStack):
    """The last stack.

    Args:
        scope: The app.
        stage: Its configuration.
        data: The stack whose resources the service uses.

    Attributes:
        service: The service's policy.
    """

    def __init__(self, scope: Construct, *, stage: Stage, data: DataStack) -> None:
        super().__init__(scope, stage=stage, part="access", description="Signalbox: what the service may do")
        self.service = ServiceAccess(
            self,
            "Service",
            secrets=[data.secrets.app_login, data.secrets.session_key],
            master_secret_arn=data.database.master_secret_arn,
            key=data.key,
            signing_key=data.signing_key,
            bucket=data.documents.bucket,
            instance=data.database.instance,
            app_user=stage.database.app_user,
        )
        emit(self, "ServicePolicyArn", self.service.policy.managed_policy_arn)
