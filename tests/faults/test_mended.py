"""Without the line that makes a promise hold, its drill fails: in a copy of the checkout, one line at a time.

``uv run pytest -m faults tests/faults/test_mended.py -k read-only`` runs a drill as it is, then without its line.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.mended import MENDED, Mended
from tests.support.api.server import ROOT

pytestmark = pytest.mark.faults
LEFT_OUT = (".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "cdk.out", ".signalbox", "*.whl")


def drilled(tree: Path, *drills: str) -> tuple[int, str]:
    """Run drills in a copy, in their short forms."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *drills],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=1800,
        env={**os.environ, "COLUMNS": "250"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A copy, in which the drills that were asked for pass."""
    made = tmp_path_factory.mktemp("mended") / "copy"
    shutil.copytree(ROOT, made, ignore=shutil.ignore_patterns(*LEFT_OUT))
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [spec.params["mended"].drill for spec in specs if spec is not None and "mended" in spec.params]
    code, said = drilled(made, *dict.fromkeys(asked))
    assert code == 0, said
    return made


@pytest.mark.usefixtures("in_full")
@pytest.mark.parametrize("mended", MENDED, ids=lambda mended: mended.name)
def test_a_drill_fails_without_the_line_that_it_is_about(
    mended: Mended, tree: Path, took_out: Callable[[Mended, str], None]
) -> None:
    file = tree / mended.file
    whole = file.read_text()  # of the copy: the checkout may change meanwhile
    mended.taken_out_of(tree)
    try:
        code, said = drilled(tree, mended.drill)
    finally:
        file.write_text(whole)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    failed = re.search("^FAILED .*? - (.+)$", said, re.MULTILINE)
    assert failed, said  # it was no error in what the drill needs before it begins
    took_out(mended, failed[1])


def test_each_line_is_there_and_each_drill_is_and_the_document_names_them() -> None:
    document = (ROOT / "docs/RELIABILITY.md").read_text()
    for mended in MENDED:
        mended.parts(ROOT)
        file, _, name = mended.drill.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), mended.name
        assert f"`{mended.name}`" in document, mended.name
