"""A template and its adopter as two repositories on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.api.server import ROOT

_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "somebody"), ("EMAIL", "somebody@example.com"))
}


@dataclass(frozen=True)
class Checkout:
    """A repository with files."""

    root: Path

    def run(self, *command: str, **environment: str) -> str:
        """One command of a user, which must succeed; what it prints."""
        # The environment of this run names another project's virtual environment.
        kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=kept | _IDENTITY | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text, f"{name} has no {old!r} any more: choose another change for this test"
        self.write(name, text.replace(old, new, 1))

    def append(self, name: str, text: str) -> None:
        self.write(name, (self.root / name).read_text() + text)

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "-qm", message)


def template(folder: Path) -> Checkout:
    """This checkout as it is on disk, committed or not, as the only commit of a repository.

    Args:
        folder: Where it is made.
    """
    made = Checkout(folder)
    folder.mkdir()
    for name in Checkout(ROOT).run("git", "ls-files", "-z", "-co", "--exclude-standard").split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    made.run("git", "init", "-q", "--initial-branch=main")
    made.commit("The version that is adopted")
    return made


def clone(source: Checkout, folder: Path) -> Checkout:
    """What an adopter has after the steps of docs/UPGRADING.md, Once.

    Args:
        source: The template.
        folder: Where it is made.
    """
    source.run("git", "clone", "-q", ".", str(folder))
    made = Checkout(folder)
    made.run("git", "remote", "rename", "origin", "template")
    made.run("git", "config", "merge.product.driver", "true")
    return made
