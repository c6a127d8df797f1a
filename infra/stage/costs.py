"""What a stage costs a month: one table of prices with their sources, for the plan, the summary and the documents.

Estimates for the person who is about to say yes: list prices of one region, without taxes and free tiers. The pages
that count are https://calculator.aws and https://railway.com/pricing on the day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from infra.stage.record import Stage
from infra.stage.tailscale import BEAT_SECONDS

DATE: Final = "2026-11-26"  # when the table was put together; what each figure says of its own age stands beside it
REGION: Final = "us-east-1"
_HOURS: Final = 730.0  # of a month
_ENDPOINTS: Final = 5  # interface endpoints, in each zone
_AWS: Final = "list price, as AWS's page had it; not looked up again: aws.amazon.com/"


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the price list.

    Attributes:
        dollars: US dollars.
        unit: For what.
        source: Who reported it, and when.
    """

    dollars: float
    unit: str
    source: str


_RDS: Final = "infratally.com/articles/aws-rds-pricing-explained-2026.html"
PRICES: Final[Mapping[str, Price]] = MappingProxyType(
    {
        "RDS t4g.micro": Price(0.016, "hour and zone", _RDS),
        "RDS t4g.small": Price(0.032, "hour and zone", _RDS),
        "RDS t4g.medium": Price(0.065, "hour and zone", _RDS),
        "RDS storage": Price(
            0.115, "GiB and zone", "usage.ai/blogs/aws/reserved-instances/rds/pricing-calculator, June 2026"
        ),
        "NAT gateway": Price(0.045, "hour", "zacfukuda.com/blog/aws-nat-gateway-vs-vpc-endpoint, 1 June 2026"),
        "NAT traffic": Price(0.045, "GB", "the same"),
        "public address": Price(0.005, "hour", "nwobodo.me/notes/aws-extra-ipv4-cost-per-hour, June 2024"),
        "interface endpoint": Price(0.01, "hour and zone", "zacfukuda.com, as above"),
        "router": Price(0.0084, "hour", "t4g.micro, twice a t4g.nano: projecthelena.com/blog/aws-bill-breakdown-2026"),
        "metric": Price(0.30, "metric of one's own", _AWS + "cloudwatch/pricing"),
        "metric call": Price(0.00001, "call that puts metrics", _AWS + "cloudwatch/pricing"),
        "key": Price(1.0, "key", _AWS + "kms/pricing"),
        "secret": Price(0.40, "secret", _AWS + "secrets-manager/pricing"),
        "logs": Price(0.50, "GB taken in", "help-toolz.com/blog/why-your-aws-bill-is-3x-your-estimate, 2026"),
        "kept logs": Price(0.03, "GB kept", "the same"),
        "user, ESSENTIALS": Price(
            0.015, "active user", _AWS + "cognito/pricing; the first 10,000 of an account are free"
        ),
        "user, PLUS": Price(0.02, "active user", _AWS + "cognito/pricing; none is free"),
        # Memory at 10 dollars a GB and month for the half GB that a container of ours is taken to hold; an idle CPU
        # costs next to nothing.
        "container": Price(5.0, "container", "github.com/api-evangelist/railway-app, plans of 2026-07-02"),
        # Usage is a part of it; for a year.
        "agreement": Price(1000.0, "workspace", "docs.railway.com/pricing/committed-spend"),
    }
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is taken to be used in a month.

    Attributes:
        users: Active users of the pool.
        logs_gb: GB of logs that AWS takes in.
        months: For how many months they have been kept.
        traffic_gb: GB through the NAT gateways.
        tenants: Tenants, where each has a key.
    """

    users: int = 1000
    logs_gb: float = 5
    months: int = 12
    traffic_gb: float = 10
    tenants: int = 20


ASSUMED: Final = Usage()


@dataclass(frozen=True, slots=True)
class Cost:
    """One line.

    Attributes:
        what: What is paid for.
        dollars: A month.
        note: How much of it, or why it is not known.
    """

    what: str
    dollars: float
    note: str = ""


def monthly(stage: Stage, usage: Usage = ASSUMED) -> Iterator[Cost]:
    """The lines of a stage.

    Args:
        stage: The stage.
        usage: What is used.
    """
    yield from _database(stage)
    yield from _network(stage, usage)
    keys = 2 + len(stage.signing_keys) + len(stage.retired_signing_keys)
    yield Cost("KMS keys", keys * _price("key"), str(keys))
    if stage.tenant_keys != "off":
        note = f"{usage.tenants} tenants; each of a key's first two rotations adds as much again"
        yield Cost("Tenants' keys", usage.tenants * _price("key"), note)
    # The database's two logins, the session key; made by hand for providers; the router's.
    secrets = 3 + len(stage.provider_secrets) + stage.subnet_router
    yield Cost("Secrets", secrets * _price("secret"), str(secrets))
    kept = usage.logs_gb * usage.months
    yield Cost("Logs", usage.logs_gb * _price("logs") + kept * _price("kept logs"), f"{usage.logs_gb:g} GB a month")
    free = 10_000 if stage.cognito_plan == "ESSENTIALS" else 0
    users = max(0, usage.users - free) * _price(f"user, {stage.cognito_plan}")
    yield Cost("Cognito", users, f"{stage.cognito_plan}, {usage.users:,} active users")
    containers = stage.replicas + stage.subnet_router
    railway = containers * _price("container")
    yield Cost("Railway", railway, f"{containers} container{'s' if containers > 1 else ''}")
    if stage.environment == "production":
        yield Cost("Railway's agreement", _price("agreement") - railway, "what its commitment adds to that")


def _database(stage: Stage) -> Iterator[Cost]:
    zones, size = (2 if stage.database.multi_az else 1), stage.database.instance_type
    two = ", two zones" if zones == 2 else ""
    if f"RDS {size}" in PRICES:
        yield Cost("RDS", _price(f"RDS {size}") * _HOURS * zones, size + two)
    else:
        yield Cost("RDS", 0.0, f"{size}{two}: not in the table, see https://calculator.aws")
    gib = stage.database.storage_gib
    yield Cost("RDS storage", gib * _price("RDS storage") * zones, f"{gib} GiB{two}")


def _network(stage: Stage, usage: Usage) -> Iterator[Cost]:
    if gateways := stage.network.nat_gateways:
        hours = gateways * _price("NAT gateway") * _HOURS
        yield Cost("NAT gateways", hours + usage.traffic_gb * _price("NAT traffic"), f"{gateways}")
        yield Cost("Public addresses", gateways * _price("public address") * _HOURS, f"{gateways}")
    if stage.network.interface_endpoints:
        count = _ENDPOINTS * stage.availability_zones
        yield Cost("Interface endpoints", count * _price("interface endpoint") * _HOURS, f"{count}")
    if stage.subnet_router:
        yield Cost("Subnet router", _price("router") * _HOURS, "one machine")
        beats = _HOURS * 3600 / BEAT_SECONDS
        yield Cost(
            "Its metrics", 3 * _price("metric") + beats * _price("metric call"), f"3, each {BEAT_SECONDS} seconds"
        )


def _price(name: str) -> float:
    return PRICES[name].dollars


def summary(stage: Stage) -> str:
    """The lines as text, with their sum.

    Args:
        stage: The stage.
    """
    lines = [(f"{line.what}{f', {line.note}' if line.note else ''}", line.dollars) for line in monthly(stage)]
    total = sum(dollars for _, dollars in lines)
    width = max(len(what) for what, _ in lines)
    rows = [f"  {what:<{width}}  {dollars:8.0f} $" for what, dollars in lines]
    note = f"  (list prices of {REGION}, put together on {DATE}; without taxes, free tiers, alarms, copies of backups)"
    return "\n".join([*rows, f"  {'about, a month':<{width}}  {total:8.0f} $", note])
