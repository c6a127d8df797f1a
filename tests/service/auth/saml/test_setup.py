"""Before a SAML provider serves: its settings, its libraries, and what a service without one is spared."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.auth.settings import AuthSettings
from service.settings import SettingsError, load
from tests.support.api.environments import AUTH, GOOD
from tests.support.api.server import ROOT, free_port
from tests.support.saml.provider import key_pair

SAML = {
    **{name: value for name, value in GOOD.items() if not name.startswith("IDP__")},
    "TOKEN_SIGNING_KEY_ID": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "IDP__CLINIC__KIND": "saml",
    "IDP__CLINIC__ISSUER": "http://www.okta.com/exk123",
    "IDP__CLINIC__METADATA_URL": "https://clinic.okta.com/app/exk123/sso/saml/metadata",
    "IDP__CLINIC__SP_SECRET_ID": "signalbox/production/idp-clinic-sp",
    "IDP__CLINIC__TENANTS": "acme",
}


def test_a_saml_provider_needs_no_more_than_this_also_in_production() -> None:
    assert (
        load(SAML, AUTH).of(AuthSettings).idp["clinic"].issuer == "http://www.okta.com/exk123"
    )  # a name, asked by nobody
    assert load(SAML | {"IDP__CLINIC__ISSUER": "urn:clinic:idp"}, AUTH)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"IDP__CLINIC__TENANTS": ""}, "IDP__CLINIC__TENANTS is required for saml"),
        ({"IDP__CLINIC__TENANTS": "*"}, "IDP__CLINIC__TENANTS is required for saml"),
        ({"IDP__CLINIC__TENANTS": "acme,globex"}, "IDP__CLINIC__TENANT_CLAIM is required with several tenants"),
        ({"IDP__CLINIC__METADATA_URL": ""}, "IDP__CLINIC__METADATA_URL or IDP__CLINIC__METADATA_FILE is required"),
        ({"IDP__CLINIC__METADATA_FILE": "/x"}, "IDP__CLINIC__METADATA_URL or IDP__CLINIC__METADATA_FILE is required"),
        ({"IDP__CLINIC__METADATA_URL": "http://clinic.example"}, "IDP__CLINIC__METADATA_URL must be an https address"),
        ({"IDP__CLINIC__SP_SECRET_ID": ""}, "IDP__CLINIC__SP_SECRET_ID is required for saml"),
        ({"IDP__CLINIC__SP_SECRET_ID": "", "IDP__CLINIC__SP_SECRET": "[]"}, "IDP__CLINIC__SP_SECRET must not hold"),
        ({"TOKEN_SIGNING_KEY_ID": ""}, "TOKEN_SIGNING_KEY_ID is required with a saml provider"),
        ({"IDP__CLINIC__ASSERTION_MINUTES": "1441"}, "IDP__CLINIC__ASSERTION_MINUTES"),
        ({"IDP__CLINIC__SIGN_IN_MINUTES": "4"}, "IDP__CLINIC__SIGN_IN_MINUTES"),
        ({"IDP__CLINIC__ISSUED_MINUTES": "61"}, "IDP__CLINIC__ISSUED_MINUTES"),
        ({"IDP__CLINIC__ISSUED_MINUTES": "0"}, "IDP__CLINIC__ISSUED_MINUTES"),
        (
            {"IDP__CLINIC__UNSOLICITED_RETURN_TO": "https://app.example.com.evil.example/"},
            "IDP__CLINIC__UNSOLICITED_RETURN_TO must be below one of ALLOWED_ORIGINS",
        ),
        (
            {"IDP__CLINIC__UNSOLICITED": "true", "ALLOWED_ORIGINS": "", "ENVIRONMENT": "staging"},
            "ALLOWED_ORIGINS is required with IDP__CLINIC__UNSOLICITED",
        ),
        ({"IDP__CLINIC__ISSUER": "with blanks"}, "IDP__CLINIC__ISSUER must be the provider's entity id"),
        ({"IDP__CLINIC__KIND": "oidc"}, "IDP__CLINIC__ISSUER must be an https address"),
    ],
)
def test_what_would_be_unsafe_or_cannot_work_is_refused_at_start(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(SAML | changes, AUTH)
    assert said in str(refused.value)


def start(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=base | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


DEVELOPMENT = SAML | {
    "ENVIRONMENT": "development",
    "PUBLIC_URL": "http://127.0.0.1:8000",
    "HOST": "127.0.0.1",
    "DATABASE_URL": "postgresql://a@127.0.0.1:1/b?sslmode=disable",
}


def test_libraries_that_do_not_fit_are_told_of_at_start(tmp_path: Path) -> None:
    """As xmlsec says it when its wheel and that of lxml carry different copies of libxml2."""
    (tmp_path / "xmlsec.py").write_text("raise Exception('lxml & xmlsec libxml2 library version mismatch')\n")
    changes = {"PYTHONPATH": str(tmp_path), "PORT": str(free_port())}
    done = start(DEVELOPMENT | changes, "-m", "service")
    assert done.returncode == 1
    assert "xmlsec and lxml do not work together" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_metadata_certificate_that_is_none_is_told_of_at_start() -> None:
    done = start(DEVELOPMENT | {"IDP__CLINIC__METADATA_CERTIFICATE": "MIIx", "PORT": str(free_port())}, "-m", "service")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "IDP__CLINIC__METADATA_CERTIFICATE is no certificate" in done.stderr
    assert key_pair("idp").one_line.startswith("MII")


def test_a_service_without_a_saml_provider_loads_nothing_of_it() -> None:
    program = (
        "import os, sys\n"
        "from service.settings import load\n"
        "from tests.support.api.environments import AUTH\n"
        "from tests.support.api.app import product\n"
        "product(load(os.environ, AUTH))\n"
        "print([m for m in ('lxml', 'xmlsec', 'onelogin', 'boto3', 'service.auth.saml') if m in sys.modules])\n"
    )
    environment = {name: value for name, value in DEVELOPMENT.items() if not name.startswith("IDP__")}
    environment |= {
        "IDP__X__KIND": "cognito",
        "IDP__X__ISSUER": "https://idp.example.com",
        "IDP__X__CLIENT_ID": "x",
    }
    done = start(environment, "-c", program)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_both_libraries_have_wheels_for_every_supported_python() -> None:
    """Built from source they would link two copies of libxml2, or none that fits."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    pinned = {"lxml": "6.1.3", "xmlsec": "1.3.17"}
    for package in lock["package"]:
        if package["name"] not in pinned:
            continue
        assert package["version"] == pinned.pop(package["name"])
        files = [wheel["url"].rsplit("/", 1)[1] for wheel in package["wheels"]]
        for python in ("cp311", "cp312", "cp313", "cp314"):
            for machine in ("x86_64", "aarch64"):
                assert [f for f in files if f"-{python}-{python}-manylinux" in f and machine in f], (python, machine)
    assert not pinned
