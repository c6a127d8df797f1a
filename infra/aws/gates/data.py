"""What finished templates promise of what is stored: keys, secrets, database, backups, buckets."""

from __future__ import annotations

from typing import Final

from infra.aws.gates.promises import Promise, When, always
from infra.stage.record import Stage

SIX_YEARS: Final = 2192  # days

Row = tuple[str, str] | tuple[str, str, object]


def promises(
    rule: str,
    kind: str,
    why: str,
    *rows: Row,
    when: When = always,
    only: tuple[str, str] | None = None,
    never: tuple[str, str] | None = None,
) -> tuple[Promise, ...]:
    """Promises that differ in the property alone: path, operator, value."""
    return tuple(
        Promise(
            rule=rule,
            type=kind,
            path=row[0],
            operator=row[1],
            value=row[2] if len(row) > 2 else None,
            why=why,
            when=when,
            only=only,
            never=never,
        )
        for row in rows
    )


def retained(stage: Stage) -> bool:
    """Stages whose data outlive their stack."""
    return stage.retain


def production(stage: Stage) -> bool:
    """Stages with health information."""
    return stage.environment == "production"


_KEY, _BUCKET, _DATABASE = "AWS::KMS::Key", "AWS::S3::Bucket", "AWS::RDS::DBInstance"
_SIGNS: Final = ("KeyUsage", "^SIGN_VERIFY$")
_LOG_BUCKET: Final = ("id", "^AccessLogs")  # S3's log delivery writes there, with S3's own key (see the register)
_ENCRYPTION: Final = "BucketEncryption.ServerSideEncryptionConfiguration.*.ServerSideEncryptionByDefault"

KEYS: Final = (
    # KMS rotates symmetric keys only.
    *promises(
        "Signalbox-KeyRotates",
        _KEY,
        "the key does not rotate",
        ("EnableKeyRotation", "is", True),
        ("RotationPeriodInDays", "at most, if set", 365),
        never=_SIGNS,
    ),
    *promises(
        "Signalbox-KeyKept",
        _KEY,
        "a deletion could not be taken back for long enough",
        ("PendingWindowInDays", "at least", 30),
        when=retained,
    ),
    *promises("Signalbox-KeyOn", _KEY, "the key is off", ("Enabled", "one of", (None, True))),
    *promises(
        "Signalbox-KeySigns",
        _KEY,
        "tokens would be signed with another kind of key than the service takes",
        ("KeyUsage", "is", "SIGN_VERIFY"),
        ("KeySpec", "is", "ECC_NIST_P256"),
        only=("id", "^SigningKey"),
    ),
    *promises("Signalbox-KeySigns", "AWS::KMS::Alias", "the alias leads elsewhere", ("TargetKeyId", "is ours")),
    *promises(
        "Signalbox-NoSecret",
        "AWS::SecretsManager::Secret",
        "the template holds a secret",
        ("SecretString", "is not set"),
    ),
    *promises(
        "Signalbox-Secrets",
        "AWS::SecretsManager::Secret",
        "a secret is not encrypted with a key of ours",
        ("KmsKeyId", "is ours"),
    ),
    *promises(
        "Signalbox-Secrets",
        "AWS::SecretsManager::Secret",
        "a secret is short, or made by no machine",
        ("GenerateSecretString.PasswordLength", "at least", 48),
        never=("id", "^SecretsRouterKey"),  # a place for what only Tailscale can make
    ),
)

