"""What a stage costs a month, from list prices; an estimate for the person who is about to say yes.

Prices of us-east-1 and of Railway in US dollars, each as its source reported it, without taxes, traffic and free tiers.
What no source was found for is left out. The pages that count are https://calculator.aws and
https://railway.com/pricing on the day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infra.stage.record import Stage

_HOURS: Final = 730.0
_RDS_HOUR: Final = {  # one zone; two cost twice as much: infratally.com/articles/aws-rds-pricing-explained-2026.html
    "t4g.micro": 0.016,
    "t4g.small": 0.032,
    "t4g.medium": 0.065,
}
_GIB: Final = 0.115  # gp3 of RDS, one zone: usage.ai/blogs/aws/reserved-instances/rds/pricing-calculator, June 2026
_NAT_HOUR: Final = 0.045  # zacfukuda.com/blog/aws-nat-gateway-vs-vpc-endpoint, 1 June 2026
_ROUTER_HOUR: Final = 0.0042  # t4g.nano: projecthelena.com/blog/aws-bill-breakdown-2026
_KEY: Final = 1.0  # aws.amazon.com/kms/pricing
_KEYS: Final = 3  # data, logs, token signing
# Railway meters what is used. Memory at 10 dollars a GB and month (github.com/api-evangelist/railway-app, plans of
# 2026-07-02) for the half GB that a container of ours is taken to hold; an idle CPU costs next to nothing.
_CONTAINER: Final = 5.0
BAA_COMMITMENT: Final = 1000.0  # docs.railway.com/pricing/committed-spend; usage is a part of it; for a year


@dataclass(frozen=True, slots=True)
class Cost:
    """One line.

    Attributes:
        what: What is paid for.
        dollars: A month.
    """

    what: str
    dollars: float


def monthly(stage: Stage) -> Iterator[Cost]:
    """The lines of a stage.

    Args:
        stage: The stage.
    """
    zones = 2 if stage.database.multi_az else 1
    hour = _RDS_HOUR.get(stage.database.instance_type)
    name = f"RDS {stage.database.instance_type}{', two zones' if zones == 2 else ''}"
    if hour is None:
        yield Cost(f"{name}: not in the table, see https://calculator.aws", 0.0)
    else:
        yield Cost(name, hour * _HOURS * zones)
    yield Cost(f"RDS storage, {stage.database.storage_gib} GiB", stage.database.storage_gib * _GIB * zones)
    if stage.network.nat_gateways:
        yield Cost("NAT gateways", stage.network.nat_gateways * _NAT_HOUR * _HOURS)
    if stage.subnet_router:
        yield Cost("Subnet router (t4g.nano)", _ROUTER_HOUR * _HOURS)
    yield Cost("KMS keys", _KEYS * _KEY)
    count = stage.replicas
    railway = (count + (1 if stage.subnet_router else 0)) * _CONTAINER
    tunnel = " and the tunnel" if stage.subnet_router else ""
    yield Cost(f"Railway: memory of {count} replica{'s' if count > 1 else ''}{tunnel}", railway)
    if stage.environment == "production":
        yield Cost("Railway's commitment for a business associate agreement", BAA_COMMITMENT - railway)


def summary(stage: Stage) -> str:
    """The lines as text, with their sum.

    Args:
        stage: The stage.
    """
    lines = list(monthly(stage))
    total = sum(line.dollars for line in lines)
    width = max(len(line.what) for line in lines)
    rows = [f"  {line.what:<{width}}  {line.dollars:8.0f} $" for line in lines]
    note = "  (list prices of 2026, us-east-1; without traffic, secrets, logs, backups and users of Cognito Plus)"
    return "\n".join([*rows, f"  {'about, a month':<{width}}  {total:8.0f} $", note])
