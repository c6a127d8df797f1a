"""What is left out is described so that it could be built: interfaces, tables that isolate, codes that nobody took."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from service.errors import ERRORS
from service.feature import all_errors
from service.product import FEATURES
from tests.support.api.server import ROOT
from tests.support.database.databases import Databases, migrate
from tests.support.documents import Block, blocks

PAGES = sorted(page for page in (ROOT / "docs/stretch").glob("*.md") if page.name != "index.md")
_PARTS = (
    "Doors",
    "The interface",
    "Tables",
    "Error codes",
    "Audit events",
    "What HIPAA asks",
    "How it would be tested",
)
_CODE = re.compile(r"`([A-Z]+_\d{3})`")
_HEAD = """
from alembic import op
from service.database.rls import isolate

revision, down_revision, branch_labels, depends_on = "{name}", {before}, {labels}, "0001"
"""


def python_blocks(page: Path, title: str) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python" and block.title.endswith(title)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_every_part_and_an_interface_that_can_be_imported(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text()
    assert tuple(re.findall(r"(?m)^## (.*)$", text)) == _PARTS
    assert "**What the identity provider does already.**" in text
    (interface,) = python_blocks(page, "/interface.py")
    module = ModuleType(f"stretch_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(interface.text, interface.place, "exec"), vars(module))  # noqa: S102  a page of this repository
    protocols = [one for one in vars(module).values() if getattr(one, "_is_protocol", False)]
    assert any(one.__module__ == module.__name__ for one in protocols)


def test_no_reserved_code_is_taken_or_reserved_twice() -> None:
    reserved = [
        code for page in PAGES for code in _CODE.findall(page.read_text().split("## Error codes")[1].split("## ")[0])
    ]
    assert len(reserved) == len(set(reserved)) > 30
    assert not set(reserved) & (ERRORS.keys() | all_errors(FEATURES).keys())
    assert sorted(_CODE.findall((ROOT / "docs/stretch/index.md").read_text())) == sorted(reserved)


def test_every_table_is_made_and_isolated(databases: Databases, tmp_path: Path) -> None:
    before = None
    for page in PAGES:
        for block in python_blocks(page, "/migrations"):
            name = f"stretch_{page.stem.replace('-', '_')}"
            labels = None if before else "('stretch',)"
            head = _HEAD.format(name=name, before=repr(before), labels=labels)
            (tmp_path / f"{name}.py").write_text(f'"""A table of a page."""\n{head}\n\n{block.text}')
            before = name
    database = databases.empty()
    done = migrate(database, versions=str(tmp_path))
    assert done.returncode == 0, done.stderr
    wanted = {table for page in PAGES for table in re.findall(r"table app\.(\w+)", page.read_text())}
    rows = database.as_superuser(
        "select relname, relrowsecurity and relforcerowsecurity as isolated, relname = any ($1) as ours"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname = 'app' and relkind = 'r'",
        sorted(wanted),
    )
    assert {row["relname"] for row in rows if row["ours"]} == wanted
    assert len(wanted) > 7
    assert all(row["isolated"] for row in rows if row["ours"])
