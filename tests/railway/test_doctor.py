"""What `doctor` sees before a deployment is begun, and how it is shown."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from infra.deploy import preflight
from infra.deploy.finding import Finding, shown
from infra.railway.api import Client
from infra.stage.chosen import stage
from infra.stage.record import Stage
from tests.support.api.server import ROOT

MINE: dict[str, Any] = {
    "public_url": "https://api.acme.health",
    "allowed_origins": ("https://app.acme.health",),
    "watch": {"email": "on-call@acme.health"},
}


def found(root: Path, target: Stage, branch: str = "main") -> dict[str, Finding]:
    """What is seen without AWS and Railway, whose checks come last."""
    seen: dict[str, Finding] = {}
    for finding in preflight.checks(root, target, Client.from_environment, None, branch):
        seen[finding.name] = finding
        if finding.name == "Railway region":
            break
    return seen


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "package.json").write_text((ROOT / "package.json").read_text())
    (root / ".gitignore").write_text("ignored\n")
    for command in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("-c", "user.name=x", "-c", "user.email=x@y.z", "commit", "-qm", "a"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
    ):
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)
    return root


def test_a_migration_that_git_does_not_know_is_missing_on_railway(checkout: Path) -> None:
    target = stage("production", **MINE)
    assert found(checkout, target)["git"].state == "ok"
    (checkout / "ignored").write_text("x")
    assert found(checkout, target)["git"].state == "ok"
    (checkout / "0100_note.py").write_text("x")
    told = found(checkout, target)["git"]
    assert (told.state, "git does not know" in told.text) == ("missing", True)


def test_what_is_on_another_branch_alone_is_not_what_railway_builds(checkout: Path) -> None:
    subprocess.run(["git", "-C", str(checkout), "update-ref", "refs/remotes/origin/feature", "HEAD"], check=True)
    subprocess.run(["git", "-C", str(checkout), "update-ref", "-d", "refs/remotes/origin/main"], check=True)
    told = found(checkout, stage("production", **MINE))["git"]
    assert told.state == "missing"
    assert told.text.endswith("is not on main of GitHub, which Railway builds: git push origin main")
    assert found(checkout, stage("production", **MINE), "feature")["git"].state == "ok"


@pytest.mark.parametrize(
    "field",
    [
        {"public_url": "https://api.example.com"},
        {"allowed_origins": ("https://app.acme.health", "https://app.example.org")},
        {"watch": {"email": "security@example.com"}},
        {"federation": ({"name": "Acme", "kind": "saml", "tenant": "acme", "metadata_url": "https://idp.example/m"},)},
        {
            "variables": {
                "IDP__COGNITO__TENANTS": "*",
                "IDP__OKTA__KIND": "okta",
                "IDP__OKTA__ISSUER": "https://login.example.com",
                "IDP__OKTA__AUDIENCE": "api",
                "IDP__OKTA__TENANTS": "acme",
            }
        },
    ],
    ids=lambda field: next(iter(field)),
)
def test_every_example_address_that_is_left_is_told(checkout: Path, field: dict[str, Any]) -> None:
    assert found(checkout, stage("production", **MINE))["addresses"].state == "ok"
    told = found(checkout, stage("production", **{**MINE, **field}))["addresses"]
    assert (told.state, "example" in told.text) == ("missing", True)


def certificate(days: int) -> str:
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=400)).not_valid_after(now + timedelta(days=days))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(("days", "state"), [(300, "ok"), (20, "note"), (-1, "missing"), (None, "missing")])
def test_the_end_of_a_certificate_is_told_before_it_comes(checkout: Path, days: int | None, state: str) -> None:
    pem = certificate(days) if days is not None else "-----BEGIN CERTIFICATE-----"
    (told,) = preflight.certificate(pem, stage("production"))
    assert told.state == state
    assert state == "ok" or told.text.endswith(": uv run signalbox certs production --renew")
    (checkout / "infra" / "authorities").mkdir(parents=True)
    (checkout / "infra" / "authorities" / "production.pem").write_text(pem)
    assert found(checkout, stage("production", **MINE))["proof to AWS"].state == state


def test_findings_fit_a_terminal_with_what_to_do_last() -> None:
    many = [
        Finding("missing", "git", f"{'a long story ' * 20}that ends: git push origin main"),
        Finding("ok", "tools", "CDK 2: pinned"),
        Finding("note", "template", "no remote named template: git fetch template"),
    ]
    lines = list(shown(many))
    assert [state for state, _ in lines] == ["ok", "note", "note", *["missing"] * (len(lines) - 3)]
    assert all(len(line) <= 80 for _, line in lines)
    assert lines[0][1] == "ok      tools: CDK 2: pinned"
    assert lines[-1][1] == "        -> git push origin main"
