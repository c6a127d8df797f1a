"""Readers for hostile JSON, base64url and addresses: one meaning per text, or none."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NoReturn, TypeGuard

LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")  # this machine, as hosts of addresses name it

# Printable by Python's lights, and nothing to a reader: Hangul fillers, the empty braille pattern.
_BLANKS = " \u115f\u1160\u2800\u3164\uffa0"
# To plain base64, for a decoder that takes no other character; what only plain base64 has becomes none of either.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# The last characters of canonical texts by how many stand in the last group: their unused bits are zero.
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
_MAX_DEPTH = 16
_MAX_DIGITS = 20


def is_name(text: object, longest: int) -> TypeGuard[str]:
    """Whether a text can name somebody: printable, not blank to a reader, bounded in characters."""
    return isinstance(text, str) and 0 < len(text) <= longest and text.isprintable() and bool(text.strip(_BLANKS))


def base64url(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def unbase64url(text: object) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2), canonical form only.

    Raises:
        ValueError: Another alphabet, padding, or unused bits that are not zero: two texts would mean the same bytes.
    """
    if not isinstance(text, str) or not text:
        raise ValueError("not base64url")
    rest = len(text) % 4
    if rest and text[-1] not in _LAST.get(rest, ""):
        raise ValueError("not canonical base64url")
    padded = text.encode("ascii").translate(_TO_BASE64) + b"=="[: -rest % 4]
    return binascii.a2b_base64(padded, strict_mode=True)


def json_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object whose members are unique and whose numbers are finite and of sane length.

    Args:
        raw: UTF-8 text; the caller has bounded its length.

    Raises:
        ValueError: Anything else, excessive nesting included.
    """
    # Bounded before parsing: the parser recurses, and its limit is the interpreter's.
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and _depth(raw) > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    value = _decoder.decode(raw.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for byte in raw:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate member")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("number too long")
    return int(text)


def _float(text: str) -> float:
    if len(text) > 2 * _MAX_DIGITS:
        raise ValueError("number too long")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number too large")
    return value


# Made once: making one takes as long as reading a token's header with it.
_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_int, parse_float=_float)