DATABASE: Final = (
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "backups are not kept for long enough",  # a rule of the pack passes when the number is not set at all
        ("BackupRetentionPeriod", "at least", lambda stage: 30 if production(stage) else 1),
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "backups would go with the instance, or without what they are of",
        ("DeleteAutomatedBackups", "is", False),
        when=retained,
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "the instance can be deleted",
        ("DeletionProtection", "is", True),
        when=lambda stage: stage.database.deletion_protection,
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "the loss of a data centre stops it",
        ("MultiAZ", "is", True),
        when=lambda stage: stage.database.multi_az,
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "storage, passwords or samples of statements are not encrypted with a key of ours",
        ("StorageEncrypted", "is", True),
        ("KmsKeyId", "is ours"),
        ("MasterUserSecret.KmsKeyId", "is ours"),
        ("PerformanceInsightsKMSKeyId", "is ours"),
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "the instance can be reached from elsewhere, or where scanners ask first",
        ("PubliclyAccessible", "is", False),
        ("DBSubnetGroupName", "is ours"),
        ("VPCSecurityGroups.*", "is ours"),
        ("Port", "is", lambda stage: stage.database.port),
        ("Port", "is not", "5432"),
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "the master password is not RDS's to manage, or IAM logins are off",
        ("ManageMasterUserPassword", "is", True),
        ("MasterUserPassword", "is not set"),
        ("EnableIAMDatabaseAuthentication", "is", True),
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "what happens in it is not told, or its own parameters do not hold",
        ("EnableCloudwatchLogsExports", "lists", ("postgresql", "upgrade")),
        ("MonitoringInterval", "one of", (1, 5, 10, 15, 30, 60)),
        ("MonitoringRoleArn", "is ours"),
        ("EnablePerformanceInsights", "is", True),
        ("DBParameterGroupName", "is ours"),
    ),
    *promises(
        "Signalbox-Database",
        _DATABASE,
        "known flaws stay, its certificate is of another authority, or snapshots lose what says whose they are",
        ("AutoMinorVersionUpgrade", "is", True),
        ("Engine", "is", "postgres"),
        ("EngineVersion", "matches", r"^1[89](\.|$)|^[2-9]\d"),
        ("CACertificateIdentifier", "matches", "^rds-ca-(rsa2048|rsa4096|ecc384)-g1$"),
        ("CopyTagsToSnapshot", "is", True),
    ),
    *promises(
        "Signalbox-Parameters",
        "AWS::RDS::DBParameterGroup",
        "the database would accept connections without TLS, or with an old one",
        (r"Parameters.rds\.force_ssl", "is", "1"),
        ("Parameters.ssl_min_protocol_version", "one of", ("TLSv1.2", "TLSv1.3")),
    ),
    *promises(
        "Signalbox-Parameters",
        "AWS::RDS::DBParameterGroup",
        "a password would be kept or sent so that a listener can use it",
        ("Parameters.password_encryption", "is", "scram-sha-256"),
        (r"Parameters.rds\.accepted_password_auth_method", "is", "scram"),
    ),
    *promises(
        "Signalbox-Parameters",
        "AWS::RDS::DBParameterGroup",
        "who did what in the database would not be recorded",
        ("Parameters.log_connections", "one of", ("all", "1")),
        ("Parameters.log_disconnections", "is", "1"),
        ("Parameters.shared_preload_libraries", "lists", ("pgaudit",)),
        (r"Parameters.pgaudit\.log", "lists", ("ddl", "role", "write")),
        ("Family", "matches", "^postgres(1[89]|[2-9]\\d)$"),
    ),
    *promises(
        "Signalbox-Parameters",
        "AWS::RDS::DBParameterGroup",
        "values of statements would get into the log",
        (r"Parameters.pgaudit\.log_parameter", "one of", ("0", "off")),
        ("Parameters.log_statement", "is", "none"),
        ("Parameters.log_min_duration_statement", "is", "-1"),
        ("Parameters.log_min_duration_sample", "one of", (None, "-1")),
        (r"Parameters.auto_explain\.log_min_duration", "one of", (None, "-1")),
        ("Parameters.log_parameter_max_length", "is", "0"),
        ("Parameters.log_parameter_max_length_on_error", "is", "0"),
        ("Parameters.log_error_verbosity", "is", "terse"),
    ),
    *promises(
        "Signalbox-DatabaseSubnets",
        "AWS::RDS::DBSubnetGroup",
        "the database has no second zone, or stands in a foreign subnet",
        ("SubnetIds", "has elements", 2),
        ("SubnetIds.*", "is ours"),
    ),
)

