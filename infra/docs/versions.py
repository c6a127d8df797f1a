"""A version of the product by one command: the number, the changelog, the document of its API, a commit and a tag."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from infra.docs import openapi
from infra.shell.failure import Failure
from infra.shell.git import ask

_NUMBER: Final = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
_UNRELEASED: Final = re.compile(r"(?ms)^## Unreleased\n(.*?)(?=^## |\Z)")


def make(root: Path, number: str) -> None:
    """Write a version, commit it and tag it.

    Args:
        root: The checkout.
        number: The version, three numbers.

    Raises:
        Failure: Something stands against it; nothing was changed then.
    """
    before, changelog = openapi.version(root), (root / "CHANGELOG.md").read_text(encoding="utf-8")
    _refuse(root, number, before, changelog)
    made = openapi.document(number)
    if found := list(openapi.broken(root, made)):
        raise Failure(
            f"A client of {before} would break with {number}:\n  " + "\n  ".join(found) + "\nChoose a number that "
            "says so: the first raised, or the second while the first is 0."
        )
    text = json.dumps(made, indent=1) + "\n"
    for name in (openapi.CURRENT, openapi.RELEASED):
        (root / name).write_text(text, encoding="utf-8")
    heading = f"## Unreleased\n\n## {number}\n"
    (root / "CHANGELOG.md").write_text(changelog.replace("## Unreleased\n", heading, 1), encoding="utf-8")
    for name, head in (("pyproject.toml", "[project]\n"), ("uv.lock", "[[package]]\n")):
        path = root / name
        old = f'{head}name = "signalbox"\nversion = "{before}"\n'
        path.write_text(path.read_text(encoding="utf-8").replace(old, old.replace(before, number), 1), encoding="utf-8")
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", f"Release {number}")
    _git(root, "tag", "--annotate", f"v{number}", "--message", f"v{number}, {datetime.now(UTC):%Y-%m-%d}")


def _refuse(root: Path, number: str, before: str, changelog: str) -> None:
    if not _NUMBER.fullmatch(number):
        raise Failure(f"{number!r} is no version: three numbers, such as 0.2.0")
    if [int(part) for part in number.split(".")] <= [int(part) for part in before.split(".")]:
        raise Failure(f"{number} is not above {before}, the version of pyproject.toml: choose a higher number")
    if ask(root, "rev-parse", "--verify", "--quiet", f"refs/tags/v{number}"):
        raise Failure(f"The tag v{number} is there already: choose a higher number")
    if changed := ask(root, "status", "--porcelain"):
        raise Failure(f"These files are not committed, and a version is made of what is:\n{changed}\nCommit them first")
    found = _UNRELEASED.search(changelog)
    if found is None or not found[1].strip():
        raise Failure("CHANGELOG.md says nothing under ## Unreleased: write what changed, for those who take it over")


def _git(root: Path, *command: str) -> None:
    done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"git {command[0]} failed: {done.stderr.strip()}\nUndo what is half done: git reset --hard")
