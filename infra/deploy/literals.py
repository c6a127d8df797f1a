"""Texts in a Python source file, replaced where they stand: the rest of the file stays to the letter."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.shell.failure import Failure


class LiteralError(Failure):
    """The file does not have a value as a text that can be replaced."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, or a tuple of texts.

    Attributes:
        texts: One, or those of the tuple.
        is_tuple: Whether it is written as a tuple.
        start: Offset of its first byte.
        end: Offset behind its last byte.
    """

    texts: tuple[str, ...]
    is_tuple: bool
    start: int
    end: int

    @property
    def text(self) -> str:
        """The first text."""
        return self.texts[0]


class Source:
    """A file.

    Args:
        root: The checkout.
        file: Path in it.

    Attributes:
        text: What is in it.

    Raises:
        LiteralError: It is no Python.
    """

    def __init__(self, root: Path, file: Path) -> None:
        self.file, self.text = file, (root / file).read_text(encoding="utf-8")
        self._bytes = self.text.encode()
        self._lines = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        try:
            self._tree = ast.parse(self.text)
        except SyntaxError as failure:
            raise LiteralError(f"{file} is no Python that can be read (line {failure.lineno})") from None

    def assigned(self, name: str) -> Literal:
        """The value of a module's constant.

        Args:
            name: Of the constant.

        Raises:
            LiteralError: It is not there, or no text.
        """
        for node in self._tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if [one.id for one in targets if isinstance(one, ast.Name)] == [name]:
                    return self._literal(node.value, name)
        raise LiteralError(f"{self.file} has no {name}: write {name}: Final = '...' there")

    def calls(self, function: str) -> Iterator[ast.Call]:
        """Every call of a function, from above to below.

        Args:
            function: Its name.
        """
        found = (node for node in ast.walk(self._tree) if isinstance(node, ast.Call))
        named = (call for call in found if isinstance(call.func, ast.Name) and call.func.id == function)
        return iter(sorted(named, key=lambda call: call.lineno))

    def argument(self, call: ast.Call, name: str, within: str | None = None) -> Literal | None:
        """A named argument of a call, or of the call that is another argument of it.

        Args:
            call: The call.
            name: Of the argument.
            within: Of the argument whose call has it.

        Raises:
            LiteralError: It is there, and no text.
        """
        if within is not None:
            inner = next((one.value for one in call.keywords if one.arg == within), None)
            return self.argument(inner, name) if isinstance(inner, ast.Call) else None
        found = next((one.value for one in call.keywords if one.arg == name), None)
        return None if found is None else self._literal(found, name)

    def edited(self, edits: Iterable[tuple[Literal, tuple[str, ...]]]) -> str:
        """The text with other values.

        Args:
            edits: What is replaced, by what.
        """
        made = self._bytes
        for old, new in sorted(edits, key=lambda edit: edit[0].start, reverse=True):
            if old.texts != new:
                made = made[: old.start] + _written(new, old.is_tuple).encode() + made[old.end :]
        return made.decode()

    def _literal(self, node: ast.expr | None, name: str) -> Literal:
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        texts = [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if node is None or not texts or len(texts) < len(parts):
            line = f", line {node.lineno}" if node is not None else ""
            raise LiteralError(f"{self.file}{line}: {name} is not written as a text in quotes: change it there by hand")
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._lines[node.lineno - 1] + node.col_offset
        end = self._lines[node.end_lineno - 1] + node.end_col_offset
        return Literal(tuple(texts), isinstance(node, ast.Tuple), start, end)


def _written(texts: tuple[str, ...], is_tuple: bool) -> str:
    """As black writes it. JSON's escapes are Python's, too: no text ends before its quote."""
    quoted = [json.dumps(text, ensure_ascii=False) for text in texts]
    return f"({', '.join(quoted)}{',' if len(quoted) == 1 else ''})" if is_tuple else quoted[0]
