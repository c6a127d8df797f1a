"""The git commands of docs/UPGRADING.md, from its own text: what is pushed afterwards never goes to the template."""

from __future__ import annotations

from pathlib import Path

from tests.support.api.server import ROOT
from tests.support.documents import blocks
from tests.upgrade.checkouts import Checkout


def test_what_an_adopter_pushes_goes_to_the_adopters_repository_alone(tmp_path: Path) -> None:
    once, version = (
        block.text.replace("ADDRESS_OF_THE_TEMPLATE", "../template.git").replace("ADDRESS_OF_YOURS", "../yours.git")
        for block in blocks(ROOT / "docs/UPGRADING.md")
        if block.mark == "run: tests/upgrade/test_upgrade.py, tests/upgrade/test_once.py"
    )
    here = Checkout(tmp_path)
    for name in ("template.git", "yours.git"):
        here.run("git", "init", "-q", "--bare", "--initial-branch=main", name)
    here.run("git", "clone", "-q", "template.git", "source")
    source = Checkout(tmp_path / "source")
    source.write("README.md", "# Signalbox\n")
    source.commit("The version that is adopted")
    source.run("git", "push", "-q", "origin", "HEAD:main")
    here.run("bash", "-euc", once.replace("../", str(tmp_path) + "/"))

    product = Checkout(tmp_path / "my-product")
    product.write("ours", "ours\n")
    product.commit("Ours")
    product.run("git", "push", "-q")
    assert here.run("git", "-C", "yours.git", "log", "-1", "--format=%s").strip() == "Ours"
    assert here.run("git", "-C", "template.git", "log", "-1", "--format=%s").strip() == "The version that is adopted"

    source.write("newer", "newer\n")
    source.commit("Newer")
    source.run("git", "tag", "v1.2.0")
    source.run("git", "push", "-q", "--tags", "origin", "HEAD:main")
    product.run("bash", "-euc", version.replace("git merge", "git merge --no-edit"))
    assert (product.root / "newer").exists()
    assert (product.root / "ours").exists()
