"""What is retired in two steps, because the service that runs still needs it while the stacks are deployed.

A stack is changed minutes before the service is started with what it was told. A signing key that its environment
names, the one authority that vouches for its certificate, or the right to the key that it encrypts tenants' data with
must not go in that time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from infra.deploy.changes import Change, Template, Templates

_OUTPUT: Final = "TokenSigningKeyArn"
_PREFIX: Final = "TenantKeyPrefix"  # an output of stages whose service encrypts with tenants' own keys
_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def too_early(before: Templates, after: Templates) -> Iterator[str]:
    """What would go while the service still needs it, each with its two steps.

    Args:
        before: What the account has.
        after: What it would have.
    """
    if "data" in before:
        for logical in sorted(_named(before["data"]) - after["data"]["Resources"].keys()):
            yield (
                f"data/{logical} signs tokens, or did, and the service that runs names it: move its number from "
                "signing_keys to retired_signing_keys, deploy, and take it out of there with the next deployment"
            )
        if _PREFIX not in before["data"].get("Outputs", {}) and _encrypts(before["data"]) > _encrypts(after["data"]):
            yield (
                "the service that runs encrypts tenants' data with the stage's key, and could write no more: set "
                'tenant_keys="on", make the tenants\' keys, deploy, and set "required" with the next deployment'
            )
    if "access" in before:
        was, will = _authorities(before["access"]), _authorities(after["access"])
        if was and will and not was & will:
            yield (
                "no authority that the account trusts would stay, and the service's certificate is of one of them: "
                "put the old file back, uv run signalbox certs <stage> --new-authority, deploy, then --drop-authority"
            )


def retired(before: Templates, found: Collection[Change]) -> set[str]:
    """Names of signing keys that go, and that the service was told to leave by a deployment before.

    Args:
        before: What the account has.
        found: The changes.
    """
    data = before.get("data", {"Resources": {}})
    unnamed = {
        f"data/{logical}"
        for logical, resource in data["Resources"].items()
        if resource.get("Properties", {}).get("KeyUsage") == "SIGN_VERIFY" and logical not in _named(data)
    }
    return {change.name for change in found if change.outcome in ("deleted", "left behind")} & unnamed


def _named(template: Template) -> set[str]:
    value = json.dumps(template.get("Outputs", {}).get(_OUTPUT, {}).get("Value"))
    return {logical for logical in template["Resources"] if f'["{logical}", "Arn"]' in value}


def _encrypts(template: Template) -> bool:
    """Whether a tenant's session may encrypt with the stage's key."""
    statements = [
        statement
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]
    return any(one.get("Sid") == "TenantKey" and "kms:Encrypt" in one["Action"] for one in statements)


def _authorities(template: Template) -> set[str]:
    found: set[str] = set()
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::RolesAnywhere::TrustAnchor":
            source: Mapping[str, Any] = resource["Properties"]["Source"]["SourceData"]
            text = source["X509CertificateData"]  # a reference, where a parameter has it
            found |= {"".join(block.split()) for block in _BLOCK.findall(text if isinstance(text, str) else "")}
    return found
