"""Who the service is to AWS: a role that a certificate opens for an hour, or a user whose keys somebody must change."""

from __future__ import annotations

from aws_cdk import CfnParameter, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rolesanywhere as rolesanywhere
from constructs import Construct

from infra.stage.names import LABEL, StageNames


class CertificateRole(Construct):
    """IAM Roles Anywhere: whoever holds a key whose certificate our authority signed gets the role, for an hour.

    The trust policy asks for the authority and for the name in the certificate
    (https://docs.aws.amazon.com/rolesanywhere/latest/userguide/trust-model.html): without the first, every trust
    anchor of the account would do; without the second, every certificate of ours.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for names.
        policy: What the service may do.
        authority: Certificate of the authority, PEM. None makes it a parameter of the stack without a default:
            CloudFormation then refuses to deploy until somebody names one.

    Attributes:
        role: The role.
        anchor: The trust anchor.
        profile: The profile.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage_name: str,
        policy: iam.IManagedPolicy,
        authority: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        if authority is None:
            parameter = CfnParameter(
                self,
                "Authority",
                description="CA certificate (PEM) that vouches for the service: uv run signalbox certs <stage>",
                min_length=1,
            )
            authority = parameter.value_as_string
        names = StageNames(stage_name)
        self.anchor = rolesanywhere.CfnTrustAnchor(
            self,
            "Anchor",
            name=names.whole,
            enabled=True,
            source=rolesanywhere.CfnTrustAnchor.SourceProperty(
                source_type="CERTIFICATE_BUNDLE",
                source_data=rolesanywhere.CfnTrustAnchor.SourceDataProperty(x509_certificate_data=authority),
            ),
        )
        service = iam.ServicePrincipal("rolesanywhere.amazonaws.com")
        conditions = {
            "ArnEquals": {"aws:SourceArn": self.anchor.attr_trust_anchor_arn},
            "StringEquals": {"aws:PrincipalTag/x509Subject/CN": names.certificate},
        }
        self.role = iam.Role(
            self,
            "Role",
            description=f"{LABEL}: the service, by certificate",
            managed_policies=[policy],
            max_session_duration=Duration.hours(1),
            assumed_by=iam.PrincipalWithConditions(service, conditions).with_session_tags(),
        )
        assert self.role.assume_role_policy is not None
        self.role.assume_role_policy.add_statements(
            iam.PolicyStatement(actions=["sts:SetSourceIdentity"], principals=[service], conditions=conditions)
        )
        self.profile = rolesanywhere.CfnProfile(
            self, "Profile", name=names.whole, enabled=True, role_arns=[self.role.role_arn], duration_seconds=3600
        )


class KeyUser(Construct):
    """An IAM user, for development. Its access keys are made and changed outside CloudFormation, which would show them.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for names.
        policy: What the service may do.

    Attributes:
        user: The user. The policy is its group's: a policy on a user is one that the next user lacks or keeps.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage_name: str, policy: iam.IManagedPolicy) -> None:
        super().__init__(scope, construct_id)
        group = iam.Group(self, "Group", managed_policies=[policy])
        self.user = iam.User(self, "User", user_name=StageNames(stage_name).user, groups=[group])
