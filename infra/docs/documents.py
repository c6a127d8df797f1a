"""Documents made from the tables of the code: ``signalbox docs`` writes them, ``--check`` fails when one has drifted.

A file is made whole, or between two marks in a text that people write:

    <!-- generated: variables -->
    ...
    <!-- end: variables -->
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.docs.hipaa.page import page
from infra.docs.tables import (
    alarms_table,
    env_example,
    error_codes,
    outputs_table,
    presets_table,
    register_table,
    stages_table,
    variables_table,
)
from infra.shell.failure import Failure


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is made.

    Attributes:
        path: File, from the root of the project.
        name: Name in the marks; None makes the whole file.
        make: Gives the text, with a line feed at its end.
    """

    path: str
    name: str | None
    make: Callable[[], str]


PARTS = (
    Part("docs/ERROR_CODES.md", None, error_codes),
    Part(".env.example", None, env_example),
    Part("docs/DEPLOYMENT.md", "variables", variables_table),
    Part("docs/AUTH_CONFIGURATION.md", "presets", presets_table),
    Part("docs/HIPAA_READINESS.md", None, page),
    Part("docs/INFRASTRUCTURE.md", "stages", stages_table),
    Part("docs/INFRASTRUCTURE.md", "outputs", outputs_table),
    Part("docs/INFRASTRUCTURE.md", "alarms", alarms_table),
    Part("docs/INFRASTRUCTURE.md", "register", register_table),
)


def stale(root: Path) -> Iterator[str]:
    """Paths of the files that are not as they would be made now.

    Args:
        root: The checkout.
    """
    for part in PARTS:
        path = root / part.path
        if not path.exists() or path.read_text(encoding="utf-8") != _made(part, path):
            yield part.path


def write(root: Path) -> list[str]:
    """Make what is stale.

    Args:
        root: The checkout.

    Returns:
        Paths of the files that changed.
    """
    changed = list(stale(root))
    for part in PARTS:
        path = root / part.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_made(part, path), encoding="utf-8")
    return changed


def _made(part: Part, path: Path) -> str:
    if part.name is None:
        return part.make()
    begin, end = f"<!-- generated: {part.name} -->\n", f"<!-- end: {part.name} -->"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise Failure(f"{part.path} lacks the marks {begin.strip()} and {end}: put them where the text belongs")
    return f"{before}{begin}{part.make()}{end}{after}"
