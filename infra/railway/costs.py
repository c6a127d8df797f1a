"""What a stage costs a month, from list prices; an estimate for the person who is about to say yes.

Prices of us-east-1 and of Railway as of 2025, in US dollars, without taxes, traffic and free tiers. They are rows of a
table, not a promise: check https://calculator.aws and https://railway.com/pricing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infra.config import Stage
from infra.railway.project import replicas

_HOURS: Final = 730.0
_RDS_HOUR: Final = {  # one zone; two cost twice as much
    "t4g.micro": 0.016,
    "t4g.small": 0.032,
    "t4g.medium": 0.065,
    "t4g.large": 0.129,
    "m7g.large": 0.168,
    "r7g.large": 0.239,
}
_GIB: Final = 0.115  # gp3 of RDS, one zone
_NAT_HOUR: Final = 0.045
_ROUTER_HOUR: Final = 0.0042
_TUNNEL: Final = 2.0  # the tailscale container on Railway, idle
_KEY: Final = 1.0
_SECRET: Final = 0.40
_REPLICA: Final = 10.0  # a replica that is mostly idle: half a GB and little CPU
BAA_COMMITMENT: Final = 1000.0  # what Railway's agreement takes, of which usage is a part; for a year


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
        yield Cost("Subnet router (t4g.nano), its Railway end", _ROUTER_HOUR * _HOURS + _TUNNEL)
    yield Cost("KMS keys", 3 * _KEY)
    yield Cost("Secrets Manager entries", 3 * _SECRET)
    count = replicas(stage.name)
    yield Cost(f"Railway, {count} replica{'s' if count > 1 else ''}", count * _REPLICA)
    if stage.environment == "production":
        yield Cost("Railway's commitment for a business associate agreement", BAA_COMMITMENT - count * _REPLICA)


def summary(stage: Stage) -> str:
    """The lines as text, with their sum.

    Args:
        stage: The stage.
    """
    lines = list(monthly(stage))
    total = sum(line.dollars for line in lines)
    width = max(len(line.what) for line in lines)
    rows = [f"  {line.what:<{width}}  {line.dollars:8.0f} $" for line in lines]
    note = "  (list prices, us-east-1, without traffic, users of Cognito Plus and logs)"
    return "\n".join([*rows, f"  {'about, a month':<{width}}  {total:8.0f} $", note])
