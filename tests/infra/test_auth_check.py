"""What a person who configures a provider is told: each check, with what it was made, and the rule that fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli.main import main
from infra.environment.dotenv import dotenv_lines
from tests.support.api.environments import DEVELOPMENT
from tests.support.idp.issuer import Issuer
from tests.support.idp.op import ScriptedProvider


def check(environment: dict[str, str], *arguments: str, token: str | None = None) -> Result:
    return CliRunner().invoke(main, ["auth", "check", *arguments], env={**DEVELOPMENT, **environment}, input=token)


def steps(result: Result) -> list[str]:
    return [line.split()[1] for line in result.stdout.splitlines()]


def test_a_good_token_passes_every_step_and_is_not_printed(issuer: Issuer) -> None:
    token = issuer.token(subject="alice-of-acme")
    result = check(issuer.environment(), token=token + "\n")
    assert result.exit_code == 0, result.output
    assert steps(result) == [
        "structure",
        "header",
        "issuer",
        "signature",
        "kind",
        "subject",
        "audience",
        "times",
        "tenant",
        "accepted",
    ]
    assert "alice-of-acme" not in result.output
    for part in token.split("."):
        assert part not in result.output


@pytest.mark.parametrize(
    ("changes", "failing", "told"),
    [
        ({"iss": "https://other.example"}, "issuer: AUTH_004", 'iss is "https://other.example"'),
        ({"token_use": "id"}, "kind: AUTH_008", "token_use = access"),
        ({"client_id": "another"}, "audience: AUTH_007", 'client_id "another"'),
        ({"iat": 1_600_000_000, "exp": 1_600_003_600}, "times: AUTH_001", "exp 1600003600"),
        ({"tenant_id": ...}, "tenant: AUTH_030", "tenant_id or organization_id"),
        ({"sub": ""}, "subject: AUTH_009", "1 to 255"),
        ({"header": {"kid": "gone"}}, "signature: AUTH_005", "a key of the provider's set"),
        ({"header": {"alg": "HS256"}}, "signature: AUTH_003", "RS256"),
        ({"iss": "https://e.example/\u001b[2J"}, "issuer: AUTH_004", "\\u001b[2J"),
    ],
)
def test_the_rule_that_fails_is_named_with_both_sides(
    issuer: Issuer, changes: dict[str, Any], failing: str, told: str
) -> None:
    result = check(issuer.environment(), token=issuer.token(**changes))
    assert result.exit_code == 1
    assert failing in result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("token", ["", "not a token", "a.b.c", "x" * 100_000])
def test_what_is_no_token_fails_at_its_structure(issuer: Issuer, token: str) -> None:
    result = check(issuer.environment(), token=token)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "structure: AUTH_002" in result.stderr


def test_a_provider_is_asked_for_everything_a_sign_in_needs() -> None:
    with ScriptedProvider() as provider:
        result = check(provider.settings(), "op")
        assert result.exit_code == 0, result.output
        assert {"settings", "discovery", "keys", "sign-in", "client", "register", "sign-out"} <= set(steps(result))
        assert "http://127.0.0.1:8000/api/v1/auth/op/callback" in result.stdout or "/callback" in result.stdout
        assert "s3cret" not in result.output
        provider.metadata = {"issuer": "https://other.example"}
        assert "discovery_issuer_differs" in check(provider.settings(), "op").stderr
        provider.reset()
        provider.keys = [{"kty": "oct", "k": "AAAA"}]
        assert "0 of 1 usable" in check(provider.settings(), "op").stderr
        provider.answers = {"/keys": lambda: (500, b"")}
        assert "status_500" in check(provider.settings(), "op").stderr
        assert "choose one of op" in check(provider.settings(), "nobody").stderr
    assert "ConnectError" in check(provider.settings(), "op").stderr


def test_the_settings_can_come_from_a_rendered_file(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "railway.env"
    variables = {**DEVELOPMENT, **issuer.environment()}
    by_hand = "".join(f"export {name}={json.dumps(value)}  # said\n" for name, value in variables.items())
    assert "'postgresql" in dotenv_lines(variables)
    for text in (dotenv_lines(variables), by_hand):
        file.write_text(text)
        result = CliRunner().invoke(main, ["auth", "check", "--env-file", str(file)], input=issuer.token())
        assert result.exit_code == 0, result.output
    file.write_text("ENVIRONMENT=production\n")
    refused = CliRunner().invoke(main, ["auth", "check", "--env-file", str(file)], input="x")
    assert refused.exit_code == 1
    assert "DATABASE_URL is required" in refused.stderr
