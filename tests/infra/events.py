"""Events as CloudTrail, Cognito and the subnet router write them, each with the alarms that it has to ring.

Names of calls are CloudTrail's: Lambda's carry the version of its interface, S3's configuration calls have names of$
their own. What rings nothing is here, too: reads, what users do for themselves, what the service does all day.
"""

from __future__ import annotations

from typing import Any


def call(source: str, name: str, **more: Any) -> dict[str, Any]:
    """One call, by an operator."""
    return {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AssumedRole", "principalId": "AROA:op", "accountId": "111122223333"},
        "eventTime": "2026-11-26T12:00:00Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "eventType": "AwsApiCall",
        "managementEvent": True,
        **more,
    }


def ending(days: int) -> dict[str, Any]:
    """What IAM Roles Anywhere says each day of a certificate that ends soon."""
    return {
        "version": "0",
        "detail-type": "Roles Anywhere Certificate Expiration State Change",
        "source": "aws.rolesanywhere",
        "account": "111122223333",
        "region": "us-east-1",
        "detail": {"certificate-serial-number": "00936EACBE07F201DF", "days-to-expiry": days, "issuer": "CN=x"},
    }


# Alarm -> source and names of calls.
RING: dict[str, tuple[tuple[str, str], ...]] = {
    "PolicyChange": (
        ("iam", "PutRolePolicy PutUserPolicy PutGroupPolicy PutRolePermissionsBoundary PutUserPermissionsBoundary"),
        ("iam", "AttachRolePolicy AttachUserPolicy AttachGroupPolicy DetachRolePolicy DetachUserPolicy"),
        ("iam", "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion SetDefaultPolicyVersion"),
        ("iam", "DeleteRolePolicy DeleteUserPolicy DeleteGroupPolicy UpdateAssumeRolePolicy"),
        ("iam", "DeleteRolePermissionsBoundary DeleteUserPermissionsBoundary"),
    ),
    "CredentialsMade": (
        ("iam", "CreateAccessKey UpdateAccessKey CreateLoginProfile UpdateLoginProfile CreateUser AddUserToGroup"),
        ("iam", "CreateServiceSpecificCredential UploadSigningCertificate"),
        ("iam", "CreateSAMLProvider UpdateSAMLProvider CreateOpenIDConnectProvider AddClientIDToOpenIDConnectProvider"),
        ("iam", "DeactivateMFADevice"),
    ),
    "KeyEndangered": (
        ("kms", "DisableKey ScheduleKeyDeletion PutKeyPolicy DisableKeyRotation DeleteAlias UpdateAlias"),
        ("kms", "DeleteImportedKeyMaterial"),
    ),
    "RolesAnywhereChange": (
        ("rolesanywhere", "CreateTrustAnchor UpdateTrustAnchor EnableTrustAnchor DisableTrustAnchor DeleteTrustAnchor"),
        ("rolesanywhere", "CreateProfile UpdateProfile EnableProfile DisableProfile DeleteProfile ImportCrl DeleteCrl"),
        ("rolesanywhere", "PutAttributeMapping DeleteAttributeMapping ResetNotificationSettings"),
    ),
    "TrailChange": (("cloudtrail", "StopLogging DeleteTrail UpdateTrail PutEventSelectors PutInsightSelectors"),),
    "WatchChange": (
        ("logs", "DeleteLogGroup DeleteLogStream DeleteMetricFilter PutMetricFilter PutRetentionPolicy"),
        ("logs", "DeleteRetentionPolicy DisassociateKmsKey"),
        ("monitoring", "DeleteAlarms DisableAlarmActions PutMetricAlarm SetAlarmState"),
        ("sns", "DeleteTopic Unsubscribe SetTopicAttributes SetSubscriptionAttributes RemovePermission AddPermission"),
        ("events", "DeleteRule DisableRule RemoveTargets PutRule PutTargets"),
    ),
    "BucketChange": (
        ("s3", "PutBucketPolicy DeleteBucketPolicy PutBucketAcl PutBucketPublicAccessBlock PutBucketVersioning"),
        ("s3", "DeleteBucketPublicAccessBlock PutBucketEncryption DeleteBucketEncryption PutBucketLifecycle"),
        ("s3", "DeleteBucketLifecycle PutBucketLogging PutBucketReplication PutBucketOwnershipControls DeleteBucket"),
        ("s3", "PutAccountPublicAccessBlock DeleteAccountPublicAccessBlock PutBucketNotification PutBucketCors"),
    ),
    "NetworkChange": (
        ("ec2", "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress"),
        ("ec2", "RevokeSecurityGroupEgress ModifySecurityGroupRules CreateRoute ReplaceRoute DeleteRoute"),
        ("ec2", "AssociateRouteTable ReplaceRouteTableAssociation DisassociateRouteTable AttachInternetGateway"),
        ("ec2", "CreateVpcPeeringConnection AcceptVpcPeeringConnection DeleteFlowLogs ModifySubnetAttribute"),
        ("ec2", "ModifyVpcEndpoint ModifyInstanceAttribute"),
    ),
    "PoolUserChange": (
        ("cognito-idp", "AdminCreateUser AdminUpdateUserAttributes AdminDeleteUserAttributes AdminSetUserPassword"),
        ("cognito-idp", "AdminLinkProviderForUser AdminDisableProviderForUser AdminSetUserMFAPreference"),
        ("cognito-idp", "AdminEnableUser AdminAddUserToGroup AdminSetUserSettings CreateUserImportJob"),
    ),
    "PoolChange": (
        ("cognito-idp", "UpdateUserPool DeleteUserPool SetUserPoolMfaConfig SetRiskConfiguration AddCustomAttributes"),
        ("cognito-idp", "CreateUserPoolClient UpdateUserPoolClient DeleteUserPoolClient CreateUserPoolDomain"),
        ("cognito-idp", "UpdateUserPoolDomain DeleteUserPoolDomain CreateIdentityProvider UpdateIdentityProvider"),
        ("cognito-idp", "DeleteIdentityProvider CreateResourceServer UpdateResourceServer DeleteResourceServer"),
        ("cognito-idp", "SetLogDeliveryConfiguration AddUserPoolClientSecret"),
    ),
    "TokenFunctionChange": (
        ("lambda", "UpdateFunctionConfiguration20150331v2 UpdateFunctionCode20150331v2 DeleteFunction20150331"),
        ("lambda", "AddPermission20150331v2 RemovePermission20150331v2 PutFunctionConcurrency20171031"),
        ("lambda", "DeleteFunctionConcurrency20171031 UpdateFunctionConfiguration20200731"),
    ),
    "BackupEndangered": (
        ("backup", "DeleteRecoveryPoint DeleteBackupVault DeleteBackupPlan DeleteBackupSelection UpdateBackupPlan"),
        ("backup", "PutBackupVaultAccessPolicy DeleteBackupVaultAccessPolicy DisassociateRecoveryPoint"),
        ("backup", "UpdateRecoveryPointLifecycle DeleteBackupVaultLockConfiguration StopBackupJob StartCopyJob"),
        ("rds", "DeleteDBInstance DeleteDBSnapshot DeleteDBInstanceAutomatedBackup ModifyDBSnapshotAttribute"),
        ("rds", "ModifyDBInstance CopyDBSnapshot StartExportTask"),
    ),
    "SecretChange": (
        ("secretsmanager", "DeleteSecret PutResourcePolicy DeleteResourcePolicy UpdateSecret"),
        ("secretsmanager", "CancelRotateSecret ReplicateSecretToRegions"),
    ),
}

