"""What in an account commonly makes a first deployment fail, asked beforehand. Reads only; each finding has its remedy.

A question that the operator may not ask is a note, not a failure: the deployment may still have the right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from infra.deploy.account import Account, AwsError, StackFound, code, survey
from infra.deploy.finding import Finding
from infra.stage.record import Stage

LAMBDA_RESERVED: Final = 20  # what the token function reserves
LAMBDA_UNRESERVED: Final = 100  # what AWS keeps for all other functions of an account
ENGINE: Final = "18"  # as infra/aws/constructs/database.py has it; a test compares them
_TRAILS: Final = 5  # trails of an account and region; AWS does not raise it
_RUNNING: Final = [{"Name": "state", "Values": ["pending", "available"]}]
_COUNTED: Final = 100  # pages of a kind; more than any quota that is asked for


@dataclass(frozen=True, slots=True)
class Look:
    """What the questions are about.

    Attributes:
        account: Where.
        stage: What is to be deployed.
        number: Of the account.
        new: Parts that do not stand yet.
    """

    account: Account
    stage: Stage
    number: str
    new: frozenset[str]


Question = Callable[[Look], Iterator[Finding]]


def obstacles(account: Account, stage: Stage, number: str) -> Iterator[Finding]:
    """What stands in the way of a deployment.

    Args:
        account: Where.
        stage: What is to be deployed.
        number: Of the account.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = survey(account, stage)
    except AwsError as failure:
        yield Finding("missing", "stacks", str(failure))
        return
    yield from _states(found)
    new = frozenset(stack.part for stack in found if stack.state in ("absent", "failed"))
    look = Look(account, stage, number, new)
    for name, part, question in QUESTIONS:
        if part not in new:  # it was made: what it needs is there
            continue
        try:
            yield from question(look) or ()
        except ClientError as failure:
            yield Finding("note", name, f"AWS does not say ({code(failure)}): it may fail when it is deployed")
        except BotoCoreError as failure:
            yield Finding("note", name, f"AWS cannot be asked ({type(failure).__name__})")


def _states(found: list[StackFound]) -> Iterator[Finding]:
    for stack in found:
        if stack.state == "failed":
            text = f"{stack.name} failed its creation ({stack.status}): a deployment removes it and makes it again"
            yield Finding("note", "stacks", text)
        elif stack.state == "busy":
            yield Finding("missing", "stacks", f"{stack.name} is {stack.status}: wait until it is done")
        elif stack.state == "stuck":
            text = f"{stack.name} is {stack.status}, and it stood: look at its events in the AWS console"
            yield Finding("missing", "stacks", text)


def _zones(look: Look) -> Iterator[Finding]:
    wanted = look.stage.availability_zones
    zones = look.account.client("ec2").describe_availability_zones(
        Filters=[{"Name": "state", "Values": ["available"]}, {"Name": "zone-type", "Values": ["availability-zone"]}]
    )["AvailabilityZones"]
    if len(zones) < wanted:
        text = f"{look.stage.region} offers this account {len(zones)}, stage {look.stage.name} wants {wanted}: "
        yield Finding("missing", "zones", text + "set availability_zones in infra/product.py, or take another region")


def _quota(
    name: str, service: str, quota: str, needed: Callable[[Stage], int], used: Callable[[Account], int]
) -> Question:
    def ask(look: Look) -> Iterator[Finding]:
        if not (more := needed(look.stage)):
            return
        limit, now = _limit(look.account, service, quota), used(look.account)
        if now + more > limit:
            text = f"{now} of {limit} are used, and {more} more needed: {_raise(service, quota, now + more)}"
            yield Finding("missing", name, text)

    return ask


def _limit(account: Account, service: str, quota: str) -> int:
    quotas = account.client("service-quotas")
    try:
        found = quotas.get_service_quota(ServiceCode=service, QuotaCode=quota)
    except Exception as failure:  # an account that never asked for more may have the default alone
        if code(failure) != "NoSuchResourceException":
            raise
        found = quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=quota)
    return int(found["Quota"]["Value"])


def _raise(service: str, quota: str, wanted: int) -> str:
    command = "aws service-quotas request-service-quota-increase"
    return f"{command} --service-code {service} --quota-code {quota} --desired-value {wanted}"


def _count(client: str, call: str, key: str, **given: Any) -> Callable[[Account], int]:
    """How many there are; pages of answers are added up."""

    def count(account: Account) -> int:
        pages = account.client(client).get_paginator(call).paginate(**given)
        return sum(len(page[key]) for page in islice(pages, _COUNTED))

    return count


