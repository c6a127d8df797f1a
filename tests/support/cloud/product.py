"""Stages of the tests' own: what an adopter calls theirs, and where they are, is theirs to choose.

``tests/conftest.py`` puts them where the code finds its stages before anything has read those. A process of its
own sees the adopter's, unless
``tests.support.cloud.command`` runs it: such a test takes one of ``ADOPTED`` by what it is, not by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import pytest

from infra import product
from infra.stage.parts import Database, Network, Watch
from infra.stage.record import Stage
from infra.stage.variables import groups
from service import settings
from tests.support.api.environments import AUTH

ADOPTED: Final[Mapping[str, Stage]] = product.STAGES
REGION: Final = "us-east-1"
_PROTECTED: Final = {
    "instance_type": "t4g.medium",
    "storage_gib": 50,
    "max_storage_gib": 200,
    "deletion_protection": True,
}

# What features of the adopter's cannot do without, every stage has to say.
_KNOWN: Final = {variable.name for variable in settings.variables(AUTH)}
_NEEDED: Final = {
    v.name: "arn:aws:secretsmanager:us-east-1:111122223333:secret:x" if v.name.endswith("_ID") else v.example
    for v in settings.variables(groups())
    if v.required and v.name not in _KNOWN
}

TEST_STAGES: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        record.name: record
        for record in (
            Stage(
                name="local",
                region=REGION,
                variables=_NEEDED,
                environment="development",
                public_url="http://127.0.0.1:8000",
                allowed_origins=("http://127.0.0.1:3000", "http://localhost:3000"),
                database=Database(instance_type="t4g.micro"),
                mfa_required=False,
                retain=False,
                access="user",
            ),
            Stage(
                name="development",
                region=REGION,
                variables=_NEEDED,
                environment="development",
                public_url="https://api.dev.example.com",
                allowed_origins=("https://app.dev.example.com",),
                database=Database(instance_type="t4g.micro"),
                retain=False,
                network=Network(cidr="10.43.0.0/16", nat_gateways=1),
                access="user",
                subnet_router=True,
                watch=Watch(budget_usd=200),
            ),
            Stage(
                name="staging",
                region=REGION,
                variables=_NEEDED,
                environment="staging",
                public_url="https://api.staging.example.com",
                allowed_origins=("https://app.staging.example.com",),
                database=Database.model_validate(_PROTECTED),
                cognito_plan="PLUS",
                network=Network(cidr="10.44.0.0/16", nat_gateways=1),
                subnet_router=True,
                watch=Watch(email="platform@example.com", trail=True, budget_usd=500),
            ),
            Stage(
                name="production",
                region=REGION,
                variables=_NEEDED,
                environment="production",
                public_url="https://api.example.com",
                allowed_origins=("https://app.example.com",),
                database=Database.model_validate({**_PROTECTED, "multi_az": True, "backup_days": 35}),
                cognito_plan="PLUS",
                network=Network(cidr="10.45.0.0/16", nat_gateways=1),
                subnet_router=True,
                watch=Watch(email="security@example.com", trail=True, budget_usd=1000),
            ),
        )
    }
)


def install() -> None:
    """From here on the code of this process has these stages."""
    vars(product)["STAGES"] = TEST_STAGES


def adopted(environment: Literal["development", "staging", "production"]) -> Stage:
    """A stage of the adopter's that runs on AWS; the test is skipped where there is none such.

    Args:
        environment: How strict it is.
    """
    found = (one for one in ADOPTED.values() if one.environment == environment and one.name != "local")
    return next(found, None) or pytest.skip(f"no stage of the adopter's is a {environment} environment")
