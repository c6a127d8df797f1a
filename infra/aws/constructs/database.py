"""RDS for PostgreSQL that only TLS reaches, and whose logs hold statements but never the values in them."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_backup as backup
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.aws.constructs.log_group import AuditLogGroup
from infra.aws.constructs.removal import removal
from infra.stage.record import Stage

# The major is pinned, minors come by themselves in the maintenance window.
_ENGINE: Final = rds.PostgresEngineVersion.VER_18
_LOGS: Final = ("postgresql", "upgrade")
_PARAMETERS: Final = {
    "rds.force_ssl": "1",
    "ssl_min_protocol_version": "TLSv1.2",
    "password_encryption": "scram-sha-256",
    "rds.accepted_password_auth_method": "scram",
    # Who connected, and every write, grant and schema change. RDS 18 takes a word here, where 17 took a 1.
    "log_connections": "all",
    "log_disconnections": "1",
    "shared_preload_libraries": "pg_stat_statements,pgaudit",
    "pgaudit.log": "ddl,role,write",
    # From here on: health data must not get into the log. Parameters are values, DETAIL lines quote whole rows ("terse"
    # leaves them out), and a statement that is logged for being slow is logged with its parameters.
    "pgaudit.log_parameter": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}


class Database(Construct):
    """The instance, its parameters and its log groups.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage: Size, backups, names.
        vpc: Network.
        subnets: Isolated subnets of it.
        group: Security group.
        data_key: Encrypts storage, the backup vault, the master login's secret and Performance Insights.
        logs_key: Encrypts the log groups.

    Attributes:
        instance: The instance.
        master_secret_arn: Secret of the login that runs migrations. RDS makes it and rotates it every 7 days
            (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html).
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        group: ec2.ISecurityGroup,
        data_key: kms.IKey,
        logs_key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        config = stage.database
        engine = rds.DatabaseInstanceEngine.postgres(version=_ENGINE)
        identifier = stage.names.whole
        self.instance = rds.DatabaseInstance(
            self,
            "Instance",
            instance_identifier=identifier,
            engine=engine,
            instance_type=ec2.InstanceType(config.instance_type),
            vpc=vpc,
            vpc_subnets=subnets,
            security_groups=[group],
            publicly_accessible=False,
            port=config.port,
            multi_az=config.multi_az,
            database_name=config.name,
            credentials=rds.Credentials.from_username(config.master_user, encryption_key=data_key),
            manage_master_user_password=True,
            iam_authentication=True,
            ca_certificate=rds.CaCertificate.RDS_CA_RSA2048_G1,
            parameter_group=rds.ParameterGroup(
                self, "Parameters", engine=engine, parameters=_PARAMETERS, removal_policy=removal(stage.retain)
            ),
            storage_type=rds.StorageType.GP3,
            allocated_storage=config.storage_gib,
            max_allocated_storage=config.max_storage_gib,
            storage_encrypted=True,
            storage_encryption_key=data_key,
            backup_retention=Duration.days(config.backup_days),
            delete_automated_backups=not stage.retain,
            copy_tags_to_snapshot=True,
            deletion_protection=config.deletion_protection,
            removal_policy=removal(stage.retain),
            auto_minor_version_upgrade=True,
            cloudwatch_logs_exports=list(_LOGS),
            monitoring_interval=Duration.seconds(60),
            enable_performance_insights=True,
            performance_insight_encryption_key=data_key,
            database_insights_mode=rds.DatabaseInsightsMode.STANDARD,
        )
        for export in _LOGS:
            # RDS would make these itself at the first line: unencrypted, and kept for ever.
            name = f"/aws/rds/instance/{identifier}/{export}"
            self.instance.node.add_dependency(
                AuditLogGroup(self, f"{export.capitalize()}Logs", key=logs_key, retain=stage.retain, name=name)
            )
        self._back_up(data_key, stage)
        resource = self.instance.node.default_child
        assert isinstance(resource, rds.CfnDBInstance)
        self.master_secret_arn = resource.attr_master_user_secret_secret_arn

    def _back_up(self, key: kms.IKey, stage: Stage) -> None:
        """A second set of copies, in a vault that outlives the instance and from which nobody can delete early."""
        vault = backup.BackupVault(
            self,
            "Vault",
            # Without a name the CDK makes one of the construct's path, the same in every stage.
            backup_vault_name=stage.names.whole,
            encryption_key=key,
            block_recovery_point_deletion=stage.retain,
            removal_policy=removal(stage.retain),
        )
        plan = backup.BackupPlan(self, "Plan", backup_plan_name=stage.names.whole, backup_vault=vault)
        for name, cron, days in (
            ("daily", {"hour": "5", "minute": "0"}, 35),
            ("monthly", {"day": "1", "hour": "6", "minute": "0"}, 365),
        ):
            when, age = events.Schedule.cron(**cron), Duration.days(days)
            plan.add_rule(backup.BackupPlanRule(rule_name=name, schedule_expression=when, delete_after=age))
        plan.add_selection("Instance", resources=[backup.BackupResource.from_rds_database_instance(self.instance)])