# What rings nothing.
QUIET: tuple[tuple[str, str], ...] = (
    ("iam", "GetRolePolicy ListPolicies ListAttachedRolePolicies SimulatePrincipalPolicy GetAccountSummary"),
    ("iam", "GenerateCredentialReport ListAccessKeys GetUser"),
    ("kms", "Decrypt GenerateDataKey Sign GetPublicKey DescribeKey ListAliases GetKeyPolicy CreateGrant"),
    ("rolesanywhere", "CreateSession GetTrustAnchor ListProfiles ListTrustAnchors GetProfile"),
    ("cloudtrail", "LookupEvents DescribeTrails GetTrailStatus StartLogging"),
    ("logs", "CreateLogStream DescribeLogGroups FilterLogEvents GetLogEvents StartQuery CreateLogGroup"),
    ("monitoring", "DescribeAlarms GetMetricData"),
    ("s3", "GetBucketPolicy ListBuckets GetBucketAcl PutObject GetObject DeleteObject HeadBucket ListObjects"),
    ("ec2", "DescribeInstances DescribeSecurityGroups RunInstances TerminateInstances CreateTags"),
    ("cognito-idp", "InitiateAuth RespondToAuthChallenge GlobalSignOut ForgotPassword ChangePassword"),
    ("cognito-idp", "UpdateUserAttributes SetUserMFAPreference DescribeUserPool AdminGetUser ListUsers RevokeToken"),
    ("cognito-idp", "DescribeUserPoolClient DescribeIdentityProvider GetUser VerifySoftwareToken"),
    ("lambda", "Invoke GetFunction20150331v2 ListFunctions20150331 GetPolicy20150331v2"),
    ("backup", "ListRecoveryPointsByBackupVault StartBackupJob DescribeBackupVault GetBackupPlan BackupJobCompleted"),
    ("rds", "DescribeDBInstances CreateDBSnapshot DownloadDBLogFilePortion"),
    ("secretsmanager", "GetSecretValue DescribeSecret ListSecrets RotateSecret PutSecretValue"),
    ("sts", "AssumeRole GetCallerIdentity"),
)
