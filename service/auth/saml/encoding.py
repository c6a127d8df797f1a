"""XML in whatever encoding it was written in, as the UTF-8 that everything here reads, a piece at a time."""

from __future__ import annotations

import codecs
import re

_HEAD = 1024  # bytes in which a declaration must end
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\x00\x00\x00", "utf-32-le"),
    (b"\x00\x00\x00<", "utf-32-be"),
    (b"<\x00", "utf-16-le"),
    (b"\x00<", "utf-16-be"),
)
_DECLARED = re.compile(rb"""\A<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._:-]{0,40})["']""")
_DECLARATION = re.compile(r"\A\ufeff?(<\?xml\s[^>]*\?>)?")
# As codecs names them: character sets, no transformations such as UTF-7 or escapes.
_CHARACTER_SETS = re.compile(
    r"ascii|utf-8|utf-16|iso8859-\d+|cp125\d|cp437|cp850|koi8-[rut]|mac-roman|big5|gb2312|gbk|gb18030|shift_jis|euc_jp"
    r"|iso2022_jp|euc_kr|tis-620"
)


class EncodingError(ValueError):
    """It is not text in the encoding that it says; the message names that encoding."""


class Utf8:
    """Turns the pieces of a document into UTF-8, without the declaration, which would not be true any more."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._decode: codecs.IncrementalDecoder | None = None

    def feed(self, chunk: bytes, *, last: bool = False) -> bytes:
        """The next piece.

        Raises:
            EncodingError: See there.
        """
        if self._decode is not None:
            return self._decoded(chunk, last).encode()
        self._head += chunk
        if len(self._head) < _HEAD and not last:
            return b""
        self._name = _encoding_of(bytes(self._head[:_HEAD]))
        self._decode = codecs.getincrementaldecoder(self._name)("strict")
        return _DECLARATION.sub("", self._decoded(bytes(self._head), last), count=1).encode()

    def _decoded(self, chunk: bytes, last: bool) -> str:
        assert self._decode is not None
        try:
            text = self._decode.decode(chunk, last)
            text.encode()  # a lone surrogate is no character
        except UnicodeError:
            raise EncodingError(self._name) from None
        return text


def to_utf8(raw: bytes) -> bytes:
    """A whole document; see ``Utf8``."""
    return Utf8().feed(raw, last=True)


def _encoding_of(head: bytes) -> str:
    """XML 1.0, appendix F: the mark in front, or the first two characters, or what the declaration says, or UTF-8."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    declared = _DECLARED.match(head)
    if declared is None:
        return "utf-8"
    try:
        name = codecs.lookup(declared[1].decode("ascii")).name
    except LookupError:
        name = ""
    # A document that can be read this far is not in UTF-16, whatever it says: a tool has converted it and left that.
    if name.startswith(("utf-16", "utf-32")):
        return "utf-8"
    if not _CHARACTER_SETS.fullmatch(name):
        raise EncodingError(declared[1].decode("ascii"))
    return name
