"""How the local AWS is started: ``emulator.py`` in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.shell.tools import CdkError


def emulator_command(project_root: Path) -> list[str]:
    """How to start the local AWS, in its own locked environment, which is made when missing.

    Not ``uv run``: that would be one more process between us and the one that has to be stopped.

    Args:
        project_root: The checkout.

    Raises:
        CdkError: uv could not make the environment.
    """
    script = str(project_root.resolve() / "infra" / "local" / "emulator.py")
    # The project's interpreter: one is there for certain, and Lambda functions run with it, too.
    steps = (
        ["sync", "--locked", "--quiet", "--python", sys.executable, "--script", script],
        ["python", "find", "--script", script],
    )
    for step in steps:
        done = subprocess.run(["uv", *step], cwd=project_root, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].strip()
            raise CdkError(f"uv could not make the environment of the local AWS: {why}")
    return [done.stdout.strip(), script]
