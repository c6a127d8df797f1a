"""A feature is a folder: copied into a fresh clone, with one line in the product's list, it is whole.

The steps are those of docs/API_ARCHITECTURE.md, "Take over an example", and those of the tutorial, from its own text.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from shlex import quote

import pytest

from infra.docs.documents import DOCUMENTS
from tests.support.api.server import ROOT
from tests.support.documents import Block, blocks, interfaces
from tests.upgrade.checkouts import Checkout, clone, template

# The packages of this run instead of a second environment with the same: the code is that of the folder it runs in.
PYTHON = (sys.executable,)
_UV = f"""#!/bin/sh
shift
case $1 in
  signalbox) shift; exec {quote(sys.executable)} -m infra.cli.main "$@" ;;
  python) shift; exec {quote(sys.executable)} "$@" ;;
  *) exec {quote(sys.executable)} -m "$@" ;;
esac
"""
HERE = "run: tests/examples/test_copied.py"


def copy_into(product: Checkout) -> None:
    """What an adopter does with the examples."""
    shutil.copytree(product.root / "examples/notes", product.root / "service/notes")
    shutil.copytree(product.root / "examples/files", product.root / "service/files")
    (product.root / "service/files/tests").rename(product.root / "tests/files")
    imports = "from service.files.feature import FILES\nfrom service.notes.feature import NOTES\n"
    product.edit("service/product.py", "\nNAME:", f"{imports}\nNAME:")
    product.edit("service/product.py", "    HEALTH,\n", "    HEALTH,\n    FILES,\n    NOTES,\n")


def follow(product: Checkout, block: Block, tools: Path) -> None:
    """What a reader does with a block of the tutorial: write it to its file, apply it, or run it."""
    if block.language == "diff":
        product.run("sh", "-c", f"printf %s {quote(block.text)} | git apply --verbose")
    elif block.title:
        product.write(block.title, block.text)
    elif block.mark == HERE:
        product.run("bash", "-euc", f"PATH={quote(str(tools))}:$PATH\n{block.text}")


@pytest.mark.long
def test_a_copied_feature_is_whole_and_changes_no_file_of_the_core(tmp_path: Path) -> None:
    product = clone(template(tmp_path / "template"), tmp_path / "product")
    (tmp_path / "uv").write_text(_UV)
    (tmp_path / "uv").chmod(0o755)
    tutorial = list(blocks(ROOT / "docs/tutorial/first-feature.md"))
    documents = next(block for block in tutorial if "signalbox docs" in block.text)
    steps = tutorial.index(documents)
    for block in tutorial[:steps]:
        follow(product, block, tmp_path)
    of_the_tutorial = ("service/visits", "tests/visits", "service/product.py")
    product.run(*PYTHON, "-m", "ruff", "check", *of_the_tutorial)
    product.run(*PYTHON, "-m", "black", "--check", *of_the_tutorial)
    copy_into(product)
    follow(product, documents, tmp_path)  # for both; then the tests of the tutorial's feature

    changed = product.run("git", "diff", "--name-only").split()
    assert set(changed) - DOCUMENTS.keys() == {"service/product.py"}
    added = product.run("git", "ls-files", "--others", "--exclude-standard").split()
    assert {"/".join(name.split("/")[:2]) for name in added} == {
        *(f"{folder}/{name}" for folder in ("service", "tests") for name in ("files", "visits")),
        "service/notes",
    }

    codes = (product.root / "docs/ERROR_CODES.md").read_text()
    assert all(f"FILES_00{number}" in codes for number in range(1, 6))
    assert "VISITS_001" in codes
    assert "VISITS_002" in codes
    assert "AUTH_001" in codes
    for name in (".env.example", "docs/reference/variables.md"):
        text = (product.root / name).read_text()
        assert {"FILES__MAX_BYTES", "FILES__KEY_DAYS", "FILES__KEY_SECRET_ID"} <= {
            word.strip("`").partition("=")[0] for word in text.split()
        }

    for name, text in interfaces().items():  # of what is left out: as good as code, so judged with it
        product.write(f"service/later/{name}", text)
    if (cache := ROOT / ".mypy_cache").exists():  # what has not changed since is not judged anew
        shutil.copytree(cache, product.root / ".mypy_cache")
    product.run(
        *PYTHON,
        "-m",
        "mypy",
        "service/files",
        "service/notes",
        "service/visits",
        "service/later",
        "service/product.py",
        "tests/files",
        "tests/visits",
    )
    # Two tenants in one database, by tokens and by keys: isolation is what most of these tests are about.
    # And the core's own, which serve the examples beside the product.
    database, http = "tests/service/database", "tests/service/http"
    core = (f"{http}/test_openapi.py", f"{database}/test_isolation.py", f"{database}/test_migrations.py")
    product.run(*PYTHON, "-m", "pytest", "-n0", "-q", "tests/files", *core)
