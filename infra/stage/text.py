"""Which texts can be values: those that every reader of a rendering reads as they are.

A value travels through dotenv files (sh, Node, python-dotenv), JSON, Railway's editor and its API. Quoted as
``shlex.quote`` does it, all of them read the same, but for what is refused here: tests/railway/test_readers.py.
"""

from __future__ import annotations


def misread(text: str) -> str | None:
    """Why readers would not agree about a text; None where they do.

    Args:
        text: A value that is written into files.
    """
    if not text.isprintable():
        return "has a line end, or another character that cannot be seen"
    for part in ("'", "\\", "${"):
        if part in text:
            return f"contains {part}, which readers of dotenv files and Railway understand in different ways"
    return None


def filled_in(text: str) -> str | None:
    """Why a text that is only sent, and written into no file, would not arrive; None where it does.

    Args:
        text: A sealed value.
    """
    if "${{" in text:
        return "contains ${{, which Railway would fill in"
    return "has a NUL, which no environment can hold" if "\0" in text else None
