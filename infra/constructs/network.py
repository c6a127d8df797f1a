"""A network without a way in or out: isolated subnets, no gateway, no public address."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct


class Network(Construct):
    """The VPC and the security group of the database.

    Args:
        scope: The stack.
        construct_id: Its id there.
        zones: Names of the availability zones, one isolated subnet in each.

    Attributes:
        vpc: The VPC.
        database_subnets: Where the database goes.
        database_group: Security group of the database. Nothing may reach it until somebody adds an ingress rule, which
            belongs beside the peer that it lets in.
    """

    def __init__(self, scope: Construct, construct_id: str, *, zones: Sequence[str]) -> None:
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.42.0.0/16"),
            availability_zones=list(zones),
            nat_gateways=0,
            create_internet_gateway=False,
            restrict_default_security_group=True,
            # Addresses are handed out in this order: a further group goes to the end, or the database would move.
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)
            ],
        )
        self.database_subnets = ec2.SubnetSelection(subnet_group_name="Database")
        self.database_group = ec2.SecurityGroup(
            self, "DatabaseGroup", vpc=self.vpc, description="PostgreSQL of the service", allow_all_outbound=False
        )
