"""Questions to git that change nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path


def ask(root: Path, *command: str, text: str = "") -> str | None:
    """The answer of git, without a line feed at its end; None where it has none.

    Args:
        root: The checkout.
        command: Command and arguments.
        text: What it reads from standard input.
    """
    asked = ["git", "-C", str(root), *command]
    done = subprocess.run(asked, input=text, capture_output=True, encoding="utf-8", check=False)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
