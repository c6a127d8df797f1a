"""What the service is made of: held against the lock file, the installed packages and the code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli.main import main
from infra.docs.hipaa.evidence import is_test
from infra.docs.supply import FLOORS, LICENCES, SAID_OTHERWISE, WATCHED, Watched, below
from tests.support.api.server import ROOT


def locked() -> Iterator[tuple[str, str]]:
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        yield package["name"], package.get("version", "0")


@cache
def in_the_image() -> list[str]:
    command = "uv export --locked --offline --no-hashes --no-header --no-annotate -q"
    command += " --no-default-groups --group image"
    done = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=True)
    return re.findall(r"^([a-z0-9-]+)==", done.stdout, re.MULTILINE)


def test_no_locked_package_is_below_the_floor_of_an_advisory() -> None:
    assert below(locked()) == []
    names = {name for name, _ in locked()}
    assert {floor.package for floor in FLOORS} <= names, "a floor is about nothing"
    assert below([("python-jose", "3.3.0")])


def licence_of(package: str) -> str:
    said = metadata(package).json
    return str(SAID_OTHERWISE.get(package) or said.get("license_expression") or said.get("license") or "nothing")


def test_every_package_of_the_image_has_a_licence_of_the_list() -> None:
    names = in_the_image()
    assert len(names) > 40
    for name in names:
        try:
            licence = licence_of(name)
        except PackageNotFoundError:
            continue  # of another platform
        parts = re.split(r" (?:AND|OR) ", licence.replace("(", "").replace(")", ""))
        assert {*parts} <= LICENCES, f"{name} is under {licence}"


def imported(module: str) -> set[str]:
    found = set()
    for file in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == module:
                found |= {f"{node.module}.{name.name}" for name in node.names}
            if isinstance(node, ast.Import):
                found |= {name.name for name in node.names if name.name.split(".")[0] == module}
    return found


@pytest.mark.parametrize("library", WATCHED, ids=lambda library: library.package)
def test_of_a_watched_library_the_service_uses_what_the_table_says(library: Watched) -> None:
    assert imported(library.module) == library.used
    pinned = (ROOT / "pyproject.toml").read_text()
    assert re.search(rf'"{library.package}(\[[a-z]+\])?==', pinned), "a watched library is pinned exactly"


@pytest.mark.parametrize("library", WATCHED, ids=lambda library: library.package)
def test_every_hole_names_a_test_that_is_there(library: Watched) -> None:
    assert [hole.test for hole in library.holes if not is_test(ROOT, hole.test)] == []


def test_signatures_are_verified_by_cryptography_alone() -> None:
    """python-jose falls back to ecdsa and rsa, written in Python, where cryptography is not there."""
    from jose import backends

    assert backends.ECKey is not None
    for key in (backends.ECKey, backends.RSAKey):
        assert key.__module__ == "jose.backends.cryptography_backend"


def test_a_bill_of_materials_is_the_same_twice_and_has_what_is_locked() -> None:
    bills = [CliRunner().invoke(main, ["sbom", "--image"]).output for _ in range(2)]
    assert bills[0] == bills[1]
    made = json.loads(bills[0])
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.5")
    versions = dict(locked())
    named = {part["name"]: part for part in made["components"] if part["name"] in in_the_image()}
    assert {*named} == {*in_the_image()}
    for name, part in named.items():
        assert part["version"] == versions[name]
        assert part["externalReferences"][0]["hashes"], name


def test_what_the_base_of_the_image_brings_is_in_its_bill_too(tmp_path: Path) -> None:
    status = tmp_path / "status"
    stanza = "Package: {}\nStatus: {}\nVersion: {}\nArchitecture: amd64\nDescription: short\n long: text\n\n"
    there, gone = "install ok installed", "deinstall ok config-files"
    status.write_text(stanza.format("tar", there, "1.35+dfsg-3.1") + stanza.format("gone", gone, "1"))
    asked = ["sbom", "--debian", str(status)]
    made = json.loads(CliRunner().invoke(main, [*asked, "--image"]).output)
    of_debian = [part["purl"] for part in made["components"] if part.get("purl", "").startswith("pkg:deb/")]
    assert of_debian == ["pkg:deb/debian/tar@1.35%2Bdfsg-3.1?arch=amd64"]
    assert "add --image" in CliRunner().invoke(main, asked).output
    status.write_text("nothing of dpkg\n")
    assert "has no package" in CliRunner().invoke(main, [*asked, "--image"]).output


def hook() -> list[str]:
    found = re.search(
        r"\{id: secrets,.* entry: uv run --locked ([^,]+),", (ROOT / ".pre-commit-config.yaml").read_text()
    )
    assert found is not None
    return found[1].split()


def test_a_secret_that_is_staged_stops_the_commit(tmp_path: Path) -> None:
    tool, *options = hook()
    command = [str(Path(sys.executable).with_name(tool)), *options]

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    def judged() -> int:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120).returncode

    git("init", "-q")
    git("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "x")
    (tmp_path / "notes.txt").write_text("nothing to hide\n")
    git("add", ".")
    assert judged() == 0
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    git("add", ".")
    assert judged() != 0
