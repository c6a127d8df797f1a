"""Documents say what the code does, or the build fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.docs import documents
from infra.shell.failure import Failure
from tests.support.api.server import ROOT


def test_every_generated_document_is_up_to_date() -> None:
    """Of the adopter's stages, so in a process that has those."""
    command = [sys.executable, "-m", "infra.cli.main", "docs", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_document_that_was_edited_by_hand_is_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = documents.Part("whole.md", None, lambda: "made\n")
    part = documents.Part("mixed.md", "rows", lambda: "| made |\n")
    monkeypatch.setattr(documents, "PARTS", (whole, part))
    (tmp_path / "whole.md").write_text("edited")
    (tmp_path / "mixed.md").write_text("# By hand\n<!-- generated: rows -->\nedited\n<!-- end: rows -->\nBy hand\n")
    assert list(documents.stale(tmp_path)) == ["whole.md", "mixed.md"]
    documents.write(tmp_path)
    assert list(documents.stale(tmp_path)) == []
    text = (tmp_path / "mixed.md").read_text()
    assert text == "# By hand\n<!-- generated: rows -->\n| made |\n<!-- end: rows -->\nBy hand\n"


def test_a_document_without_its_marks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PARTS", (documents.Part("mixed.md", "rows", lambda: ""),))
    (tmp_path / "mixed.md").write_text("# By hand\n")
    with pytest.raises(Failure, match=r"mixed\.md lacks the marks"):
        documents.write(tmp_path)
