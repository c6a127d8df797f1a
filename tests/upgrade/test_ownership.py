"""Whose a file is: doctor and a merge go by the same table."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from infra.deploy.ownership import edited
from infra.docs.documents import DOCUMENTS
from infra.shell.failure import Failure
from infra.shell.git import ask
from tests.support.api.server import ROOT
from tests.upgrade.checkouts import Checkout, clone

ADOPTERS = ("service/product.py", "infra/product.py", "product/pyproject.toml", "README.md", "LICENSE")


@pytest.fixture
def template(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "template")
    for name in ("service/app.py", "service/gone.py", "docs/reference/made.md", *ADOPTERS):
        made.write(name, "as it was adopted\n")
    made.write(".gitattributes", (ROOT / ".gitattributes").read_text())
    made.run("git", "init", "-q", "--initial-branch=main")
    made.commit("The version that is adopted")
    return made


def test_only_files_of_the_template_are_listed(template: Checkout, tmp_path: Path) -> None:
    adopter = clone(template, tmp_path / "adopter")
    for name in (*ADOPTERS, "docs/reference/made.md", "service/visits/routes.py", "tests/visits/test_visits.py"):
        adopter.write(name, "the adopter's\n")
    adopter.commit("Make it ours")
    adopter.write("service/other.py", "not committed\n")
    assert edited(adopter.root) == []

    adopter.write("service/app.py", "edited\n")
    assert edited(adopter.root) == ["service/app.py"]
    (adopter.root / "service/gone.py").unlink()
    adopter.commit("Edit the core")
    assert edited(adopter.root) == ["service/app.py", "service/gone.py"]


def test_what_a_newer_template_changed_was_not_edited_here(template: Checkout, tmp_path: Path) -> None:
    adopter = clone(template, tmp_path / "adopter")
    template.write("service/app.py", "newer\n")
    template.commit("Change the core")
    adopter.run("git", "fetch", "-q", "template")
    assert edited(adopter.root) == []
    adopter.run("git", "merge", "-q", "template/main")
    assert edited(adopter.root) == []


def test_a_checkout_that_cannot_be_compared_is_told_which_command_helps(template: Checkout, tmp_path: Path) -> None:
    adopter = clone(template, tmp_path / "adopter")
    adopter.run("git", "remote", "remove", "template")
    with pytest.raises(Failure, match="git remote add template"):
        edited(adopter.root)
    adopter.run("git", "remote", "add", "template", str(template.root))
    with pytest.raises(Failure, match="git fetch template --tags"):
        edited(adopter.root)
    copied = Checkout(tmp_path / "copied")
    copied.write("a", "a")
    copied.run("git", "init", "-q")
    copied.commit("A copy without history")
    copied.run("git", "remote", "add", "template", str(template.root))
    copied.run("git", "fetch", "-q", "template")
    with pytest.raises(Failure, match="A copy without history"):
        edited(copied.root)
    assert "## A copy without history" in (ROOT / "docs" / "UPGRADING.md").read_text()


def test_every_made_file_and_every_file_of_the_adopter_is_kept_by_a_merge() -> None:
    for name in ("uv.lock", *DOCUMENTS, *ADOPTERS):
        assert (ROOT / name).exists()
        assert ask(ROOT, "check-attr", "merge", name) == f"{name}: merge: product"


def test_the_changelog_has_what_is_not_released_on_top_and_a_section_for_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"(?m)^## (.*)$", (ROOT / "CHANGELOG.md").read_text())
    assert headings[:2] == ["Unreleased", version]
    released = [tuple(map(int, heading.split("."))) for heading in headings[1:]]
    assert released == sorted(released, reverse=True)
