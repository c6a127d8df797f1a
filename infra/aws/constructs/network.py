"""A network that nothing can enter. Its database subnets have no way out either; a router's have, through NAT."""

from __future__ import annotations

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.aws.constructs.log_group import AuditLogGroup
from infra.stage import parts
from infra.stage.names import LABEL

MOST_ZONES = 3
_Endpoint = ec2.InterfaceVpcEndpointAwsService


class Network(Construct):
    """The VPC, its flow log, its endpoints, and the security group of the database.

    Args:
        scope: The stack.
        construct_id: Its id there.
        zones: Number of availability zones, one subnet of each kind in each.
        options: Addresses and the way out.
        logs_key: Encrypts the flow log.
        retain: Whether the flow log survives the deletion of its stack.

    Attributes:
        vpc: The VPC.
        database_subnets: Where the database goes.
        router_subnets: Where a subnet router goes; None in a network without a way out.
        database_group: Security group of the database. Nothing may reach it until somebody adds an ingress rule, which
            belongs beside the peer that it lets in.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        zones: int,
        options: parts.Network,
        logs_key: kms.IKey,
        retain: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        # Addresses are handed out in this order: a further group goes to the end, or the database would move.
        subnets = [ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)]
        if options.nat_gateways:
            subnets += [
                ec2.SubnetConfiguration(name="Router", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=26),
                # For the NAT gateways alone.
                ec2.SubnetConfiguration(
                    name="Nat", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=28, map_public_ip_on_launch=False
                ),
            ]
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(options.cidr),
            # The account says which it has when the stack is deployed: letters differ between accounts, and some are
            # refused to newer ones.
            availability_zones=[Fn.select(number, Fn.get_azs()) for number in range(zones)],
            # Addresses for a third zone are kept free: one that comes later would lie over another subnet.
            reserved_azs=MOST_ZONES - zones,
            nat_gateways=options.nat_gateways,
            create_internet_gateway=bool(options.nat_gateways),
            restrict_default_security_group=True,
            subnet_configuration=subnets,
            # Free of charge; without it, traffic to buckets would pass the NAT gateway, which is not.
            gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
        )
        self.database_subnets = ec2.SubnetSelection(subnet_group_name="Database")
        self.router_subnets = ec2.SubnetSelection(subnet_group_name="Router") if options.nat_gateways else None
        self._log_flows(logs_key, retain)
        self.database_group = ec2.SecurityGroup(
            self, "DatabaseGroup", vpc=self.vpc, description="PostgreSQL of the service", allow_all_outbound=False
        )
        if options.interface_endpoints:
            self._add_endpoints(options)

    def _log_flows(self, logs_key: kms.IKey, retain: bool) -> None:
        group = AuditLogGroup(self, "FlowLogs", key=logs_key, retain=retain)
        role, _ = group.writer(
            self,
            "vpc-flow-logs",
            f"{LABEL} flow log: writes its own group",
            "logs:DescribeLogStreams",
            prefix="FlowLogs",
        )
        self.vpc.add_flow_log(
            "FlowLog",
            traffic_type=ec2.FlowLogTrafficType.ALL,
            # Without policy updates: what CDK would add is an inline policy.
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, role.without_policy_updates()),
        )

    def _add_endpoints(self, options: parts.Network) -> None:
        group = ec2.SecurityGroup(
            self, "EndpointGroup", vpc=self.vpc, description="AWS services, from within", allow_all_outbound=False
        )
        group.add_ingress_rule(ec2.Peer.ipv4(options.cidr), ec2.Port.tcp(443), "HTTPS from this network")
        services = {
            "SecretsManager": _Endpoint.SECRETS_MANAGER,
            "Kms": _Endpoint.KMS,
            "Logs": _Endpoint.CLOUDWATCH_LOGS,
            "Ssm": _Endpoint.SSM,
            "SsmMessages": _Endpoint.SSM_MESSAGES,
        }
        for name, service in services.items():
            self.vpc.add_interface_endpoint(
                f"{name}Endpoint",
                service=service,
                security_groups=[group],
                open=False,
                subnets=self.router_subnets or self.database_subnets,
            )
