"""Header fields of an answer as the lines that are sent; those that many answers have are put together once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Self

Field = tuple[bytes, bytes]

# Names in lower case, and the values that a field may have (RFC 9110, section 5.5).
_LINES: Final = re.compile(rb"(?:[a-z0-9!#$%&'*+.^_`|~-]++: [\t\x20-\x7e\x80-\xff]*+\r\n)*+")


class Known(NamedTuple):
    """Fields that many answers have.

    Attributes:
        fields: The fields.
        lines: The same as they are sent.
    """

    fields: tuple[Field, ...]
    lines: bytes

    @classmethod
    def of(cls, fields: Iterable[Field]) -> Self:
        """Put fields together.

        Raises:
            ValueError: One is not allowed.
        """
        fields = tuple(fields)
        if (found := lines(fields)) is None:
            raise ValueError("a field of every answer is not allowed in any")
        return cls(fields, found)


class Fields:
    """Fields of one answer, most of which stand ready as lines, too: none can be changed.

    Args:
        own: As a handler gave them.
        known: Others, behind them.
        last: One more, which is allowed.

    Attributes:
        own: As a handler gave them.
        lines: All others, as they are sent.
    """

    __slots__ = ("_known", "_last", "lines", "own")

    def __init__(self, own: Sequence[Field], known: Known, last: Field) -> None:
        self.own, self._known, self._last = own, known.fields, last
        self.lines = b"%b%b: %b\r\n" % (known.lines, *last)

    def __iter__(self) -> Iterator[Field]:
        yield from self.own
        yield from self._known
        yield self._last


def lines(fields: Sequence[Field]) -> bytes | None:
    """Fields as they are sent; None where a name is not in lower case, or one is not allowed."""
    found = b"".join([b"%b: %b\r\n" % field for field in fields])
    # A line break within a value would make one line more than there are fields.
    return found if found.count(b"\n") == len(fields) and _LINES.fullmatch(found) else None
