"""What the stacks tell makes an environment that the service starts from, in every stage that runs on Railway."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from infra.environment.build import EnvironmentRefused, build
from infra.environment.table import Inputs
from infra.railway.sources import sealed_needed
from infra.stage import tailscale as tunnel
from infra.stage.chosen import stage
from infra.stage.outputs import OUTPUTS
from service.product import NAME
from tests.infra.conftest import ENTRA

# What AWS would answer with.
TOLD = {output.key: f"arn:aws:x:us-east-1:111122223333:{output.key}" for output in OUTPUTS} | {
    "Region": "us-east-1",
    "DatabaseHost": "signalbox.c1abcdefghij.us-east-1.rds.amazonaws.com",
    "DatabasePort": "5433",
    "DatabaseName": "signalbox",
    "UserPoolIssuer": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc",
    "UserPoolClientId": "abc",
    "HostedLoginUrl": "https://signalbox.auth.us-east-1.amazoncognito.com",
}


def render(inputs: Inputs) -> dict[str, str]:
    return {v.name: v.value for v in build(inputs) if v.value is not None}


def sealed(name: str) -> list[str]:
    return [one for one in sealed_needed(stage(name)) if one not in tunnel.SEALED]


@pytest.mark.parametrize("name", ["development", "staging", "production"])
def test_the_database_is_reached_through_the_tunnel_and_verified_against_its_own_name(name: str) -> None:
    found = render(Inputs(stage(name), TOLD))
    assert found["DATABASE_PROXY"] == "socks5://tailscale.railway.internal:1055"
    assert urlsplit(found["DATABASE_URL"]).hostname == TOLD["DatabaseHost"]
    assert found["DATABASE_URL"].endswith("?sslmode=verify-full")
    assert found["DATABASE_CA_FILE"] == "rds"
    assert found["TOKEN_SIGNING_KEY_ID"] == TOLD["TokenSigningKeyArn"]


def test_a_stage_by_certificate_has_its_arns_and_seals_the_rest() -> None:
    found = render(Inputs(stage("production"), TOLD))
    assert found["ROLES_ANYWHERE_ROLE_ARN"] == TOLD["ServiceRoleArn"]
    assert sealed("production") == ["ROLES_ANYWHERE_CERTIFICATE_SECRET", "ROLES_ANYWHERE_PRIVATE_KEY_SECRET"]
    assert not set(sealed("production")) & set(found), "what is sealed is rendered nowhere"
    by_user = render(Inputs(stage("development"), TOLD))
    assert not [variable for variable in by_user if variable.startswith("ROLES_ANYWHERE_")]
    assert sealed("development") == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


def test_a_stage_by_certificate_is_not_rendered_without_its_role() -> None:
    with pytest.raises(EnvironmentRefused, match="stack output ServiceRoleArn"):
        render(Inputs(stage("production"), {key: value for key, value in TOLD.items() if key != "ServiceRoleArn"}))


def test_logging_in_by_iam_names_no_password() -> None:
    found = render(Inputs(stage("production", database={"iam_auth": True}), TOLD))
    assert found["DATABASE_IAM_AUTH"] == "true"
    assert "DATABASE_SECRET_ID" not in found
    assert found["DATABASE_MIGRATION_SECRET_ID"] == TOLD["DatabaseMasterSecretArn"]


def test_the_tunnel_is_userspace_seals_its_key_and_reaches_one_port() -> None:
    production = stage("production", federation=(ENTRA,))
    found = tunnel.variables(production)
    assert found["TS_USERSPACE"] == "true"
    assert found["TS_SOCKS5_SERVER"].endswith(f":{tunnel.SOCKS_PORT}")
    assert "TS_AUTHKEY" not in found
    assert tunnel.SEALED == ("TS_AUTHKEY",)
    assert tunnel.variables(stage("local")) == {}
    grants = tunnel.tailnet_policy(production)["grants"]
    assert grants == [{"src": [f"tag:{NAME}-api-production"], "dst": ["10.45.0.0/16"], "ip": ["tcp:5433"]}]
