"""A picture of what a command said in a terminal: an SVG, drawn from a real run and compared with each later one."""

from __future__ import annotations

import io
import os
import re
from xml.etree import ElementTree

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.support.api.server import ROOT

_WIDTH = 84
_FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, monospace; }}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">
{matrix}</g></g></svg>
"""


def drawn(command: str, text: str) -> str:
    """The SVG of a command and what it said; it loads nothing, no font either.

    Args:
        command: As a person types it.
        text: All that it printed.
    """
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    shown = Text(f"$ {command}\n{text}")
    shown.highlight_regex(r"(?m)^✓", "bold green")
    shown.highlight_regex(r"(?m)^\$ .*", "bold")
    shown.highlight_regex(r"(?m)^(?<=✓).*?(\d+\.\d s)$", "dim")
    console.print(shown)
    return console.export_svg(title=command, theme=MONOKAI, code_format=_FRAME, unique_id="terminal")


def words(svg: str) -> list[str]:
    """What a person reads in it, without what is another each time: the seconds."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for part in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314  our own file
        if (y := part.get("y")) is not None:
            rows.setdefault(float(y), []).append((float(part.get("x", "0")), part.text or ""))
    lines = ("".join(text for _, text in sorted(rows[y])) for y in sorted(rows))
    return [re.sub(r"\d+\.\d s$", "… s", line.replace("\N{NO-BREAK SPACE}", " ").rstrip()) for line in lines]


def picture(name: str, command: str, text: str) -> None:
    """What docs/pictures shows of a run: made anew where PICTURES is ``write``; it has this run's words."""
    file = ROOT / "docs" / "pictures" / f"{name}.svg"
    made = drawn(command, text)
    if os.environ.get("PICTURES") == "write":
        file.write_text(made, encoding="utf-8")
    told = f"docs/pictures/{name}.svg shows another run: PICTURES=write uv run pytest tests/local/test_up.py"
    assert words(file.read_text(encoding="utf-8")) == words(made), told
