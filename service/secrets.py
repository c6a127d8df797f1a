"""Secrets from AWS Secrets Manager: read when needed, cached, read again after rotation.

The last good value serves while the store is down; at the first read there is none, and the caller gets 503.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SecretStr

from service.aws import Aws
from service.errors import SECRETS_DOWN, ApiError
from service.log import get_logger

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_AGE = 300.0  # seconds; a rotated secret is picked up after this, or at once when the old one is refused
RETRY_AFTER = 5.0  # seconds between attempts while the store is down

log = get_logger(__name__)


class Secrets:
    """The secrets this process may read.

    Args:
        aws: Makes the client.
        given: Secrets that the environment holds itself, by id: ``Settings.given_secrets``.
    """

    def __init__(self, aws: Aws, given: Mapping[str, SecretStr]) -> None:
        self._aws = aws
        self._given = given
        self._values: dict[str, tuple[str, float]] = {}
        self._failed_at: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.failure: str | None = None

    async def text(self, secret_id: str, *, refresh: bool = False) -> str:
        """The current value of a secret.

        Args:
            secret_id: Name or ARN, from the settings.
            refresh: Read again even though the cached value is young: it was just refused.

        Raises:
            ApiError: SYS_004 when the store cannot be read and no value is known.
        """
        if secret_id in self._given:
            return self._given[secret_id].get_secret_value()
        asked = time.monotonic()
        async with self._locks.setdefault(secret_id, asyncio.Lock()):
            value, read_at = self._values.get(secret_id, ("", float("-inf")))
            # A value read after this call began is fresh enough for it: many callers cause one read.
            if read_at >= asked or (not refresh and asked - read_at < MAX_AGE):
                return value
            if asked - self._failed_at.get(secret_id, float("-inf")) >= RETRY_AFTER:
                try:
                    value = await asyncio.to_thread(self._read, secret_id)
                except Exception as failure:  # botocore has no common base for what can go wrong on the way
                    self.failure = type(failure).__name__
                    self._failed_at[secret_id] = time.monotonic()
                    log.warning("secret_read_failed", reason=self.failure)
                else:
                    self.failure = None
                    self._values[secret_id] = (value, time.monotonic())
                    return value
            if secret_id not in self._values:
                raise ApiError(SECRETS_DOWN, self.failure)
            return value

    async def previous(self, secret_id: str) -> str | None:
        """The value before the current one; None when there is none, or it cannot be read. Not cached.

        Args:
            secret_id: Name or ARN, from the settings.
        """
        try:
            return await asyncio.to_thread(self._read, secret_id, "AWSPREVIOUS")
        except Exception as failure:
            log.warning("previous_secret_read_failed", reason=type(failure).__name__)
            return None

    def _read(self, secret_id: str, version_stage: str = "AWSCURRENT") -> str:
        client: SecretsManagerClient = self._aws.client("secretsmanager")
        return client.get_secret_value(SecretId=secret_id, VersionStage=version_stage)["SecretString"]


def login(text: str) -> Mapping[str, str]:
    """Username and password of a database secret, as RDS and our stacks write it.

    Raises:
        ApiError: SYS_004 when the secret holds something else.
    """
    import json

    try:
        value = json.loads(text)
        return {"user": str(value["username"]), "password": str(value["password"])}
    except (ValueError, KeyError, TypeError):
        raise ApiError(SECRETS_DOWN, "secret_form") from None
