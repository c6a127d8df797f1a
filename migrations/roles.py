"""The application login's password: set from its secret after every migration; a rotation needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import Connection

_ITERATIONS: Final = 4096  # PostgreSQL's own default (scram_iterations)


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for a password (RFC 5803; RFC 7677).

    Made here, because a statement that holds the password itself can end up in the server's log.

    Args:
        password: Printable ASCII, as our secrets are; anything else would need SASLprep.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *encoded)


def set_password(connection: Connection, role: str, password: str) -> None:
    """Give a login its password.

    Args:
        connection: Of a login that administers the role.
        role: A role that the migrations made.
        password: From its secret.
    """
    # A utility statement takes no parameters: the server quotes both parts.
    statement = connection.execute(
        text("select format('alter role %I password %L', cast(:role as text), cast(:verifier as text))"),
        {"role": role, "verifier": scram_verifier(password)},
    ).scalar_one()
    connection.exec_driver_sql(statement)
