"""Who may import whom: the contracts of pyproject.toml say it; this says that they see a violation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api.server import ROOT

BIN = Path(sys.executable).parent


def _checkout(folder: Path) -> Path:
    """The two trees and their contracts, to be changed."""
    for name in ("infra", "service"):
        for file in (ROOT / name).rglob("*.py"):
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("infra/local/state.py", "import infra.railway.plan", "infra.local.state -> infra.railway.plan"),
        ("infra/railway/plan.py", "import infra.local.state", "infra.railway.plan -> infra.local.state"),
        ("infra/aws/alarms.py", "import infra.environment.guard", "infra.aws.alarms -> infra.environment.guard"),
        ("infra/shell/failure.py", "import infra.stage.outputs", "infra.shell.failure -> infra.stage.outputs"),
        ("infra/stage/parts.py", "import infra.deploy.steps", "infra.stage.parts -> infra.deploy.steps"),
        ("infra/deploy/changes.py", "import infra.aws.checks", "infra.deploy.changes -> infra.aws.checks"),
        ("infra/environment/build.py", "import service.app", "infra.environment.build -> service.app"),
        ("service/errors.py", "import infra.shell.failure", "service.errors -> infra.shell.failure"),
    ],
)
def test_an_import_that_runs_upwards_is_told(tmp_path: Path, file: str, line: str, told: str) -> None:
    root = _checkout(tmp_path)
    path = root / file
    path.write_text(path.read_text().replace("\nfrom __future__", f"\n{line}\nfrom __future__", 1))
    command = [str(BIN / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in done.stdout


def test_help_loads_no_library_of_a_command() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from infra.cli.main import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; "
        "late = ('pydantic', 'httpx', 'boto3', 'aws_cdk', 'rich', 'service.settings', 'asyncio', 'ssl'); "
        "print([m for m in (*late, 'importlib.metadata', 'infra.docs.hipaa.exports') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
