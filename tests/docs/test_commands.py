"""What the documents tell people to type: each command is tried by a test, or says what it needs, and each exists."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from infra.cli.main import main
from infra.docs.events import emitted
from tests.support.api.server import ROOT
from tests.support.database.databases import APP, APP_PASSWORD, MASTER, MASTER_PASSWORD, Database, Databases
from tests.support.documents import Block, blocks, pages

BREACH = ROOT / "docs/how-to/breach.md"
RESTORE = ROOT / "docs/how-to/restore.md"
_NEEDS = re.compile(r"needs: [a-zA-Z].{5,}")


def shell_blocks() -> Iterator[Block]:
    for page in pages():
        yield from (block for block in blocks(page) if block.language in ("sh", "bash", "shell", "console"))


def test_every_command_is_tried_by_a_test_or_says_what_it_needs() -> None:
    wrong = []
    for block in shell_blocks():
        kind, _, what = block.mark.partition(": ")
        if kind == "run" and not all((ROOT / name).exists() for name in what.split(", ")):
            wrong.append(f"{block.place}: {what} is no file")
        elif kind not in ("run", "needs") or (kind == "needs" and not _NEEDS.fullmatch(block.mark)):
            wrong.append(f"{block.place}: write <!-- run: TEST --> or <!-- needs: WHAT --> above it")
    assert not wrong, "\n".join(wrong)


def signalbox_commands() -> Iterator[tuple[str, list[str]]]:
    """Commands of ours, in blocks and in sentences."""
    for page in pages():
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for match in re.finditer(r"(?:uv run |[`(|] ?)signalbox +([^`\n]+?)(?=`|\n|$|\)|\| )", text):
            words = shlex.split(re.split(r" [<>|] |#|;|&&", match[1])[0], comments=True)
            if words and re.fullmatch(r"[a-z]+", words[0]):
                yield f"{page.relative_to(ROOT)}: signalbox {match[1]}", words


def test_every_command_of_ours_exists_with_its_options() -> None:
    wrong, seen = [], 0
    for place, words in signalbox_commands():
        command: click.Command | None = main
        while isinstance(command, click.Group) and words:
            command, words = command.commands.get(words[0]), words[1:]
        if command is None:
            wrong.append(f"{place}: no such command")
            continue
        seen += 1
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        wrong += [f"{place}: no option {w}" for w in words if w.startswith("--") and w.split("=")[0] not in known]
    assert not wrong, "\n".join(wrong)
    assert seen > 40


def test_the_queries_of_a_breach_find_what_they_are_for(tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed: apt-get install jq")
    (block,) = [block for block in blocks(BREACH) if "jq " in block.text]
    when = "2026-11-26T15:00:00.000000Z"
    lines: list[dict[str, object]] = [
        {"message": "request", "method": "GET", "route": "/a", "status": 200, "user_id": "00u1", "tenant_id": "acme"},
        {"message": "request", "method": "GET", "route": "/a", "status": 200, "user_id": "00u1", "tenant_id": "globex"},
        {"message": "request", "method": "GET", "route": "/a", "status": 200, "user_id": "00u2", "tenant_id": "acme"},
        {"message": "refused", "code": "AUTH_006", "reason": "signature"},
        {"message": "permission_denied", "code": "AUTH_034", "user_id": "00u2", "tenant_id": "acme"},
        {"message": "signed_in", "provider": "okta"},
    ]
    assert {str(line["message"]) for line in lines} <= emitted().keys()
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"timestamp": when, **line}) + "\n" for line in lines))
    found = []
    for query in block.text.split("\n\n"):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", query], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.splitlines())
    person, tenants, refusals, denied, bulk, signed_in = found
    assert [json.loads(line)["tenant_id"] for line in person] == ["acme", "globex"]
    assert tenants == ["00u1"]
    assert [line.split() for line in refusals] == [["1", "AUTH_006", "signature"]]
    assert [json.loads(line)["user_id"] for line in denied] == ["00u2"]
    assert bulk[0].split() == ["2", "2026-11-26T15", "00u1"]
    assert len(signed_in) == 1


def test_the_statements_of_a_breach_run_and_find_a_table_that_is_not_isolated(databases: Databases) -> None:
    (block,) = [block for block in blocks(BREACH) if block.language == "sql"]
    connected, loose, logins = [statement for statement in block.text.split(";") if statement.strip()]
    database = databases.migrated()
    assert len(database.as_superuser(connected)) == 1
    assert [row["relname"] for row in database.as_superuser(loose)] == []
    assert [row["rolname"] for row in database.as_superuser(logins)] == [database.server.superuser]
    database.as_superuser("create table app.open_to_all (tenant_id text)")
    try:
        assert [row["relname"] for row in database.as_superuser(loose)] == ["open_to_all"]
    finally:
        database.as_superuser("drop table app.open_to_all")


def psql(database: Database, statements: str, user: str = MASTER, password: str = MASTER_PASSWORD) -> list[str]:
    """What a person reads who hands the statements to psql."""
    command = [str(database.server.bin / "psql"), "-AtX", "-v", "ON_ERROR_STOP=1", database.url(user, password)]
    done = subprocess.run(command, input=statements, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_statements_of_a_restore_run_as_the_master_and_count_the_rows_of_each_tenant(databases: Databases) -> None:
    (block,) = [block for block in blocks(RESTORE) if block.language == "sql"]
    database = databases.migrated()
    for tenant in ("acme", "globex"):
        psql(database, f"set app.tenant_id = '{tenant}';\ninsert into app.note (body) values ('a')", APP, APP_PASSWORD)
    *found, began, altered, acme, globex, undone = psql(database, block.text)
    assert {"n001", "note|-1"} <= set(found)
    assert (began, altered, acme, globex, undone) == ("BEGIN", "ALTER TABLE", "acme|1", "globex|1", "ROLLBACK")
    assert psql(database, "select count(*) from app.note") == ["0"], "row security binds the master again"


def test_every_statement_of_the_documents_is_run_by_a_test() -> None:
    assert {page for page in pages() for block in blocks(page) if block.language == "sql"} == {BREACH, RESTORE}
