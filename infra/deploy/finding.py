"""What a check found, for `doctor` and for `verify`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        state: ``missing`` stops a deployment.
        name: What was checked.
        text: What was found, or what to do.
    """

    state: State
    name: str
    text: str


def shown(found: Iterable[Finding], width: int = 80) -> Iterator[tuple[State, str]]:
    """Findings as lines for a person: what is missing last, and of each the remedy last, whole, to be copied.

    Args:
        found: In any order.
        width: Characters of a line; a remedy may be longer.

    Yields:
        State and line.
    """
    for finding in sorted(found, key=lambda one: get_args(State).index(one.state)):
        text, colon, remedy = finding.text.rpartition(": ") if finding.state != "ok" else (finding.text, "", "")
        told = f"{finding.state:<7} {finding.name}: {text or remedy}"
        for line in textwrap.wrap(
            told, width, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False
        ):
            yield finding.state, line
        if colon:
            yield finding.state, f"{' ' * 8}-> {remedy}"
