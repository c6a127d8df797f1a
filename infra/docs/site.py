"""The site of docs/: built strictly, and every link of what was built is followed on this disk.

The generator knows links between pages. What it does not look at is found here: pictures, files, pages that no menu
leads to, and whatever a page would load from another host.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from infra.shell.failure import Failure

_SECONDS: Final = 300
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_LOADS: Final = ("src", "data", "poster", "srcset")  # attributes whose address a browser fetches by itself


def build(root: Path) -> Path:
    """Build it.

    Args:
        root: The checkout.

    Returns:
        The folder that it was built into.

    Raises:
        Failure: The generator warns, or a link leads nowhere; the text has all of them.
    """
    project = tomllib.loads((root / "zensical.toml").read_text(encoding="utf-8"))["project"]
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        said = _COLOURS.sub("", done.stdout).partition("Traceback")[0].strip()
        raise Failure(f"The site cannot be built: mend what zensical names below.\n{said}")
    site = root / str(project["site_dir"])
    if wrong := [*unlisted(root / str(project["docs_dir"]), project["nav"]), *broken(site)]:
        raise Failure("\n".join(["The site has links that lead nowhere:", *wrong]))
    return site


def unlisted(docs: Path, nav: object) -> Iterator[str]:
    """Pages that the menu does not lead to.

    Args:
        docs: The folder with the pages.
        nav: The menu, as zensical.toml has it.
    """
    listed = set(_listed(nav))
    for page in sorted(docs.rglob("*.md")):
        if (name := page.relative_to(docs).as_posix()) not in listed:
            yield f"docs/{name}: not in the menu (`nav` of zensical.toml)"


def _listed(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _listed(part)


@dataclass
class _Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    links: list[tuple[str, bool]] = field(default_factory=list)  # an address, and whether a browser fetches it
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.links += [(given[name], True) for name in _LOADS if name in given]
        if "href" in given:
            self.links.append((given["href"], tag == "link" and given.get("rel") != "canonical"))


def broken(site: Path) -> Iterator[str]:
    """Links of the built pages that lead nowhere, and what they would load from elsewhere.

    Args:
        site: The folder with the pages.
    """
    pages = {file: _parsed(file) for file in sorted(site.rglob("*.html")) if file.name != "404.html"}
    for file, page in pages.items():
        for address, fetched in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if fetched and parts.scheme != "data":
                    yield f"{file.relative_to(site)}: loads {address} from another host"
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.is_relative_to(site.resolve()) or not target.is_file():
                yield f"{file.relative_to(site)}: no file {address}"
            elif (there := pages.get(site / target.relative_to(site.resolve()))) and (
                parts.fragment and unquote(parts.fragment) not in there.anchors
            ):
                yield f"{file.relative_to(site)}: no anchor {address}"


def _parsed(file: Path) -> _Page:
    page = _Page()
    page.feed(file.read_text(encoding="utf-8"))
    return page
