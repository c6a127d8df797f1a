"""The site of docs/ is built strictly, and what the generator does not look at is found too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.docs import diagrams
from infra.docs.site import broken, build, unlisted
from infra.shell.failure import Failure
from tests.support.api.server import ROOT


def test_the_site_is_built_without_a_warning_a_broken_link_or_a_page_that_no_menu_has(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    site = build(tmp_path)
    assert (site / "API_ARCHITECTURE.html").exists()


def test_what_the_generator_warns_of_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Start\n\n[a](nowhere.md) [b](index.md#nowhere)\n")
    (tmp_path / "zensical.toml").write_text(
        '[project]\nsite_name = "A"\nsite_dir = "out"\ndocs_dir = "docs"\nnav = []\n'
    )
    with pytest.raises(Failure, match=r"(?s)page does not exist.*anchor does not exist"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ('<img src="nowhere.svg">', "page.html: no file nowhere.svg"),
        ('<a href="../service">a</a>', "page.html: no file ../service"),
        ('<a href="page.html#nowhere">a</a>', "page.html: no anchor page.html#nowhere"),
        ('<script src="https://a.example/a.js"></script>', "page.html: loads https://a.example/a.js from another host"),
        ('<link rel="stylesheet" href="//a.example/a.css">', "page.html: loads //a.example/a.css from another host"),
        ('<a href="https://a.example/" id="b">a</a> <a href="#b">b</a>', None),
    ],
)
def test_what_the_generator_does_not_look_at_is_found(html: str, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html)
    assert list(broken(tmp_path)) == ([said] if said else [])


def test_a_page_that_no_menu_has_is_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("index.md", "deep/listed.md", "deep/lost.md"):
        (tmp_path / name).write_text("# A page\n")
    menu = [{"A": "index.md"}, {"B": [{"C": "deep/listed.md"}]}]
    assert list(unlisted(tmp_path, menu)) == ["docs/deep/lost.md: not in the menu (`nav` of zensical.toml)"]


def test_every_picture_is_drawn_from_its_text() -> None:
    drawn = diagrams.pictures()
    assert set(drawn) == {f"docs/diagrams/{file.name}" for file in (ROOT / "docs/diagrams").glob("*.svg")}
    with pytest.raises(Failure, match=r"D2 cannot draw docs/diagrams/bad\.d2"):
        diagrams.draw("a -> {", "bad.d2")
