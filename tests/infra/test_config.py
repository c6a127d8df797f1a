"""A stage that must not exist cannot be written down."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pydantic import ValidationError

from infra.product import STAGES
from infra.stage.chosen import stage
from infra.stage.parts import Federated
from infra.stage.record import REGIONS, ConfigurationError
from tests.support.api.server import ROOT

SAML = {"name": "AcmeOkta", "kind": "saml", "tenant": "acme", "metadata_url": "https://acme.okta.example/metadata"}


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("production", {"database": {"multi_az": False}}, "multi_az"),
        ("production", {"database": {"backup_days": 29}}, "backup_days"),
        ("production", {"database": {"deletion_protection": False}}, "deletion_protection"),
        ("production", {"retain": False}, "retain"),
        ("production", {"mfa_required": False}, "mfa_required"),
        ("production", {"cognito_plan": "ESSENTIALS"}, "PLUS"),
        ("production", {"access": "user"}, "roles-anywhere"),
        ("production", {"watch": {"email": None}}, "watch.email"),
        ("production", {"public_url": "http://api.example.com"}, "https"),
        ("production", {"signing_keys": (1, 1)}, "each key once"),
        ("production", {"region": "il-central-1"}, "region must be one of"),
        ("production", {"token_minutes": 61}, "token_minutes"),
        ("staging", {"retain": False}, "retain"),
        ("development", {"mfa_required": False}, "mfa_required"),
        ("development", {"network": {"nat_gateways": 0}}, "nat_gateways"),
        ("local", {"environment": "production"}, "stage local"),
        ("staging", {"domain_prefix": "my-aws-login"}, "domain_prefix"),
        ("staging", {"federation": (SAML, SAML)}, "federation names"),
        ("staging", {"federation": ({**SAML, "name": "COGNITO"},)}, "federation names"),
        ("staging", {"colour": "blue"}, "colour"),
        ("nowhere", {}, "unknown stage"),
    ],
)
def test_an_unsafe_stage_is_refused_with_its_reason(name: str, overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        stage(name, **overrides)


def test_a_stage_cannot_be_changed_once_it_is_made() -> None:
    with pytest.raises(ValidationError):
        STAGES["production"].retain = False  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"metadata_url": None},
        {"metadata_url": "http://acme.okta.example/metadata"},
        {"issuer": "https://acme.okta.example", "client_id": "x"},
        {"kind": "oidc"},
        {"tenant": "no tenant"},
    ],
)
def test_a_federated_provider_is_complete_or_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Federated.model_validate(SAML | change)


def test_every_region_a_stage_may_have_comes_with_its_database_authorities() -> None:
    """And with nothing else: what is in this file can pose as the database."""
    bundle = (ROOT / "service" / "database" / "rds-ca.pem").read_bytes()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(bundle)
    assert digest.finalize().hex() == "0818b2180d08997cbe7af781fb27d251c3a8339e82b0643b39829e2b5adfc148"
    found = x509.load_pem_x509_certificates(bundle)
    names = {certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for certificate in found}
    keys = ("RSA2048", "RSA4096", "ECC384")
    assert names == {f"Amazon RDS {region} Root CA {key} G1" for region in REGIONS for key in keys}
    for certificate in found:
        assert certificate.issuer == certificate.subject
        certificate.verify_directly_issued_by(certificate)
        assert certificate.not_valid_after_utc.year >= 2061
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