BACKUPS: Final = (
    *promises(
        "Signalbox-Backup",
        "AWS::Backup::BackupVault",
        "copies are not encrypted with a key of ours",
        ("EncryptionKeyArn", "is ours"),
    ),
    *promises(
        "Signalbox-Backup",
        "AWS::Backup::BackupPlan",
        "copies are made seldom, are gone too early, or lie in another vault",
        ("BackupPlan.BackupPlanRule.*.Lifecycle.DeleteAfterDays", "at least", 35),
        ("BackupPlan.BackupPlanRule.?.Lifecycle.DeleteAfterDays", "at least", 365),
        ("BackupPlan.BackupPlanRule.?.ScheduleExpression", "matches", r"^cron\(\d+ \d+ \* \* \? \*\)$"),
        ("BackupPlan.BackupPlanRule.*.ScheduleExpression", "matches", r"^cron\(\d+ \d+ (\*|1) \* \? \*\)$"),
        ("BackupPlan.BackupPlanRule", "has elements", 2),
        ("BackupPlan.BackupPlanRule.*.TargetBackupVault", "is ours"),
    ),
    *promises(
        "Signalbox-Backup",
        "AWS::Backup::BackupSelection",
        "what is copied, or who copies it, is not ours",
        ("BackupSelection.Resources.*", "is ours"),
        ("BackupSelection.IamRoleArn", "is ours"),
        ("BackupPlanId", "is ours"),
    ),
)

BUCKETS: Final = (
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "the bucket, or an object in it, could be opened to everyone",
        ("PublicAccessBlockConfiguration.BlockPublicAcls", "is", True),
        ("PublicAccessBlockConfiguration.BlockPublicPolicy", "is", True),
        ("PublicAccessBlockConfiguration.IgnorePublicAcls", "is", True),
        ("PublicAccessBlockConfiguration.RestrictPublicBuckets", "is", True),
        ("OwnershipControls.Rules.*.ObjectOwnership", "is", "BucketOwnerEnforced"),
        ("AccessControl", "is not set"),
        ("WebsiteConfiguration", "is not set"),
        ("ReplicationConfiguration", "is not set"),
    ),
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "what is overwritten or deleted is gone",
        ("VersioningConfiguration.Status", "is", "Enabled"),
        ("LifecycleConfiguration.Rules.*.ExpirationInDays", "at least, if set", SIX_YEARS),
        ("LifecycleConfiguration.Rules.*.ExpirationDate", "is not set"),
        ("LifecycleConfiguration.Rules.*.NoncurrentVersionExpirationInDays", "is not set"),
        ("LifecycleConfiguration.Rules.*.NoncurrentVersionExpiration.NewerNoncurrentVersions", "is not set"),
    ),
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "what is overwritten or deleted is gone before six years are over",
        (
            "LifecycleConfiguration.Rules.*.NoncurrentVersionExpiration.NoncurrentDays",
            "at least, if set",
            SIX_YEARS,
        ),
        never=_LOG_BUCKET,
    ),
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "a record that is deleted cannot be brought back within a month",
        ("LifecycleConfiguration.Rules.*.NoncurrentVersionExpiration.NoncurrentDays", "at least, if set", 30),
        only=_LOG_BUCKET,
    ),
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "objects are not encrypted with a key of ours",
        (f"{_ENCRYPTION}.SSEAlgorithm", "one of", ("aws:kms", "aws:kms:dsse")),
        (f"{_ENCRYPTION}.KMSMasterKeyID", "is ours"),
        never=_LOG_BUCKET,
    ),
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "records of requests are not encrypted",
        (f"{_ENCRYPTION}.SSEAlgorithm", "one of", ("AES256", "aws:kms")),
        only=_LOG_BUCKET,
    ),
    *promises(
        "Signalbox-Bucket",
        _BUCKET,
        "requests to the bucket are not recorded, or elsewhere than where they are kept",
        ("LoggingConfiguration.DestinationBucketName", "is ours"),
        ("LoggingConfiguration.LogFilePrefix", "matches", "^(documents|trail)/$"),
        never=_LOG_BUCKET,
    ),
)
