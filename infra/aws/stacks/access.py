"""Who the service is to AWS, and how it gets to the database: this stack can be rebuilt at any time."""

from __future__ import annotations

from constructs import Construct

from infra.aws.constructs.network import Network
from infra.aws.constructs.service_identity import CertificateRole, KeyUser
from infra.aws.constructs.subnet_router import SubnetRouter
from infra.aws.stacks.base import StageStack
from infra.aws.stacks.data import DataStack
from infra.stage.names import LABEL
from infra.stage.outputs import emit
from infra.stage.record import Stage


class AccessStack(StageStack):
    """The fourth stack.

    Args:
        scope: The app.
        stage: Its configuration.
        network: Where the subnet router stands.
        data: The stack whose resources the service uses.
        authority: Certificate of the authority that vouches for the service, PEM; see ``CertificateRole``.

    Attributes:
        router: The subnet router; None in a stage without.
    """

    def __init__(
        self, scope: Construct, *, stage: Stage, network: Network, data: DataStack, authority: str | None
    ) -> None:
        super().__init__(scope, stage=stage, part="access", description=f"{LABEL}: who the service is, and its way in")
        policy = data.service.policy
        self.router: SubnetRouter | None = None
        emit(self, "ServicePolicyArn", policy.managed_policy_arn)
        if stage.access == "user":
            user = KeyUser(self, "Service", stage_name=stage.name, policy=policy).user
            emit(self, "ServiceUserName", user.user_name)
        else:
            service = CertificateRole(self, "Service", stage_name=stage.name, policy=policy, authority=authority)
            emit(self, "TrustAnchorArn", service.anchor.attr_trust_anchor_arn)
            emit(self, "ProfileArn", service.profile.attr_profile_arn)
            emit(self, "ServiceRoleArn", service.role.role_arn)
        if stage.subnet_router:
            assert network.router_subnets is not None  # a stage without a way out has no router
            assert data.secrets.router_key is not None
            routed = network.vpc.select_subnets(subnet_group_name="Database").subnets
            self.router = SubnetRouter(
                self,
                "Router",
                stage_name=stage.name,
                vpc=network.vpc,
                subnets=network.router_subnets,
                routes=[subnet.ipv4_cidr_block for subnet in routed],
                database=network.database_group,
                port=stage.database.port,
                key=data.key,
                auth_key=data.secrets.router_key,
            )
            emit(self, "RouterKeySecretArn", data.secrets.router_key.secret_arn)
