"""What this checkout remembers of a stage on Railway: which sealed values it has sent, as keyed digests.

Railway never shows a sealed value again, so this is how a changed one is told from the same one. The digest is keyed:
a bare hash of a short secret could be tried out. Where the file is missing, a given value is sent once more.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from infra.shell.files import write_private


def digest(key: bytes, name: str, value: str) -> str:
    """The keyed digest of a sealed value.

    Args:
        key: Of whoever remembers it.
        name: Of the variable: the same value under two names has two digests.
        value: The secret.
    """
    return hmac.new(key, f"{name}={value}".encode(), hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Ledger:
    """The file.

    Attributes:
        path: Where; None keeps it in memory.
        key: Of its digests.
        digests: By ``<service id>/<variable>``: an id is never used again, so a new service starts without.
    """

    path: Path | None = None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; one that cannot be read counts as missing.

        Args:
            path: Where it is, or will be.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, bytes.fromhex(raw["key"]), {str(k): str(v) for k, v in raw["digests"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def knows(self, service_id: str, name: str, value: str) -> bool:
        """Whether this value is what was sent last.

        Args:
            service_id: Railway's id.
            name: Of the variable.
            value: The secret.
        """
        return self.digests.get(f"{service_id}/{name}") == digest(self.key, name, value)

    def remember(self, service_id: str, sent: Mapping[str, str]) -> None:
        """Write down what was sent, readable by its owner alone.

        Args:
            service_id: Railway's id.
            sent: Sealed values by name.
        """
        self.digests |= {f"{service_id}/{name}": digest(self.key, name, value) for name, value in sent.items()}
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_private(self.path, json.dumps({"key": self.key.hex(), "digests": self.digests}).encode())