def _gateways(look: Look) -> Iterator[Finding]:
    """The quota is of a zone, and a stage puts one gateway into each of its first zones."""
    if not (wanted := look.stage.network.nat_gateways):
        return
    ec2 = look.account.client("ec2")
    pages = ec2.get_paginator("describe_nat_gateways").paginate(Filter=_RUNNING)
    subnets = [gateway["SubnetId"] for page in pages for gateway in page["NatGateways"]]
    if not subnets:
        return
    places = ec2.describe_subnets(SubnetIds=sorted(set(subnets)))["Subnets"]
    zone_of = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in places}
    limit = _limit(look.account, "vpc", "L-FE5A380F")
    for zone in sorted(set(zone_of.values()))[:wanted]:
        if sum(zone_of[subnet] == zone for subnet in subnets) >= limit:
            remedy = _raise("vpc", "L-FE5A380F", limit + 1)
            yield Finding("missing", "NAT gateways", f"all {limit} of zone {zone} are used: {remedy}")


def _addresses(account: Account) -> int:
    return len(account.client("ec2").describe_addresses()["Addresses"])


def _concurrency(look: Look) -> Iterator[Finding]:
    limit = look.account.client("lambda").get_account_settings()["AccountLimit"]
    left = limit["UnreservedConcurrentExecutions"] - LAMBDA_RESERVED
    if left < LAMBDA_UNRESERVED:
        wanted = limit["ConcurrentExecutions"] - left + LAMBDA_UNRESERVED
        yield Finding(
            "missing",
            "Lambda concurrency",
            f"the token function reserves {LAMBDA_RESERVED}, and AWS keeps {LAMBDA_UNRESERVED} for others, of "
            f"{limit['UnreservedConcurrentExecutions']} that are free: "
            f"{_raise('lambda', 'L-B99A9384', max(wanted, 1000))}",
        )


def _hosted_login(look: Look) -> Iterator[Finding]:
    prefix = look.stage.domain_prefix
    found = look.account.client("cognito-idp").describe_user_pool_domain(Domain=prefix).get("DomainDescription") or {}
    if found.get("UserPoolId") or found.get("AWSAccountId"):
        whose = "this account" if found.get("AWSAccountId") == look.number else "another account"
        text = f"{prefix} is taken in {look.stage.region}, by a user pool of {whose}: set domain_prefix of the stage"
        yield Finding("missing", "hosted login", text)


def _engine(look: Look) -> Iterator[Finding]:
    rds, config = look.account.client("rds"), look.stage.database
    versions = rds.describe_db_engine_versions(Engine="postgres", EngineVersion=ENGINE)["DBEngineVersions"]
    if not versions:
        text = f"PostgreSQL {ENGINE} is not sold in {look.stage.region}: take another region"
        yield Finding("missing", "database", text)
        return
    newest = str(versions[-1]["EngineVersion"])
    sold = rds.describe_orderable_db_instance_options(
        Engine="postgres", EngineVersion=newest, DBInstanceClass=f"db.{config.instance_type}", Vpc=True
    )["OrderableDBInstanceOptions"]
    zones = {zone["Name"] for option in sold for zone in option["AvailabilityZones"]}
    if len(zones) < (2 if config.multi_az else 1):
        text = f"db.{config.instance_type} with PostgreSQL {newest} is sold in {len(zones)} zones"
        yield Finding("missing", "database", f"{text}: set database.instance_type of the stage to another")


def _service_roles(look: Look) -> Iterator[Finding]:
    wanted = {"rds": "AWSServiceRoleForRDS"}
    if look.stage.subnet_router:
        wanted["autoscaling"] = "AWSServiceRoleForAutoScaling"
    for service, role in wanted.items():
        try:
            look.account.client("iam").get_role(RoleName=role)
        except Exception as failure:
            if code(failure) != "NoSuchEntity":
                raise
            text = f"{role} is not there yet; AWS makes it with the first use, if whoever deploys may. Otherwise: "
            how = f"aws iam create-service-linked-role --aws-service-name {service}.amazonaws.com"
            yield Finding("note", "service-linked role", text + how)


