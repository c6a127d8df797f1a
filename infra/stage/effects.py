"""What a change of each field of a stage does to what is deployed; docs/reference/changes.md is made from it.

``tests/infra/test_changes.py`` synthesizes a stage with each change, reads the resource specification, and compares.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

# ``loses``: something stateful goes or begins anew, and only what is named with --lose. ``elsewhere``: other stacks are
# made, and these stay where they are.
What = Literal["in place", "loses", "cannot", "elsewhere"]


class Effect(NamedTuple):
    """One row.

    Attributes:
        field: Of ``Stage``, with the part before a dot.
        change: Which change; empty for all.
        what: What it does.
        words: The same, for people.
    """

    field: str
    change: str
    what: What
    words: str


_RAILWAY: Final = "nothing in AWS; the next `apply` and `release` change Railway"
_ANEW: Final = "replacing it would need another name. Dump the database, make another stage, restore"

EFFECTS: Final = (
    Effect("name", "", "elsewhere", "another stage is made beside this one"),
    Effect("environment", "", "in place", _RAILWAY),
    Effect(
        "region",
        "",
        "elsewhere",
        "refused while the stage stands: all stacks would be made there, empty, and those of before cost",
    ),
    Effect(
        "account",
        "another",
        "elsewhere",
        "refused while the stage stands, as Railway and its last deployment tell: all would be made there, empty",
    ),
    Effect("public_url", "", "in place", "addresses of the client; sign-ins under way at the old address fail"),
    Effect("allowed_origins", "", "in place", "addresses of the client"),
    Effect("availability_zones", "2 to 3", "in place", "a third subnet of each kind is made"),
    Effect("availability_zones", "3 to 2", "cannot", "the third subnets would go, and the database may stand in one"),
    Effect("domain_prefix", "", "in place", "the hosted login gets another address: sign-ins fail until `release`"),
    Effect("cognito_plan", "ESSENTIALS to PLUS", "in place", "threat protection and the log of sign-ins come"),
    Effect("cognito_plan", "PLUS to ESSENTIALS", "loses", "the log of sign-ins leaves the stage"),
    Effect("mfa_required", "", "in place", "at the next sign-in"),
    Effect("token_minutes", "", "in place", "for tokens from now on"),
    Effect("retain", "", "in place", "policies of deletion, protection and the vault's policy"),
    Effect(
        "access", "", "in place", "role and user change places; what ran as the other one is refused until `release`"
    ),
    Effect("subnet_router", "off", "loses", "the router goes, and the secret with its credential"),
    Effect("subnet_router", "on", "in place", "router and secret are made"),
    Effect("federation", "one more", "in place", "the provider is made"),
    Effect("federation", "one less", "in place", "its users can sign in no longer; they stay in the pool"),
    Effect("signing_keys", "one more", "in place", "the key is made and may be used"),
    Effect("signing_keys", "one less", "cannot", "in two steps: `retired_signing_keys` has it for one deployment"),
    Effect("retired_signing_keys", "one less", "in place", "the key leaves the stack; a stage that retains keeps it"),
    Effect("provider_secrets", "", "in place", "the service may read others"),
    Effect("tenant_keys", "off to on", "in place", "from `release` on tenants' own keys encrypt; old data can be read"),
    Effect("tenant_keys", "on to required", "in place", "the stage's key opens tenants' data and encrypts no more"),
    Effect("tenant_keys", "off to required", "cannot", "in two steps: `on` has to be deployed and released before"),
    Effect("tenant_keys", "back to off", "in place", "the stage's key encrypts again; the tenants' keys have to stay"),
    Effect("watch.email", "", "in place", "another subscription, which its reader has to confirm"),
    Effect("watch.trail", "off", "loses", "trail and alarms go; its bucket and its log leave the stage"),
    Effect("watch.trail", "on", "in place", "trail, bucket, log and alarms are made"),
    Effect("watch.budget_usd", "", "in place", "the budget"),
    Effect("railway_region", "", "in place", _RAILWAY),
    Effect("replicas", "", "in place", _RAILWAY),
    Effect("migrations", "", "in place", "the service may read the migrating login, or no longer"),
    Effect("variables", "", "in place", _RAILWAY),
    Effect("database.instance_type", "", "in place", "RDS restarts the instance; with two zones for about a minute"),
    Effect("database.storage_gib", "more", "in place", "without a restart; RDS takes one such change in six hours"),
    Effect("database.storage_gib", "less", "cannot", "RDS makes no volume smaller"),
    Effect("database.max_storage_gib", "", "in place", "the limit of growth"),
    Effect("database.multi_az", "", "in place", "the standby is made or goes, without a restart"),
    Effect("database.backup_days", "", "in place", "fewer days delete older backups"),
    Effect("database.deletion_protection", "", "in place", "at once"),
    Effect("database.port", "", "cannot", _ANEW),
    Effect("database.name", "", "cannot", _ANEW),
    Effect("database.master_user", "", "cannot", _ANEW),
    Effect("database.app_user", "", "loses", "the secret of the login gets another value; the next migration makes it"),
    Effect("database.iam_auth", "", "in place", "nothing in AWS; the next migration and `release`"),
    Effect("network.cidr", "", "cannot", "the network would be replaced, and the database stands in it"),
    Effect("network.nat_gateways", "one more", "in place", "an address and a gateway are made"),
    Effect("network.nat_gateways", "one less", "in place", "the way out changes; open connections of the router end"),
    Effect("network.interface_endpoints", "", "in place", "endpoints are made, or go"),
)
