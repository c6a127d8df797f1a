"""The table of controls. Citations are of 45 CFR part 164: subpart C is the Security Rule, E the Privacy Rule."""

from __future__ import annotations

from typing import Final

from infra.docs.hipaa.evidence import ByPerson, ByRule, ByTemplate, ByTest, Control

ACCESS, AUDIT, ENCRYPTION = "Access control and authentication", "Audit controls and logging", "Encryption and keys"
INTEGRITY, TRANSMISSION = "Integrity, backup and recovery", "Transmission security"
MINIMUM, NETWORK = "De-identification and data minimisation", "Network segmentation"
AGREEMENTS, PROCESS = "Business associate agreements", "Policies, training, evaluation"

_SERVICE: Final = "tests/service"
_ISOLATION: Final = f"{_SERVICE}/database/test_isolation.py"
_REQUEST: Final = f"{_SERVICE}/http/test_request.py"
_TOKENS: Final = f"{_SERVICE}/auth/tokens/test_tokens.py"
_LOG: Final = f"{_SERVICE}/test_log.py"

CONTROLS: Final = (
    Control(
        ACCESS,
        "Unique user identification",
        "164.312(a)(2)(i)",
        "required",
        "implemented",
        "A caller is (issuer, subject) of a verified token, on every log line of the request; nobody signs up by "
        "themselves, and no login is shared.",
        (
            ByTest(f"{_TOKENS}::test_a_good_token_names_its_principal"),
            ByTest(f"{_LOG}::test_nothing_of_what_a_caller_sent_reaches_the_log"),
            ByTemplate("AWS::Cognito::UserPool", "AdminCreateUserConfig.AllowAdminCreateUserOnly", "is", True),
        ),
    ),
    Control(
        ACCESS,
        "Access control",
        "164.312(a)(1)",
        "standard",
        "implemented",
        "Every route is protected unless it says otherwise, and an application with an unguarded route does not "
        "start. A tenant's rows are isolated by forced row level security under a login that cannot get round it.",
        (
            ByTest(f"{_REQUEST}::test_nobody_enters_without_a_token"),
            ByTest(f"{_REQUEST}::test_a_route_that_no_gate_guards_keeps_the_application_from_starting"),
            ByTest(f"{_ISOLATION}::test_a_tenant_sees_its_own_rows_and_no_others"),
            ByTest(f"{_ISOLATION}::test_every_table_with_a_tenant_is_isolated_even_from_its_owner"),
            ByTest(f"{_ISOLATION}::test_the_application_login_cannot_get_round_the_policy"),
            ByTest("tests/infra/test_iam.py::test_the_service_may_not"),
            ByRule("HIPAA.Security-IAMPolicyNoStatementsWithAdminAccess"),
            ByRule("HIPAA.Security-IAMPolicyNoStatementsWithFullAccess"),
            ByRule("HIPAA.Security-RDSInstancePublicAccess"),
            ByRule("HIPAA.Security-S3BucketLevelPublicAccessProhibited"),
        ),
    ),
    Control(
        ACCESS,
        "Person or entity authentication",
        "164.312(d)",
        "standard",
        "implemented",
        "Tokens are verified to the letter and live for an hour at most; in the user pool a second factor is "
        "required, and no user can write the tenant.",
        (
            ByTest(f"{_TOKENS}::test_wrong_claims"),
            ByTest(f"{_TOKENS}::test_wrong_headers"),
            ByTest(f"{_TOKENS}::test_forgeries"),
            ByTest(f"{_SERVICE}/auth/oidc/test_relying_party.py::test_an_id_token_that_breaks_a_rule_is_refused"),
            ByTest(f"{_SERVICE}/auth/saml/test_attacks.py::test_no_variant_of_a_good_response_is_accepted"),
            ByTest(f"{_SERVICE}/auth/saml/test_flow.py::test_neither_tenants_provider_can_speak_for_the_other"),
            ByTest("tests/infra/test_deploy.py::test_a_user_without_a_tenant_gets_no_token"),
            ByTest("tests/infra/test_deploy.py::test_a_user_with_a_tenant_has_it_in_both_tokens_and_cannot_change_it"),
            ByTemplate("AWS::Cognito::UserPool", "MfaConfiguration", "is", "ON"),
            ByTemplate("AWS::Cognito::UserPool", "UserPoolTier", "is", "PLUS"),
            ByTemplate("AWS::Cognito::UserPool", "Policies.PasswordPolicy.MinimumLength", "at least", 14),
        ),
    ),
    Control(
        ACCESS,
        "Automatic logoff",
        "164.312(a)(2)(iii)",
        "addressable",
        "shared",
        "Tokens end after 60 minutes at most, refresh tokens after 12 hours. An idle timer belongs to your front "
        "end: the pool's own login cookie lives for an hour whatever the token does.",
        (
            ByTest(f"{_TOKENS}::test_wrong_claims"),
            ByTest(f"{_SERVICE}/auth/saml/test_flow.py::test_a_logout_reaches_every_replica"),
            ByTemplate("AWS::Cognito::UserPoolClient", "AccessTokenValidity", "at most", 60),
            ByTemplate("AWS::Cognito::UserPoolClient", "RefreshTokenValidity", "at most", 720),
            ByPerson("front end team", "sign out after 15 minutes without use, through the logout route"),
        ),
    ),
    Control(
        ACCESS,
        "Emergency access procedure",
        "164.312(a)(2)(ii)",
        "required",
        "shared",
        "Data can be restored to any second of the last 30 days and more. Who may do so in an emergency, and how it is "
        "recorded, is your procedure.",
        (
            ByTemplate("AWS::RDS::DBInstance", "BackupRetentionPeriod", "at least", 30),
            ByRule("HIPAA.Security-RDSInBackupPlan"),
            ByPerson("security officer", "name the people, and rehearse it"),
        ),
    ),
    Control(
        ACCESS,
        "Access authorisation by role",
        "164.308(a)(4)(ii)(B)",
        "addressable",
        "planned",
        "Role based access control is a later feature; today a user sees everything of the own tenant.",
        (ByPerson("product team", "see docs/API_ARCHITECTURE.md, where later features go"),),
    ),
    Control(
        AUDIT,
        "Audit controls",
        "164.312(b)",
        "standard",
        "shared",
        "Every request leaves one line with request, tenant and user id, every refusal its reason; the network, the"
        " database, the bucket and sign-ins are logged in AWS. The application's own immutable audit log is a later"
        " feature.",
        (
            ByTest(f"{_LOG}::test_one_request_id_joins_the_answer_and_every_line"),
            ByRule("HIPAA.Security-VPCFlowLogsEnabled"),
            ByRule("HIPAA.Security-S3BucketLoggingEnabled"),
            ByRule("HIPAA.Security-RDSLoggingEnabled"),
            ByTemplate("AWS::Cognito::LogDeliveryConfiguration", "LogConfigurations"),
            ByPerson("product team", "write audit events to an append-only table, see docs/API_ARCHITECTURE.md"),
        ),
    ),
    Control(
        AUDIT,
        "Log retention",
        "164.316(b)(2)(i)",
        "required",
        "implemented",
        "Log groups are kept for six years. (The rule asks it of documentation; six years for logs is the usual "
        "choice.)",
        (
            ByTemplate("AWS::Logs::LogGroup", "RetentionInDays", "at least", 2192),
            ByRule("HIPAA.Security-CloudWatchLogGroupRetentionPeriod"),
        ),
    ),
    Control(
        AUDIT,
        "Log-in monitoring",
        "164.308(a)(5)(ii)(C)",
        "addressable",
        "implemented",
        "Threat protection watches sign-ins, their events are kept, and failed ones raise an alarm.",
        (
            ByTemplate("AWS::Cognito::LogDeliveryConfiguration", "LogConfigurations"),
            ByTemplate("AWS::Cognito::UserPool", "UserPoolAddOns.AdvancedSecurityMode", "is", "ENFORCED"),
        ),
    ),
    Control(
        AUDIT,
        "Activity review",
        "164.308(a)(1)(ii)(D)",
        "required",
        "shared",
        "Alarms go to an encrypted topic in every state. Somebody has to read them.",
        (
            ByRule("HIPAA.Security-CloudWatchAlarmAction"),
            ByRule("HIPAA.Security-SNSEncryptedKMS"),
            ByPerson("security officer", "subscribe to the topic; review logs on a schedule"),
        ),
    ),
    Control(
        ENCRYPTION,
        "Encryption at rest",
        "164.312(a)(2)(iv)",
        "addressable",
        "implemented",
        "Database, documents, secrets and logs are encrypted with customer-managed keys that rotate; S3's own access "
        "logs with S3's key, as docs/INFRASTRUCTURE.md registers.",
        (
            ByTemplate("AWS::RDS::DBInstance", "StorageEncrypted", "is", True),
            ByTemplate("AWS::RDS::DBInstance", "KmsKeyId"),
            ByTemplate("AWS::SecretsManager::Secret", "KmsKeyId"),
            ByTemplate("AWS::Logs::LogGroup", "KmsKeyId"),
            ByRule("HIPAA.Security-S3DefaultEncryptionKMS"),
            ByRule("HIPAA.Security-RDSStorageEncrypted"),
            ByRule("HIPAA.Security-CloudWatchLogGroupEncrypted"),
            ByRule("HIPAA.Security-SecretsManagerUsingKMSKey"),
        ),
    ),
    Control(
        ENCRYPTION,
        "Secrets",
        "164.308(a)(4)(ii)(B)",
        "addressable",
        "implemented",
        "AWS makes the service's secrets, no template holds one, and production refuses a value where a name belongs. "
        "Two keys cannot come from there and are sealed on Railway: of the client certificate, and of the tunnel. A "
        "rotated password is picked up without a restart.",
        (
            ByTest(f"{_SERVICE}/settings/test_settings.py::test_production_refuses_and_names_the_variable"),
            ByTest("tests/local/test_up.py::test_the_environment_that_the_api_runs_from_holds_no_secret"),
            ByTest("tests/railway/test_environment.py::test_a_secret_among_the_plain_values_stops_the_rendering"),
            ByTest("tests/railway/test_apply.py::test_no_request_but_the_patch_ever_holds_a_sealed_value"),
            ByTest(f"{_SERVICE}/database/test_rotation.py::test_a_rotation_under_load_fails_no_request"),
            ByRule("HIPAA.Security-SecretsManagerRotationEnabled"),
        ),
    ),
    Control(
        ENCRYPTION,
        "A key per tenant",
        "164.312(a)(2)(iv)",
        "addressable",
        "planned",
        "One key encrypts the data of all tenants today; a key per tenant belongs to the document feature.",
        (ByPerson("product team", "see docs/API_ARCHITECTURE.md"),),
    ),
    Control(
        INTEGRITY,
        "Integrity",
        "164.312(c)(1)",
        "standard",
        "implemented",
        "A write is committed before it is answered, and nothing half done stays behind; objects are versioned.",
        (
            ByTest(f"{_ISOLATION}::test_what_was_answered_is_committed"),
            ByTest(
                f"{_ISOLATION}::test_after_an_error_in_mid_transaction_the_next_request_sees_its_own_tenant",
            ),
            ByRule("HIPAA.Security-S3BucketVersioningEnabled"),
        ),
    ),
    Control(
        INTEGRITY,
        "Contingency plan: backup and recovery",
        "164.308(a)(7)",
        "standard",
        "shared",
        "Multi-AZ, automated backups of 30 days and more, a backup vault, deletion protection. Restoring has to be "
        "rehearsed.",
        (
            ByTemplate("AWS::RDS::DBInstance", "MultiAZ", "is", True),
            ByTemplate("AWS::RDS::DBInstance", "BackupRetentionPeriod", "at least", 30),
            ByTemplate("AWS::RDS::DBInstance", "DeletionProtection", "is", True),
            ByRule("HIPAA.Security-RDSMultiAZSupport"),
            ByRule("HIPAA.Security-RDSInBackupPlan"),
            ByPerson("operator", "restore into a scratch instance twice a year, and write down how long it took"),
        ),
    ),
    Control(
        INTEGRITY,
        "Availability while dependencies fail",
        "164.308(a)(7)(ii)(C)",
        "required",
        "implemented",
        "The service starts and stays up while the database, an identity provider or the secrets store is down, and "
        "recovers without a restart.",
        (
            ByTest(f"{_SERVICE}/database/test_outage.py::test_it_starts_while_the_database_is_down"),
            ByTest(
                f"{_SERVICE}/database/test_outage.py::"
                "test_a_database_that_stopped_is_told_in_time_and_used_again_without_a_restart"
            ),
            ByTest(f"{_SERVICE}/auth/tokens/test_keys.py::test_known_keys_serve_through_an_outage_until_the_hard_age"),
        ),
    ),
    Control(
        TRANSMISSION,
        "Transmission security",
        "164.312(e)(1)",
        "standard",
        "implemented",
        "TLS 1.2 or newer everywhere: HSTS to clients, verify-full to the database (production refuses less), the "
        "database and the bucket refuse anything else.",
        (
            ByTest(f"{_REQUEST}::test_every_answer_has_one_shape_and_the_security_headers"),
            ByTest(f"{_SERVICE}/settings/test_settings.py::test_production_refuses_and_names_the_variable"),
            ByTest(f"{_SERVICE}/database/test_proxy.py::test_what_is_not_the_database_is_refused_as_an_outage"),
            ByRule("HIPAA.Security-S3BucketSSLRequestsOnly"),
        ),
    ),
    Control(
        MINIMUM,
        "No health information in logs, errors and addresses",
        "164.502(b)",
        "standard",
        "implemented",
        "Nothing of a body, query, path, header or token reaches the log or an error; foreign messages are dropped.",
        (
            ByTest(f"{_LOG}::test_nothing_of_what_a_caller_sent_reaches_the_log"),
            ByTest(f"{_LOG}::test_libraries_warnings_and_a_dying_process_speak_the_same_language"),
            ByTest(f"{_SERVICE}/auth/saml/test_flow.py::test_nothing_of_an_assertion_is_in_the_log"),
        ),
    ),
    Control(
        MINIMUM,
        "De-identification",
        "164.514(a)",
        "standard",
        "planned",
        "De-identification before storage and scrubbing of model output belong to the document feature.",
        (ByPerson("product team", "see docs/API_ARCHITECTURE.md"),),
    ),
    Control(
        NETWORK,
        "Network segmentation",
        "164.312(e)(1)",
        "standard",
        "implemented",
        "The database is in isolated subnets without a route to the internet, its group admits named peers only, the "
        "default group admits nobody, and all traffic is logged.",
        (
            ByTemplate("AWS::RDS::DBInstance", "PubliclyAccessible", "is", False),
            ByRule("HIPAA.Security-VPCFlowLogsEnabled"),
            ByRule("HIPAA.Security-VPCDefaultSecurityGroupClosed"),
            ByRule("HIPAA.Security-VPCSubnetAutoAssignPublicIpDisabled"),
            ByRule("HIPAA.Security-EC2RestrictedSSH"),
        ),
    ),
    Control(
        AGREEMENTS,
        "Agreement with AWS",
        "164.314(a)",
        "required",
        "customer",
        "AWS offers its agreement in AWS Artifact. Use the services it covers only.",
        (ByPerson("security officer", "accept it before any health information arrives"),),
    ),
    Control(
        AGREEMENTS,
        "Agreement with Railway",
        "164.314(a)",
        "required",
        "customer",
        "Railway signs one from 1,000 US dollars a month of committed spend with a one-year commitment, for a Pro "
        "workspace (docs.railway.com/pricing/committed-spend).",
        (
            ByTest(
                "tests/railway/test_deploy.py::"
                "test_production_is_not_applied_without_the_agreement_whatever_step_is_run"
            ),
            ByPerson("security officer", "sign it before any health information arrives"),
        ),
    ),
    Control(
        AGREEMENTS,
        "Agreements with everybody else",
        "164.314(a)",
        "required",
        "customer",
        "The identity provider, e-mail, error tracking, log sinks. For the tunnel (Tailscale) no public statement "
        "was found: it carries ciphertext only, because TLS to the database is verified from end to end.",
        (ByPerson("security officer", "list them, with the date of each agreement"),),
    ),
    Control(
        PROCESS,
        "Risk analysis",
        "164.308(a)(1)(ii)(A)",
        "required",
        "customer",
        "Software cannot do it for you.",
        (ByPerson("security officer", "write it, and review it every year"),),
    ),
    Control(
        PROCESS,
        "Security incident procedures",
        "164.308(a)(6)",
        "standard",
        "customer",
        "Who is called, who decides, who informs patients and authorities (164.400 to 164.414), and within which time.",
        (ByPerson("security officer", "write it, and rehearse it"),),
    ),
    Control(
        PROCESS,
        "Workforce security and training",
        "164.308(a)(3), (a)(5)",
        "standard",
        "customer",
        "Access of people to Railway, AWS and the identity provider, its end when they leave, and their training.",
        (ByPerson("security officer", "keep records of both"),),
    ),
    Control(
        PROCESS,
        "Protection from known flaws",
        "164.308(a)(5)(ii)(A)",
        "addressable",
        "shared",
        "Versions are pinned in lock files from public indexes, floors say which advisory they answer, the database"
        " takes minor versions by itself. Scanning and penetration tests are yours.",
        (
            ByTemplate("AWS::RDS::DBInstance", "AutoMinorVersionUpgrade", "is", True),
            ByPerson("operator", "scan dependencies and image every week; a penetration test every year"),
        ),
    ),
    Control(
        PROCESS,
        "Evaluation",
        "164.308(a)(8)",
        "standard",
        "shared",
        "This page is checked at every change. In the account itself: CloudTrail in every region, GuardDuty, "
        "Security Hub, root without keys and with a second factor; `prowler aws --compliance hipaa_aws` shows it.",
        (
            ByTest("tests/infra/test_hipaa.py::test_every_control_is_backed_by_its_evidence"),
            ByPerson("security officer", "run the account's own checks every month"),
        ),
    ),
)
