"""What `.ci/scan` says of an image's Debian packages, asked of signed lists that are in this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.api.server import ROOT

# Lists of `trixie` and `trixie-security` with one package, signed by a key that was thrown away.
LISTS = ROOT / "tests" / "image" / "debian"
FIXED = "3.5.4-1+deb13u2"

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is what compares")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    for name, text in {
        "etc/os-release": "ID=debian\nVERSION_CODENAME=trixie\n",
        "var/lib/dpkg/status": "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n"
            "Maintainer: x <x@example.com>\nDescription: x\n\n"
            for name, version in {"dpkg": "1.22.21", "libssl3t64": FIXED}.items()
        ),
    }.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    (root / "usr/share/keyrings").mkdir(parents=True)
    shutil.copy(LISTS / "keyring.gpg", root / "usr/share/keyrings/debian-archive-keyring.gpg")
    return root


def installed(image: Path, version: str) -> None:
    status = image / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace(FIXED, version))


def scan(image: Path, lists: Path = LISTS) -> tuple[int, str]:
    given = {"DEBIAN_MIRROR": f"file:{lists}", "DEBIAN_SECURITY_MIRROR": f"file:{lists}"}
    command = [str(ROOT / ".ci/scan"), str(image)]
    done = subprocess.run(
        command, env={**os.environ, **given}, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_packages_that_are_as_new_as_debian_has_them_pass(image: Path) -> None:
    code, told = scan(image)
    assert (code, "none with a newer version" in told) == (0, True), told


def test_a_package_without_its_security_update_is_named(image: Path) -> None:
    installed(image, "3.5.4-1+deb13u1")
    code, told = scan(image)
    assert code == 1, told
    assert f"libssl3t64 3.5.4-1+deb13u1, and {FIXED} is in Debian-Security" in told


@pytest.mark.parametrize("spoil", ["changed", "signed by another", "missing", "no Debian"])
def test_what_could_not_be_asked_is_no_pass(image: Path, tmp_path: Path, spoil: str) -> None:
    lists = tmp_path / "lists"
    shutil.copytree(LISTS, lists)
    security = lists / "dists/trixie-security"
    match spoil:
        case "changed":
            packages = security / "main/binary-amd64/Packages"
            packages.write_text(packages.read_text().replace(FIXED, "3.5.4-1+deb13u0"))
        case "signed by another":
            debian = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
            keys = image / "usr/share/keyrings/debian-archive-keyring.gpg"
            keys.write_bytes(debian.read_bytes() if debian.exists() else b"no key")
        case "missing":
            shutil.rmtree(security)
        case "no Debian":
            (image / "var/lib/dpkg/status").unlink()
    code, told = scan(image, lists)
    assert code == 2, told
