"""Documents say what the code does, or the build fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.docs import documents
from tests.support.api.server import ROOT


def test_every_generated_document_is_up_to_date() -> None:
    """Of the adopter's stages, so in a process that has those."""
    command = [sys.executable, "-m", "infra.cli.main", "docs", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_document_that_was_edited_by_hand_is_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "DOCUMENTS", {"edited.md": lambda: "made\n", "new/missing.md": lambda: "made\n"})
    (tmp_path / "edited.md").write_text("edited")
    assert list(documents.stale(tmp_path)) == ["edited.md", "new/missing.md"]
    assert documents.write(tmp_path) == ["edited.md", "new/missing.md"]
    assert list(documents.stale(tmp_path)) == []
    assert (tmp_path / "new" / "missing.md").read_text() == "made\n"


def test_what_the_documents_quote_of_the_example_page_is_in_it() -> None:
    page = {line.strip() for line in (ROOT / "examples/page/page.js").read_text().splitlines()}
    quoted = re.findall(r"```js\n(.*?)```", (ROOT / "docs/AUTH_CONFIGURATION.md").read_text(), re.DOTALL)
    assert quoted
    for block in quoted:
        for line in block.splitlines():
            assert line.strip() in page | {""}
