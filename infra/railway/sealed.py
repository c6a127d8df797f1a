"""Which sealed values were sent, as digests beside them on Railway: the same for every person and for CI.

Railway never shows a sealed value again, so this is how a changed one is told from the same one, and, by when each was
written, whether another hand has changed it since. A digest is salted and slow to try out; whoever may read it may
open a shell in the service, where the value itself is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

RECORD: Final = "SIGNALBOX_SEALED"  # the plain variable, one for each service that has sealed ones
RECORD_TEXT: Final = "Digests of what signalbox has sealed."
_COST: Final = 2**12  # of scrypt, with 4 MB: what is sealed is made by machines and long
_SLACK: Final = timedelta(seconds=10)  # variables of one patch are written one after the other


def read(text: str | None) -> dict[str, str]:
    """The record of a service; one that cannot be read is empty, so that values are sent once more.

    Args:
        text: Of the variable.
    """
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def written(kept: Mapping[str, str], wanted: Iterable[str], sent: Mapping[str, str]) -> str:
    """The record after a patch.

    Args:
        kept: What it was.
        wanted: Sealed variables that the service is to have.
        sent: Values that the patch has, by name.
    """
    found = {name: kept[name] for name in wanted if name in kept}
    found |= {name: _digest(secrets.token_hex(8), name, value) for name, value in sent.items()}
    return json.dumps(found, sort_keys=True)


def knows(record: Mapping[str, str], name: str, value: str) -> bool:
    """Whether this value is what was sent last.

    Args:
        record: Of the service.
        name: Of the variable.
        value: The secret.
    """
    there = record.get(name, "")
    return hmac.compare_digest(there.encode(), _digest(there.partition(":")[0], name, value).encode())


def touched(sealed_at: str, recorded_at: str) -> bool:
    """Whether a sealed variable was written after the record, by another hand.

    Args:
        sealed_at: When it was; ISO 8601, or "" where Railway does not say.
        recorded_at: When the record was.
    """
    if not (sealed_at and recorded_at):
        return False
    return datetime.fromisoformat(sealed_at) > datetime.fromisoformat(recorded_at) + _SLACK


def _digest(salt: str, name: str, value: str) -> str:
    made = hashlib.scrypt(f"{name}={value}".encode(), salt=salt.encode(), n=_COST, r=8, p=1, dklen=16)
    return f"{salt}:{made.hex()}"