def _taken(kind: str, remedy: str, ask: Callable[[Look], object]) -> Question:
    """A name that is ours to give, and that something has which no stack of this stage made."""

    def look_for(look: Look) -> Iterator[Finding]:
        try:
            found = ask(look)
        except Exception as failure:
            if "NotFound" not in code(failure) and code(failure) != "NoSuchEntity":
                raise
            return
        if found:
            text = f"{kind} {found} exists, and no stack of this stage made it: {remedy}"
            yield Finding("missing", "names", text)

    return look_for


def _trail(look: Look) -> Iterator[Finding]:
    if not look.stage.watch.trail:
        return
    found = look.account.client("cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    name = look.stage.names.whole
    if any(trail["Name"] == name for trail in found):
        yield Finding("missing", "names", f"trail {name} exists, and no stack of this stage made it: delete it")
    elif len(found) >= _TRAILS:
        text = f"{len(found)} trails of {_TRAILS} are there, and AWS allows no more: set watch.trail of the stage to "
        yield Finding("missing", "trail", text + "False, if one of them covers the account, or delete one")


def _budget(look: Look) -> str | None:
    if look.stage.watch.budget_usd is None:
        return None
    name = look.stage.names.whole
    look.account.client("budgets").describe_budget(AccountId=look.number, BudgetName=name)
    return name


def _database(look: Look) -> str:
    name = look.stage.names.whole
    look.account.client("rds").describe_db_instances(DBInstanceIdentifier=name)
    return name


def _secrets(look: Look) -> str | None:
    pages = look.account.client("secretsmanager").get_paginator("list_secrets")
    prefix = f"{look.stage.secrets_prefix}/"
    made = {f"{prefix}{name}" for name in ("database-app", "session-key", "tailscale-router")}
    given = {"IncludePlannedDeletion": True, "Filters": [{"Key": "name", "Values": [prefix]}]}
    found = {secret["Name"] for page in pages.paginate(**given) for secret in page["SecretList"]}
    return ", ".join(sorted(found & made)) or None


def _vault(look: Look) -> str:
    name = look.stage.names.whole
    look.account.client("backup").describe_backup_vault(BackupVaultName=name)
    return name


def _log_groups(*names: Callable[[Stage], str]) -> Callable[[Look], str | None]:
    def ask(look: Look) -> str | None:
        logs, wanted = look.account.client("logs"), [name(look.stage) for name in names]
        groups = (logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] for name in wanted)
        return ", ".join(name for name, found in zip(wanted, groups, strict=True) if _named(found, name)) or None

    return ask


def _named(groups: list[dict[str, Any]], name: str) -> bool:
    return any(group["logGroupName"] == name for group in groups)


def _user(look: Look) -> str | None:
    if look.stage.access != "user":
        return None
    look.account.client("iam").get_user(UserName=look.stage.names.user)
    return look.stage.names.user


_LEFT: Final = "a stage that ended left it. Delete it, if what it holds is not needed, or give the stage another name"

# Name for notes, the part that would fail, the question. docs/DEPLOYMENT.md says what each is about.
QUESTIONS: Final[tuple[tuple[str, str, Question], ...]] = (
    ("zones", "network", _zones),
    ("VPCs", "network", _quota("VPCs", "vpc", "L-F678F1CE", lambda s: 1, _count("ec2", "describe_vpcs", "Vpcs"))),
    (
        "elastic addresses",
        "network",
        _quota("elastic addresses", "ec2", "L-0263D0A3", lambda s: s.network.nat_gateways, _addresses),
    ),
    ("NAT gateways", "network", _gateways),
    ("database", "data", _engine),
    ("service-linked role", "data", _service_roles),
    ("names", "data", _taken("database", _LEFT, _database)),
    ("names", "data", _taken("backup vault", _LEFT, _vault)),
    ("names", "data", _taken("secrets", _LEFT, _secrets)),
    (
        "names",
        "data",
        _taken(
            "log groups",
            _LEFT,
            _log_groups(
                lambda s: f"/aws/rds/instance/{s.names.whole}/postgresql",
                lambda s: f"/aws/rds/instance/{s.names.whole}/upgrade",
            ),
        ),
    ),
    ("Lambda concurrency", "identity", _concurrency),
    ("hosted login", "identity", _hosted_login),
    ("names", "identity", _taken("log group", _LEFT, _log_groups(lambda s: s.names.sign_ins))),
    ("names", "access", _taken("IAM user", _LEFT, _user)),
    ("names", "watch", _taken("budget", "delete it in the billing console", _budget)),
    ("trail", "watch", _trail),
)
