"""Where things are: the network, and the key of the logs, which every later stack writes."""

from __future__ import annotations

from constructs import Construct

from infra.aws.constructs.keys import LogsKey
from infra.aws.constructs.network import Network
from infra.aws.stacks.base import StageStack
from infra.stage.names import LABEL
from infra.stage.outputs import emit
from infra.stage.record import Stage


class NetworkStack(StageStack):
    """The first stack.

    Args:
        scope: The app.
        stage: Its configuration.

    Attributes:
        logs_key: Key for log groups.
        network: VPC and the database's security group.
    """

    def __init__(self, scope: Construct, *, stage: Stage) -> None:
        super().__init__(scope, stage=stage, part="network", description=f"{LABEL}: network and the key of the logs")
        if stage.account:
            # With a known account the VPC would ask AWS for its zones while it is synthesized, even when it is told
            # them. This is the answer: names that nothing in the template uses.
            key = f"availability-zones:account={stage.account}:region={stage.region}"
            self.node.set_context(key, [f"{stage.region}{letter}" for letter in "abc"])
        self.logs_key = LogsKey(self, "LogsKey", stage_name=stage.name, retain=stage.retain)
        self.network = Network(
            self,
            "Network",
            zones=stage.availability_zones,
            options=stage.network,
            logs_key=self.logs_key.key,
            retain=stage.retain,
        )
        emit(self, "VpcId", self.network.vpc.vpc_id)
