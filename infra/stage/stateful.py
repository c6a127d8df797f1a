"""Which types of resources hold what cannot be made again: kept when a stack goes, lost only when named by a person."""

from __future__ import annotations

from typing import Final

STATEFUL: Final = (
    "AWS::KMS::Key",
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBParameterGroup",
    "AWS::Backup::BackupVault",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::Cognito::UserPool",
    "AWS::Logs::LogGroup",
)
