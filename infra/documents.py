"""Documents made from the tables of the code: ``signalbox docs`` writes them, ``--check`` fails when one has drifted.

A file is made whole, or between two marks in a text that people write:

    <!-- generated: variables -->
    ...
    <!-- end: variables -->
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.failure import Failure
from infra.hipaa.page import page
from service import settings
from service.errors import ERRORS


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


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; ``|`` in a cell is escaped."""
    head = list(header)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def error_codes() -> str:
    """docs/ERROR_CODES.md, out of the registry."""
    rows = ([f"`{e.code}`", str(e.status), e.message, e.detail, e.action] for e in ERRORS.values())
    return (
        "# Error codes\n\n"
        "Every error has one shape: "
        '`{"error": {"code": "AUTH_001", "message": "Invalid token", "detail": "Token expired"}}`. '
        "Branch on `code`: it is stable, and never used again for another cause. "
        "401 and 403 carry `WWW-Authenticate` (RFC 6750), 503 carries `Retry-After`. "
        "The log line of a refusal has the same code, and a finer `reason` where there is one; find it by the "
        "`X-Request-ID` of the answer.\n\n"
        "This page is generated from `service/errors.py`: `uv run signalbox docs`.\n\n"
        + table(("code", "status", "message", "detail", "what to do"), rows)
    )


def variables_table() -> str:
    """The reference of environment variables, out of the settings and the environment's table."""
    from infra.railway.table import EXTRA, TABLE

    known = {v.name: v for v in settings.variables()}
    rows = []
    for row in (*TABLE, *EXTRA):
        v = known.get(row.name)
        needed = "no" if v is None else "yes" if v.required else f"`{v.default}`" if v.default else "no"
        text = row.description or (v.description if v else "")
        example = f"`{v.example}`" if v else ""
        sealed = "sealed" if row.sealed else ""
        rows.append([f"`{row.name}`", text, needed, row.stage.text, row.trial.text, sealed, example])
    head = ("variable", "meaning", "required, or default", "in a stage", "in the trial", "sealed", "example")
    return table(head, rows)


def env_example() -> str:
    """.env.example: Railway offers what it finds in it, so that it holds every variable and placeholders only."""
    from infra.railway.table import TABLE

    sealed = {row.name for row in TABLE if row.sealed}
    text = (
        "# Every variable the service reads. `signalbox up` and `signalbox deploy` write them; this is for reading,\n"
        "# and for setting one by hand. What is commented out has a default or is optional.\n"
        "# Generated from service/settings.py and infra/railway/table.py: uv run signalbox docs\n"
    )
    for v in settings.variables():
        name, mark = v.name.replace("<NAME>", "EXAMPLE"), "" if v.required else "# "
        notes = [
            "required" if v.required else f"default: {v.default}" if v.default else "",
            "keep sealed" if v.name in sealed else "",
        ]
        note = ", ".join(filter(None, notes))
        text += f"\n# {v.description}{f' ({note})' if note else ''}\n{mark}{name}={_quoted(v.example)}\n"
    return text


def _quoted(value: str) -> str:
    """As a dotenv file takes it."""
    return f"'{value}'" if set(value) & set('"{}# ') else value


PARTS = (
    Part("docs/ERROR_CODES.md", None, error_codes),
    Part(".env.example", None, env_example),
    Part("docs/DEPLOYMENT.md", "variables", variables_table),
    Part("docs/HIPAA_READINESS.md", None, page),
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
