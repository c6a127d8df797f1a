"""A JWK set as it was published, and the keys in it that may verify: what cannot verify costs nothing beside it."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.auth.providers.presets import GUID
from service.auth.providers.rsa import unfit

if TYPE_CHECKING:
    from jose.backends.base import Key

MAX_KEYS = 100
_MAX_NAME = 256  # characters of a key id, or of the issuer that a key is for
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_NUMBERS = ("n", "e", "x", "y")
_BASE64 = re.compile(r"[A-Za-z0-9_-]{1,11000}={0,2}\Z")
_AMBIGUOUS = object()  # equals no key

KeyTable = Mapping[tuple[str, str], Mapping[str, "Key"]]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read of a set so far.

    Attributes:
        keys: By key id and algorithm, then by the issuer they are for; ``""`` stands for all of the provider's.
        unfit: How often each reason left an entry out.
    """

    keys: dict[tuple[str, str], dict[str, Key]] = field(default_factory=dict)
    unfit: Counter[str] = field(default_factory=Counter)


def usable_keys(document: Mapping[str, object], algorithms: frozenset[str]) -> KeyTable:
    """Pick the keys of a JWK set (RFC 7517) that may verify signatures.

    An unfit entry loses itself and no other: a member that is null counts as absent, a number may be padded, and only
    entries that could verify compete for a key id. Two different keys under one id, algorithm and issuer lose each
    other, because it would be a choice.

    Args:
        document: The parsed set.
        algorithms: What the provider may sign with.

    Returns:
        Keys by (key id, algorithm), then by the issuer they are for. Entra ID's set for many organisations names one
        in ``issuer``, literally or with ``{tenantid}``; ``""`` stands for a key that names none.
    """
    return _read(document, algorithms).keys


def reasons(document: Mapping[str, object], algorithms: frozenset[str]) -> str:
    """Why a set has no usable key, in words of ours: ``2 of 3 use, 1 of 3 weak``, or that there are no entries."""
    entries = document.get("keys")
    if not isinstance(entries, list) or not entries:
        return "no entries"
    counted = _read(document, algorithms).unfit
    return ", ".join(f"{count} of {len(entries)} {reason}" for reason, count in sorted(counted.items()))


def key_for(table: KeyTable, kid: str | None, algorithm: str, issuer: str) -> Key | None:
    """The one key of a set that a token of an issuer can name; None where it is none, or a choice.

    Args:
        table: The set.
        kid: Key id; None where the header has none.
        algorithm: ``alg`` of the header.
        issuer: ``iss``, which was found to be this provider's.
    """
    named = table.get((kid, algorithm)) if kid is not None else None
    if named is not None and len(named) == 1 and "" in named:  # as nearly all sets are; each request asks
        return named[""]
    scopes = ("", issuer, GUID.sub("{tenantid}", issuer))
    names = [(kid, algorithm)] if kid is not None else [name for name in table if name[1] == algorithm]
    fitting = {id(key): key for name in names for scope in scopes if (key := table.get(name, {}).get(scope))}
    return next(iter(fitting.values())) if len(fitting) == 1 else None


def _read(document: Mapping[str, object], algorithms: frozenset[str]) -> _Found:
    from jose import jwk  # not at the start: no key is there before it

    entries = document.get("keys")
    found = _Found()
    made: dict[object, Key] = {}  # a key that is published twice is one key, whatever it is called
    taken: dict[tuple[str, str, str], object] = {}
    for published in entries[:MAX_KEYS] if isinstance(entries, list) else ():
        entry = _plain(published)
        why = _never(entry)
        fitting = [] if why else [algorithm for algorithm in sorted(algorithms) if _fits(entry, algorithm)]
        if not fitting:
            found.unfit[why or "algorithm"] += 1
            continue
        kid, scope = str(entry.get("kid", "")), str(entry.get("issuer", ""))
        for algorithm in fitting:
            try:
                key = jwk.construct(entry, algorithm)
            except Exception:  # the library raises whatever the entry makes it stumble over
                found.unfit["unreadable"] += 1
                continue
            number = tuple(sorted(key.to_dict().items()))
            keys = found.keys.setdefault((kid, algorithm), {})
            if taken.setdefault((kid, algorithm, scope), number) == number:
                keys.setdefault(scope, made.setdefault(number, key))
            else:
                taken[kid, algorithm, scope] = _AMBIGUOUS
                found.unfit["ambiguous"] += 1
                keys.pop(scope, None)
            if not keys:
                del found.keys[kid, algorithm]
    return found


def _plain(published: object) -> dict[str, object]:
    """An entry without its nulls, its numbers in the one form that the library reads right."""
    if not isinstance(published, dict):
        return {}
    entry = {name: value for name, value in published.items() if value is not None}
    return entry | {name: _canonical(entry[name]) for name in _NUMBERS if name in entry}


def _canonical(number: object) -> object:
    """Without padding, and in base64url where plain base64 was written: the library drops what it does not know."""
    if not isinstance(number, str):
        return None
    text = number.replace("+", "-").replace("/", "_")
    if not _BASE64.match(text) or len(text.rstrip("=")) % 4 == 1:
        return None
    return text.rstrip("=")


def _number(entry: Mapping[str, object], name: str) -> int:
    text = entry.get(name)
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) if isinstance(text, str) else 0


def _never(entry: Mapping[str, object]) -> str | None:
    """Why an entry can verify nothing, whatever the algorithm; None where it may."""
    names = (entry.get("kid", ""), entry.get("issuer", ""))
    if not all(isinstance(name, str) and len(name) <= _MAX_NAME for name in names) or entry.get("issuer") == "":
        return "name"
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return "use"
    if "d" in entry:
        return "private"
    if entry.get("kty") == "RSA":
        return unfit(_number(entry, "n"), _number(entry, "e"))
    return None if entry.get("kty") == "EC" and entry.get("crv") in _CURVES.values() else "type"


def _fits(entry: Mapping[str, object], algorithm: str) -> bool:
    if entry.get("alg", algorithm) != algorithm:
        return False
    if algorithm.startswith("RS"):
        return entry.get("kty") == "RSA"
    return entry.get("kty") == "EC" and entry.get("crv") == _CURVES[algorithm]
