"""The documents as a test reads them: fenced blocks, with the file that each is and the mark above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.api.server import ROOT

_FENCE = re.compile(
    r"(?m)^(?P<indent> *)(?:<!-- (?P<mark>[a-z]+: [^\n]*) -->\n(?P=indent))?"
    r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"\n]+)\")?\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL,
)
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "examples")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        place: Document and line, for a message.
        language: What stands behind the fence.
        title: The file that the block is; empty for none.
        mark: How it is tried: ``run: TEST`` or ``needs: WHAT``; empty for none.
        text: Between the fences.
    """

    place: str
    language: str
    title: str
    mark: str
    text: str


def pages() -> Iterator[Path]:
    """Every document that a person reads."""
    for name in PAGES:
        yield from sorted((ROOT / name).rglob("*.md")) if (ROOT / name).is_dir() else [ROOT / name]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    text = page.read_text(encoding="utf-8")
    fences = len(re.findall(r"(?m)^ *```", text))
    found = list(_FENCE.finditer(text))
    assert fences == 2 * len(found), f"{page}: a fence is open, or has more behind it than a language and a title"
    for match in found:
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(
            f"{page.relative_to(ROOT)}:{line}",
            match["language"],
            match["title"] or "",
            match["mark"] or "",
            "".join(part.removeprefix(match["indent"]) for part in match["text"].splitlines(keepends=True)),
        )


def interfaces() -> dict[str, str]:
    """The interface in code of each feature that is left out (docs/stretch), by a file name."""
    found = {}
    for page in sorted((ROOT / "docs/stretch").glob("*.md")):
        for block in blocks(page):
            if block.title.endswith("/interface.py"):
                found[f"{page.stem.replace('-', '_')}.py"] = block.text
    return found
