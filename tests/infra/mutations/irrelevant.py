"""What carries no promise, and what no gate sees: two tables, with reasons.

A row is a pattern over ``logical id, type, path, kind``. The test fails for a row that matches nothing, and for one
that matches what a gate does see: were that gate switched off, the row would hide it.
"""

from __future__ import annotations

from typing import Final

_WAYS: Final = "remove|drop|empty|change|open to another account"
_CUSTOM: Final = "^CustomVpcRestrictDefaultSGCustomResourceProvider"

# No less safe: longer, smaller, dearer, unlike in name; or it takes away a right, or a way, that the product needs,
# which a deployment, readiness or an alarm shows at once and which opens nothing. These do not count.
IRRELEVANT: Final = (
    (
        r"(Description|TagSpecifications\S*|VerificationMessage|VerificationSubject|TemplateSmsMessage) ",
        "words",
    ),
    (r"^(?!RouterGroup).*[ .]Tags\S* ", "words"),
    (r"^RouterGroup\S* .*PropagateAtLaunch", "the tag of the group is what counts"),
    (r"AWS::Events::Rule Targets\.0\.Id ", "names"),
    (r"(TagSpecifications|VerificationMessageTemplate)", "words"),
    (
        r"[ .](AliasName|ClientName|TrailName|UserPoolName|AlarmName|BackupPlanName|BackupVaultName|RuleName|"
        r"SelectionName|DBInstanceIdentifier|DBName|MasterUsername|DeviceName|Identifier|ScopeName|Domain|Rules\.0\.Id|Path|"
        r"PolicyName|GenerateStringKey|SecretStringTemplate) (remove|change)$",
        "names; test_no_two_stages_of_an_account_give_anything_the_same_name and the deployment tests read them",
    ),
    (r"(TrustAnchor|Profile|Secret|ResourceServer) Name (remove|change)$", "names"),
    (
        r"(AllocatedStorage|DBInstanceClass|StorageType|VolumeSize|VolumeType|EbsOptimized|InstanceType|MaxSize|"
        r"MemorySize|Architectures\S*|BucketKeyEnabled|DatabaseInsightsMode|PerformanceInsightsRetentionPeriod|"
        r"InstanceTenancy|DeviceIndex) ",
        "size, speed, price",
    ),
    (r"ReservedConcurrentExecutions widen to 1000000000$", "more sign-ins at once"),
    (r"^PreToken.* Timeout shorten to [01]$", "what is cut short gives no token"),
    (r"^Budget ", "money"),
    (
        r"(Validity|AuthSessionValidity|RetryGracePeriodSeconds|DurationSeconds|MaxSessionDuration|MaxInstanceLifetime|"
        r"HttpPutResponseHopLimit|MaxLength|TemporaryPasswordValidityDays|RotationPeriodInDays) shorten to [01]$",
        "sooner over is safer; none at all is refused by AWS",
    ),
    (r"(MaxSessionDuration|RotationPeriodInDays) remove$", "AWS's default is what we write: an hour, a year"),
    (
        r"(RetentionInDays|BackupRetentionPeriod|DeleteAfterDays|PendingWindowInDays|PasswordLength|MinimumLength|"
        r"MinLength|PasswordHistorySize|NoncurrentDays|ExpirationInDays) widen to 1000000000$",
        "longer is safer",
    ),
    (
        r"LifecycleConfiguration(|\.Rules|\.Rules\.0|\.Rules\.0\.(Status|ExpirationInDays|NoncurrentVersionExpiration"
        r"(\.NoncurrentDays)?)) (remove|drop|empty|change)$",
        "without the rule everything is kept for ever",
    ),
    (r"AbortIncompleteMultipartUpload", "parts of an upload that never became an object"),
    (r"AccountRecoverySetting.*Priority", "there is one"),
    (r"ExcludePunctuation", "48 letters and digits are 285 bits"),
    (r"^SecretsRouterKey .* GenerateSecretString remove$", "a place for what Tailscale makes"),
    (r"MonitoringInterval shorten to 1$", "the least interval is the most detail"),
    (r"drop pg_stat_statements", "figures for tuning"),
    (r"ManagedPolicyArns(|\.0) (remove|drop|empty)$", "a right less: what needs it stops, and says so"),
    (
        r"drop statement (ReadOwnKey|DecryptOwnKey|ReadSecrets|UseKeyThroughServices|SignTokens|"
        r"TenantDocuments(Key)?|TenantKey|Own(DocumentsKey|KeyOpens|KeyEncrypts)|ActForOneTenant|DatabaseLogin|Heartbeat|"
        r"BeManaged|FindOwnGroup|TellOwnGroup|SignalOwnStack|TellTopic|TopicKey)$",
        "a right less: what needs it stops, and readiness says so",
    ),
    (r"^(Router|Tenant)Policy AWS::IAM::ManagedPolicy  remove the resource", "the rights of one: it stops"),
    (
        r"^RouterPolicy \S+ PolicyDocument\.Statement\.[2-5]\.Resource widen to every resource$",
        "they are about every resource, because AWS knows none for them, and a condition binds those that do harm",
    ),
    (r"^RouterSecurityGroup \S+ SecurityGroupEgress\.[0-9] drop$", "less is allowed than before"),
    (r"^Router.* AWS::EC2::SecurityGroup(Egress|Ingress)  remove the resource$", "less is allowed than before"),
    (
        r"(AllowedOAuthScopes\.[0-9]|ReadAttributes\.[1-9]|WriteAttributes\.[0-9]|LogoutURLs\.[0-9]) drop$",
        "less is allowed",
    ),
    (r"VPCZoneIdentifier\.[0-9] drop$", "the router has one zone less to come back in"),
    (r"^UsersPoolApi \S+ Scopes(|\.0) (remove|drop|empty)$", "no token would have the scope"),
    (r"^RouterSecurityGroup \S+ SecurityGroupEgress\.[0-9]\.CidrIp (remove|change)$", "AWS refuses it"),
    (r"SecurityGroup VpcId (remove|open)", "AWS refuses a group in another network than what uses it"),
    (r"^NetworkDatabaseGroup .* VpcId (remove|open)", "AWS refuses a group in another network than what uses it"),
    (r"SecurityGroupEgress GroupId (remove|open)", "no group of ours: AWS refuses it"),
    (
        r"^NetworkDatabaseGroup \S+ SecurityGroupEgress\.0\.(FromPort|ToPort|IpProtocol) ",
        "of the one rule, which leads to 255.255.255.255, that is, nowhere",
    ),
    (
        rf"AWS::EC2::Subnet (AvailabilityZone|CidrBlock) ({_WAYS})$|AWS::EC2::RouteTable VpcId ({_WAYS})$|"
        rf"AWS::EC2::SubnetRouteTableAssociation SubnetId ({_WAYS})$|"
        rf"^NetworkVpc(Router|Nat)\S+ AWS::EC2::SubnetRouteTableAssociation RouteTableId ({_WAYS})$|"
        rf"AWS::EC2::Route DestinationCidrBlock ({_WAYS})$|^NetworkVpcNat\S+ AWS::EC2::Route GatewayId ({_WAYS})$|"
        rf"AWS::EC2::NatGateway \S+ ({_WAYS})$|AWS::EC2::VPCGatewayAttachment \S+ ({_WAYS})$|"
        rf"AWS::EC2::VPCEndpoint \S+ ({_WAYS})$|AWS::EC2::VPC (CidrBlock|EnableDns\S+) ({_WAYS}|switch)$",
        "a way less, or one that AWS refuses; that the database's subnets get no way out is promised",
    ),
    (
        r"AWS::EC2::(SubnetRouteTableAssociation|Route|VPCGatewayAttachment|VPCEndpoint)  remove the resource$",
        "a way less; a subnet without a table of its own has the network's, which leads nowhere",
    ),
    (r"^NetworkVpcNat\S+ AWS::EC2::Route (VpcPeeringConnection|TransitGateway)Id add$", "AWS takes one target only"),
    (r"Custom::VpcRestrictDefaultSG Account", "tells CloudFormation when to run it again"),
    (_CUSTOM + r"Handler \S+ (Handler|Runtime|Timeout) ", "the CDK's own function, whose code is named by its hash"),
    (r"^UsersBranding ", "how the login page looks"),
    (r"AWS::KMS::Alias  remove", "another name of the key"),
    (r"^(Data|Signing)Key \S+ KeyPolicy remove$", "KMS's default is what we write: the account's policies decide"),
    (
        r"Key \S+ KeyPolicy\.Statement\.0(| drop statement|\.Action allow)[^{]* "
        r'\{"AWS": \{"Fn::Join": \["", \["arn:aws:iam',
        "of the account itself, which KMS lets give anything in any case",
    ),
    (
        r"^DataKey \S+ KeyPolicy\.Statement\.1(|\.Action|\.Condition\S*) .*secretsmanager",
        "of the account itself, to which the statement before it gives everything",
    ),
    (r"s3:x-amz-acl", "the owner of a bucket owns its objects, whatever is asked (BucketOwnerEnforced is promised)"),
    (
        r"^AccessLogsPolicy \S+ PolicyDocument\.Statement\.3\.Condition\S* (ask|another|do not ask)",
        "the statement after it refuses every other account",
    ),
)

# Less safe, and no gate sees it. These count against the score.
UNSEEN: Final = (
    (
        r"X509CertificateData open to another account",
        "whose certificate it is cannot be told from the template: a stage with an authority has its text there. The "
        "alarm RolesAnywhereChange rings",
    ),
)
