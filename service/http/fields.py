"""Header fields of an answer as the lines that are sent; those that many answers have are put together once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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


class Fields(tuple[Field, ...]):
    """Fields of one answer, of which the last ones stand ready as lines, too: none can be changed."""

    own: Sequence[Field]
    lines: bytes

    @classmethod
    def of(cls, own: Sequence[Field], known: Known, name: bytes, value: bytes) -> Self:
        """Put those of one answer before known ones, and one more behind them.

        Args:
            own: As a handler gave them.
            known: Others.
            name: Of the last one, which is allowed.
            value: Of the last one.
        """
        found = cls((*own, *known.fields, (name, value)))
        found.own, found.lines = own, b"%b%b: %b\r\n" % (known.lines, name, value)
        return found


def lines(fields: Sequence[Field]) -> bytes | None:
    """Fields as they are sent; None where a name is not in lower case, or one is not allowed."""
    found = b"".join([b"%b: %b\r\n" % field for field in fields])
    # A line break within a value would make one line more than there are fields.
    return found if found.count(b"\n") == len(fields) and _LINES.fullmatch(found) else None
