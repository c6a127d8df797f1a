"""Notices that the service's code has changed, by looking at a few hundred files, twice a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDERS: Final = ("service", "migrations", "product")  # what the API runs from
_SUFFIXES: Final = frozenset({".py", ".html", ".js", ".css"})


class Watch:
    """Files below some folders.

    Args:
        root: The checkout.
        folders: Below it.
    """

    def __init__(self, root: Path, folders: Iterable[str] = FOLDERS) -> None:
        self._folders = [root / name for name in folders]
        self._seen = self._look()

    def changed(self) -> bool:
        """Whether a file is new, gone or another since the last time."""
        before, self._seen = self._seen, self._look()
        return before != self._seen

    def _look(self) -> frozenset[tuple[str, int]]:
        found = set()
        for folder in self._folders:
            for path in folder.rglob("*"):
                if path.suffix in _SUFFIXES:
                    try:
                        found.add((str(path), path.stat().st_mtime_ns))
                    except FileNotFoundError:  # an editor replaces it just now
                        continue
        return frozenset(found)
