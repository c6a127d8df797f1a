"""What the migrations say, read without Alembic, is what Alembic reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import Script, ScriptDirectory

from examples.notes.feature import NOTES
from service.database.migrations import alembic_config, expected
from tests.support.features import beside

LINES = [feature.migrations for feature in beside(NOTES) if feature.migrations]


def below(script: ScriptDirectory, revision: Script) -> Iterator[str]:
    for names in (revision.down_revision, revision.dependencies):
        for name in (names,) if isinstance(names, str) else names or ():
            found = script.get_revision(name)
            yield found.revision
            yield from below(script, found)


def written(folder: Path, *said: str) -> Path:
    for number, text in enumerate(said):
        (folder / f"{number}_x.py").write_text(f'"""A migration."""\n{text}\n\ndef upgrade() -> None:\n    pass\n')
    return folder


def test_it_is_what_alembic_reads(tmp_path: Path) -> None:
    """The project's own, a feature's, and a line with a fork, a merge, types, and dependencies on other lines."""
    line = written(
        tmp_path,
        'revision = "a1"\ndown_revision = None\nbranch_labels = ("a",)\ndepends_on = "0001"',
        'revision: str = "a2"\ndown_revision: str | None = "a1"\ndepends_on = ("n001", "0002")',
        'revision = "a3"\ndown_revision = "a1"',
        'revision = "a4"\ndown_revision = ("a2", "a3")',
        'revision = "a5"\ndown_revision = ("a2",)\ndepends_on = ["a3"]',
    )
    for lines in ([], LINES, [*LINES, line]):
        script = ScriptDirectory.from_config(alembic_config(lines))
        found = expected(lines)
        assert found.heads == frozenset(script.get_heads())
        assert found.behind == {one.revision: frozenset(below(script, one)) for one in script.walk_revisions()}
    assert {"a4", "a5"} <= found.heads


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('revision = "b" + "1"', "plain text"),
        ('down_revision = "0001"', "which revision it is"),
        ('revision = "b1"\ndown_revision = "b0"', "stands on b0"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, said: str, told: str) -> None:
    with pytest.raises(RuntimeError, match=told):
        expected([written(tmp_path, said)])


def test_a_start_with_nothing_to_migrate_does_without_alembic() -> None:
    program = "import sys, service.app, service.database.start as s; s.expected(); sys.exit('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
