"""Where the certificate of a stage's service lies, and what the trust policy asks of it. `signalbox certs` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

AUTHORITIES: Final = Path("infra", "authorities")  # of a checkout: public certificates; a fresh one has none
# The files of the client certificate in a stage's folder, by the sealed variables that take their content.
FILES: Final[Mapping[str, str]] = {
    "ROLES_ANYWHERE_CERTIFICATE_SECRET": "service.pem",
    "ROLES_ANYWHERE_PRIVATE_KEY_SECRET": "service.key",
}
