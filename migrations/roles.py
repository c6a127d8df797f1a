"""How the application login proves itself: by the password in its secret, or by IAM. Set after every migration."""

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


def set_iam_login(connection: Connection, role: str, allowed: bool) -> None:
    """Let a login in by IAM token, and by nothing else; or by password again.

    RDS asks a member of ``rds_iam`` for a token, and takes no password from it
    (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html).

    Args:
        connection: Of a login that administers the role.
        role: A role that the migrations made.
        allowed: Whether it logs in by IAM.

    Raises:
        SystemExit: It should, and the server is not RDS.
    """
    known = connection.execute(text("select 1 from pg_roles where rolname = 'rds_iam'")).scalar()
    if allowed and not known:
        raise SystemExit("DATABASE_IAM_AUTH needs a database of RDS: this one has no role rds_iam.")
    if known:
        member = connection.execute(
            text("select pg_has_role(cast(:role as name), 'rds_iam', 'member')"), {"role": role}
        ).scalar()
        if allowed != member:
            change = "grant rds_iam to %I" if allowed else "revoke rds_iam from %I"
            statement = connection.execute(
                text(f"select format('{change}', cast(:role as text))"), {"role": role}
            ).scalar_one()
            connection.exec_driver_sql(statement)
