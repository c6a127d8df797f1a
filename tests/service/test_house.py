"""What stands behind the application and its gate, and what a start imports: neither grows by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
# Of providers, AWS and migrations: imported by what needs them first, beside the requests.
LATER = ("alembic", "boto3", "botocore", "cryptography", "httpcore", "httpx", "jose", "lxml", "onelogin", "xmlsec")


def _statements(module: str) -> int:
    """Lines of code: neither blank, nor a comment, nor a docstring."""
    path = ROOT.joinpath(*module.split("."))
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            told.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(1 for number, line in lines if line and not line.startswith("#") and number not in told)


@pytest.mark.parametrize(("module", "most"), [("service.http.gate", 450), ("service.app", 3_730)])
def test_what_a_module_knows_of_is_bounded_and_no_feature(module: str, most: int) -> None:
    behind = grimp.build_graph("service", cache_dir=None).find_upstream_modules(module) | {module}
    assert not [name for name in behind if name.startswith(("service.auth", "service.health"))]
    counted = {name: _statements(name) for name in behind}
    assert sum(counted.values()) <= most, counted


def test_a_start_imports_nothing_that_only_providers_aws_and_migrations_need() -> None:
    program = (
        "import sys, service.__main__, service.app, service.product, service.http.server, service.database.start\n"
        f"print(*(name for name in {LATER!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
