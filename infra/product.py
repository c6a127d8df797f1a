"""The adopter's: the stages there are. No account number, address or size is written anywhere else in ``infra/``.

``uv run signalbox init`` changes names, region, addresses and e-mails in place; the rest is yours to edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from infra.stage.parts import Database, Network, Watch
from infra.stage.record import Stage

REGION: Final = "us-east-1"  # of AWS; a stage may have another

_PROTECTED: Final = {
    "instance_type": "t4g.medium",
    "storage_gib": 50,
    "max_storage_gib": 200,
    "deletion_protection": True,
}

STAGES: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        record.name: record
        for record in (
            Stage(
                name="local",
                region=REGION,
                environment="development",
                public_url="http://127.0.0.1:8000",
                allowed_origins=("http://127.0.0.1:3000", "http://localhost:3000"),
                database=Database(instance_type="t4g.micro"),
                mfa_required=False,
                retain=False,
                # Nothing to prove to an AWS on this machine, nobody to route to, nobody to wake: the emulator has no
                # Roles Anywhere service, no network and no audit trail.
                access="user",
            ),
            Stage(
                name="development",
                region=REGION,
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
