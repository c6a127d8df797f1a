"""Two demo users in two tenants, made as an administrator makes them: no file of the project has their passwords."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

_DEMO = (("alice", "acme"), ("bob", "globex"))


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user of the local pool.

    Attributes:
        name: Short name, as in ``signalbox token alice``.
        tenant: Whose data the user sees.
        email: What the user signs in with.
        password: Made anew at each start.
    """

    name: str
    tenant: str
    email: str
    password: str


def create_users(aws_url: str, outputs: Mapping[str, str]) -> list[DemoUser]:
    """Create the demo users, or give them a new password where they exist.

    Args:
        aws_url: The local AWS; nothing else is accepted by the caller.
        outputs: Stack outputs.
    """
    import boto3  # half a second of imports that other commands do not need

    pool = outputs["UserPoolId"]
    cognito = boto3.client(
        "cognito-idp",
        region_name=outputs["Region"],
        endpoint_url=aws_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  the local AWS takes any pair
    )
    users = []
    for name, tenant in _DEMO:
        user = DemoUser(name, tenant, f"{name}@{tenant}.example", f"{secrets.token_urlsafe(18)}aA1!")
        with suppress(cognito.exceptions.UsernameExistsException):
            cognito.admin_create_user(
                UserPoolId=pool,
                Username=user.email,
                TemporaryPassword=user.password,
                MessageAction="SUPPRESS",
                UserAttributes=[
                    {"Name": "email", "Value": user.email},
                    {"Name": "email_verified", "Value": "true"},
                    {"Name": "custom:tenant_id", "Value": tenant},
                ],
            )
        cognito.admin_set_user_password(UserPoolId=pool, Username=user.email, Password=user.password, Permanent=True)
        users.append(user)
    return users
