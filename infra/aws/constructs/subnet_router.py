"""The way from Railway to the database: a small machine that routes a tailnet to the database subnets, and no further.

Nothing can reach it from outside; it calls out. It holds no data, so it is replaced rather than repaired: by itself
when it fails, every 30 days, and when its image or set-up changes.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, Stack, Tags
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as sm
from constructs import Construct

from infra.aws.machine import PROGRAM
from infra.stage.names import LABEL, StageNames
from infra.stage.tailscale import BEAT_SECONDS, KEY_DAYS, VERSION
from service.product import NAME

_REPOSITORY: Final = "https://pkgs.tailscale.com/stable/amazon-linux/2023/tailscale.repo"

HOOK: Final = "routes"
TAG: Final = "router"  # of the group, with the name of its machines
# Seconds until a machine routes; looks without routing until it is replaced.
_WAIT, _SILENT = 1800, 20
HOOK_SECONDS: Final = _WAIT + 600  # with the set-up before, and the last attempt

# Whatever fails here turns the machine off, and the group starts another one.
_SET_UP: Final = """set -euo pipefail
trap 'systemctl poweroff' ERR
dnf -y install dnf-plugins-core
dnf config-manager --add-repo {repository}
dnf -y install tailscale-{version}
echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/99-{product}.conf
sysctl -p /etc/sysctl.d/99-{product}.conf
systemctl enable --now tailscaled
umask 077
mkdir -p /opt/{product}
cat > /opt/{product}/routing.py <<'END'
{program}END
cat > /opt/{product}/routing.env <<END
{settings}
INSTANCE=$(cat /var/lib/cloud/data/instance-id)
END
cat > /etc/systemd/system/{product}-routing.service <<'END'
[Unit]
Description=Joins the tailnet, and says that it routes
After=tailscaled.service
FailureAction=poweroff
[Service]
EnvironmentFile=/opt/{product}/routing.env
RuntimeDirectory={product}-routing
RuntimeDirectoryMode=0700
ExecStart=/usr/bin/python3 /opt/{product}/routing.py
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now {product}-routing
"""

# What the machine may do so that an operator gets into it through Session Manager, and Patch Manager sees and mends it:
# the actions of AWS's policy AmazonSSMManagedInstanceCore (version 2) without those that read every parameter of the
# account (ssm:GetParameter, ssm:GetParameters), distribute software (GetManifest, PutConfigurePackageResult) and belong
# to the older ec2messages, for which ssmmessages has stood in since agent 3.3.40.0. Sources:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html,
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonSSMManagedInstanceCore.html. Most know no
# resource.
SESSIONS: Final = (
    *("ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"),
    *("ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel", "ssm:UpdateInstanceInformation"),
)
PATCHES: Final = (
    *("ssm:GetDeployablePatchSnapshotForInstance", "ssm:GetDocument", "ssm:DescribeDocument", "ssm:PutInventory"),
    *("ssm:PutComplianceItems", "ssm:ListAssociations", "ssm:ListInstanceAssociations", "ssm:DescribeAssociation"),
    *("ssm:UpdateAssociationStatus", "ssm:UpdateInstanceAssociationStatus"),
)


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
        role = self._build_role(StageNames(stage_name), key, auth_key)
        user_data = ec2.UserData.custom("#!/bin/bash")
        template = ec2.LaunchTemplate(
            self,
            "Template",
            # With half a GiB, as a nano has, Amazon Linux kills dnf for memory (amazonlinux/amazon-linux-2023#404).
            instance_type=ec2.InstanceType("t4g.micro"),
            machine_image=ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64),
            security_group=security_group,
            role=role,
            user_data=user_data,
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
            # The machine itself says that it routes: to the stack in an update, to the group in every start.
            update_policy=autoscaling.UpdatePolicy.rolling_update(
                min_instances_in_service=1,
                max_batch_size=1,
                wait_on_resource_signals=True,
                pause_time=Duration.seconds(HOOK_SECONDS),
            ),
            group_metrics=[autoscaling.GroupMetrics.all()],
        )
        # Made after the group: a first deployment, which comes before the credential, waits for no machine.
        self.group.add_lifecycle_hook(
            "Hook",
            lifecycle_hook_name=HOOK,
            lifecycle_transition=autoscaling.LifecycleTransition.INSTANCE_LAUNCHING,
            default_result=autoscaling.DefaultResult.ABANDON,
            heartbeat_timeout=Duration.seconds(HOOK_SECONDS),
        )
        Tags.of(self.group).add(TAG, StageNames(stage_name).router)
        group = self.group.node.default_child
        assert isinstance(group, autoscaling.CfnAutoScalingGroup)
        settings = self._settings(StageNames(stage_name), auth_key, routes, Stack.of(self).get_logical_id(group))
        user_data.add_commands(
            _SET_UP.format(repository=_REPOSITORY, version=VERSION, product=NAME, program=PROGRAM, settings=settings)
        )
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

    def _settings(self, names: StageNames, auth_key: sm.ISecret, routes: list[str], group: str) -> str:
        """What the program on the machine is told."""
        stack = Stack.of(self)
        found = {
            "REGION": stack.region,
            "SECRET": auth_key.secret_arn,
            "HOST": names.router,
            "ROUTES": ",".join(routes),
            "TAG": names.router_tag,
            "PEER": names.node_tag,
            "NAMESPACE": names.routing,
            "STACK": stack.stack_id,
            "RESOURCE": group,
            "HOOK": HOOK,
            "KEY_DAYS": KEY_DAYS,
            "WAIT": _WAIT,
            "SILENT": _SILENT,
            "PAUSE": BEAT_SECONDS,
        }
        return "\n".join(f"{name}={value}" for name, value in found.items())

    def _build_role(self, names: StageNames, key: kms.IKey, auth_key: sm.ISecret) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description=f"{LABEL} subnet router: reads its key, can be reached by Session Manager",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
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
            iam.PolicyStatement(
                sid="Heartbeat",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],  # it knows none
                conditions={"StringEquals": {"cloudwatch:namespace": names.routing}},
            ),
            iam.PolicyStatement(sid="BeManaged", actions=[*SESSIONS, *PATCHES], resources=["*"]),
            iam.PolicyStatement(
                sid="FindOwnGroup", actions=["autoscaling:DescribeAutoScalingInstances"], resources=["*"]
            ),
            iam.PolicyStatement(
                sid="TellOwnGroup",
                actions=["autoscaling:CompleteLifecycleAction"],
                resources=["*"],  # by its tag: the group's name is given by what the machine is part of
                conditions={"StringEquals": {f"aws:ResourceTag/{TAG}": names.router}},
            ),
            iam.PolicyStatement(
                sid="SignalOwnStack",
                actions=["cloudformation:SignalResource"],
                resources=[Stack.of(self).stack_id],
            ),
        ]
        iam.ManagedPolicy(self, "Policy", roles=[role], statements=statements)
        return role
