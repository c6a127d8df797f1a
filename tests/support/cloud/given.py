"""What the tests of this folder start from: the outputs of a stage, and the project made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from infra.environment.build import Variable
from infra.environment.table import EXTRA, TABLE
from infra.railway.project import Project
from infra.railway.sources import stage_project
from infra.stage import tailscale as tunnel
from infra.stage.chosen import stage
from infra.stage.outputs import OUTPUTS, stack_name
from infra.stage.variables import SEALED_PREFIX
from tests.support.api.server import ROOT

ACCOUNT = "111122223333"
_KNOWN = {
    "Region": "us-east-1",
    "DatabaseHost": "signalbox.abc123.us-east-1.rds.amazonaws.com",
    "DatabasePort": "5433",
    "DatabaseName": "signalbox",
    "DatabaseLoginSecretArn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:signalbox/x/database-app-AbCdEf",
    "DatabaseMasterSecretArn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:rds-db-1234-AbCdEf",
    "SessionKeySecretArn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:signalbox/x/session-key-AbCdEf",
    "SecretsPrefix": "signalbox/x",
    "BucketName": "signalbox-documents-example",
    "DataKeyArn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "UserPoolId": "us-east-1_EXAMPLE",
    "UserPoolIssuer": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE",
    "UserPoolClientId": "1h57kf5cpq17m0",
}
# An output that another part of the project adds still has a value here.
OUTPUT_VALUES: Mapping[str, str] = {o.key: _KNOWN.get(o.key, f"arn:aws:example:us-east-1::{o.key}") for o in OUTPUTS}
# Likewise for what is asked for.
_ASKED = [row.name for row in (*TABLE, *EXTRA) if row.stage.asked]
_FORM = {
    "ROLES_ANYWHERE_CERTIFICATE_SECRET": "-----BEGIN CERTIFICATE-----{}-----END CERTIFICATE-----",
    "TS_AUTHKEY": "tskey-auth-{}",
    "ROLES_ANYWHERE_PRIVATE_KEY_SECRET": "-----BEGIN PRIVATE KEY-----{}-----END PRIVATE KEY-----",
}
GIVEN = {name: _FORM.get(name, "{}").format(f"given-{name.lower()}") for name in (*_ASKED, *tunnel.SEALED)}
API_GIVEN = {name: value for name, value in GIVEN.items() if name not in tunnel.SEALED}
PREFIXED = {SEALED_PREFIX + name: value for name, value in GIVEN.items()}  # as a command gets them
SEALED = "sealed-value-of-the-test"


def outputs_document(name: str, **changes: str) -> dict[str, dict[str, str]]:
    """As ``cdk deploy --outputs-file`` writes it."""
    found: dict[str, dict[str, str]] = {}
    for o in OUTPUTS:
        found.setdefault(stack_name(name, o.stack), {})[o.key] = {**OUTPUT_VALUES, **changes}[o.key]
    return found


def a_project(name: str = "development", *, secret: str | None = SEALED, **changes: Any) -> Project:
    """A stage's project, with one sealed variable of the test's own.

    Its addresses are the test's: those of ``STAGES`` are for whoever uses the template to change.
    """
    outputs, given = {**OUTPUT_VALUES, **changes}, GIVEN if secret else {}
    label = "" if name == "production" else f"{name}."
    target = stage(
        name,
        region="us-east-1",
        public_url=f"https://api.{label}example.com",
        allowed_origins=(f"https://app.{label}example.com",),
    )
    made = stage_project(ROOT, target, outputs, given, "example/signalbox", "main")
    own = Variable("TEST_KEY", "A key.", "asked", False, True, secret=SecretStr(secret) if secret else None)
    api = made.services[0]
    return replace(made, services=(replace(api, variables=(*api.variables, own)), *made.services[1:]))
