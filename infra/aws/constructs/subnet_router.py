"""The way from Railway to the database: a small machine that routes a tailnet to the database subnets, and no further.

Nothing can reach it from outside; it calls out. It holds no data, so it is replaced rather than repaired: by itself
when it fails, every 30 days, and when its image or set-up changes.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as sm
from constructs import Construct

from infra.stage.names import LABEL, StageNames
from infra.stage.tailscale import VERSION
from service.product import NAME

_REPOSITORY: Final = "https://pkgs.tailscale.com/stable/amazon-linux/2023/tailscale.repo"

# The key goes from Secrets Manager into a file of root's in memory, never into a command line, which `ps` shows.
_SET_UP: Final = """set -euo pipefail
dnf -y install dnf-plugins-core
dnf config-manager --add-repo {repository}
dnf -y install tailscale-{version}
echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/99-{product}.conf
sysctl -p /etc/sysctl.d/99-{product}.conf
systemctl enable --now tailscaled
umask 077
# Until it routes: a first deployment comes before its credential, and a network may be away for a while.
until aws secretsmanager get-secret-value --region {region} --secret-id {secret} --query SecretString --output text \
    > /run/tailscale-key \
  && tailscale up --auth-key=file:/run/tailscale-key --hostname={hostname} --advertise-routes={routes} \
    --advertise-tags={tag} --accept-dns=false --accept-routes=false --ssh=false --timeout=60s
do
  sleep 30
done
rm -f /run/tailscale-key
"""


class SubnetRouter(Construct):
    """The machine, its group, its role and its secret.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for names.
        vpc: The network.
        subnets: Where the machine stands: private, with a way out.
        routes: Address ranges it routes to.
        database: Security group of the database.
        port: TCP port of the database.
        key: Encrypts the secret.
        auth_key: Secret with the tailnet's credential: the secret of an OAuth client, which does not end, or a key
            (reusable, tagged, pre-approved). An operator puts it there; until then the machine asks every half minute.

    Attributes:
        group: The auto scaling group, of one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage_name: str,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        routes: list[str],
        database: ec2.ISecurityGroup,
        port: int,
        key: kms.IKey,
        auth_key: sm.ISecret,
    ) -> None:
        super().__init__(scope, construct_id)
        security_group = self._build_security_group(vpc, database, port)
        template = ec2.LaunchTemplate(
            self,
            "Template",
            # With half a GiB, as a nano has, Amazon Linux kills dnf for memory (amazonlinux/amazon-linux-2023#404).
            instance_type=ec2.InstanceType("t4g.micro"),
            machine_image=ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64),
            security_group=security_group,
            role=self._build_role(key, auth_key),
            user_data=ec2.UserData.custom(
                "#!/bin/bash\n"
                + _SET_UP.format(
                    repository=_REPOSITORY,
                    version=VERSION,
                    region=Stack.of(self).region,
                    secret=auth_key.secret_arn,
                    product=NAME,
                    hostname=StageNames(stage_name).router,
                    routes=",".join(routes),
                    tag=StageNames(stage_name).router_tag,
                )
            ),
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            detailed_monitoring=True,
            ebs_optimized=True,
            associate_public_ip_address=False,
            block_devices=[
                ec2.BlockDevice(
                    device_name="/dev/xvda",
                    volume=ec2.BlockDeviceVolume.ebs(8, encrypted=True, volume_type=ec2.EbsDeviceVolumeType.GP3),
                )
            ],
        )
        self.group = autoscaling.AutoScalingGroup(
            self,
            "Group",
            vpc=vpc,
            vpc_subnets=subnets,
            launch_template=template,
            min_capacity=1,
            max_capacity=2,  # the second one, while the first is replaced
            max_instance_lifetime=Duration.days(30),
            update_policy=autoscaling.UpdatePolicy.rolling_update(min_instances_in_service=1, max_batch_size=1),
            group_metrics=[autoscaling.GroupMetrics.all()],
        )
        group = self.group.node.default_child
        assert isinstance(group, autoscaling.CfnAutoScalingGroup)
        # Without it, the replacement after 30 days terminates the one that routes before it starts the next.
        group.instance_maintenance_policy = autoscaling.CfnAutoScalingGroup.InstanceMaintenancePolicyProperty(
            min_healthy_percentage=100, max_healthy_percentage=200
        )

    def _build_security_group(self, vpc: ec2.IVpc, database: ec2.ISecurityGroup, port: int) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description="Subnet router: calls out, is never called",
            allow_all_outbound=False,
        )
        out = (
            (ec2.Port.tcp(443), "Tailscale control plane and relays, AWS, packages"),
            (ec2.Port.udp(3478), "STUN"),
            (ec2.Port.udp_range(1024, 65535), "WireGuard to peers, whose ports their own networks choose"),
        )
        for what, why in out:
            group.add_egress_rule(ec2.Peer.any_ipv4(), what, why)
        group.add_egress_rule(database, ec2.Port.tcp(port), "PostgreSQL")
        # Here and not at the database: the rule goes when the router goes.
        ec2.CfnSecurityGroupIngress(
            self,
            "DatabaseIngress",
            group_id=database.security_group_id,
            source_security_group_id=group.security_group_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description="PostgreSQL from the subnet router",
        )
        return group

    def _build_role(self, key: kms.IKey, auth_key: sm.ISecret) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description=f"{LABEL} subnet router: reads its key, can be reached by Session Manager",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("AmazonSSMManagedInstanceCore")],
        )
        through = {
            "kms:ViaService": f"secretsmanager.{Stack.of(self).region}.amazonaws.com",
            "kms:EncryptionContext:SecretARN": auth_key.secret_arn,
        }
        statements = [
            iam.PolicyStatement(
                sid="ReadOwnKey", actions=["secretsmanager:GetSecretValue"], resources=[auth_key.secret_arn]
            ),
            iam.PolicyStatement(
                sid="DecryptOwnKey",
                actions=["kms:Decrypt"],
                resources=[key.key_arn],
                conditions={"StringEquals": through},
            ),
        ]
        iam.ManagedPolicy(self, "Policy", roles=[role], statements=statements)
        return role
