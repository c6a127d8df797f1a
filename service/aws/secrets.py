"""Secrets from AWS Secrets Manager: read when needed, cached, read again after rotation.

The last good value serves while the store is down; at the first read there is none, and the caller gets 503.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SecretStr

from service.aws.identity import Aws
from service.errors import SECRETS_DOWN, ApiError
from service.log import get_logger
from service.readiness import State

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_AGE = 300.0  # seconds; a rotated secret is picked up after this, or at once when the old one is refused
RETRY_AFTER = 5.0  # seconds between attempts while the store is down

# Secrets Manager's own labels of a secret's versions.
_CURRENT = "AWSCURRENT"
_PREVIOUS = "AWSPREVIOUS"
_Entry = tuple[str, str]

log = get_logger(__name__)


class Secrets:
    """The secrets this process may read.

    Args:
        aws: Makes the client.
        given: Secrets that the environment holds itself, by id (``Settings.given_secrets``).
    """

    def __init__(self, aws: Aws, given: Mapping[str, SecretStr] | None = None) -> None:
        self._aws = aws
        self._given = dict(given or {})
        self._values: dict[_Entry, tuple[str, float]] = {}
        self._failed_at: dict[_Entry, float] = {}
        self._locks: dict[_Entry, asyncio.Lock] = {}
        self.failure: str | None = None

    async def text(self, secret_id: str, *, refresh: bool = False, previous: bool = False) -> str:
        """The value of a secret.

        Args:
            secret_id: Name or ARN, from the settings.
            refresh: Read again even though the cached value is young: it was just refused.
            previous: The value before the last rotation; "" where there is none.

        Raises:
            ApiError: SYS_004 when the store cannot be read and no value is known.
        """
        if secret_id in self._given:
            return "" if previous else self._given[secret_id].get_secret_value()
        asked = time.monotonic()
        entry = (secret_id, _PREVIOUS if previous else _CURRENT)
        async with self._locks.setdefault(entry, asyncio.Lock()):
            value, read_at = self._values.get(entry, ("", float("-inf")))
            # A value read after this call began is fresh enough for it: many callers cause one read.
            if read_at >= asked or (not refresh and asked - read_at < MAX_AGE):
                return value
            if asked - self._failed_at.get(entry, float("-inf")) >= RETRY_AFTER:
                try:
                    value = await asyncio.to_thread(self._read, *entry)
                except Exception as failure:  # botocore has no common base for what can go wrong on the way
                    self.failure = type(failure).__name__
                    self._failed_at[entry] = time.monotonic()
                    log.warning("secret_read_failed", reason=self.failure)
                else:
                    self.failure = None
                    self._values[entry] = (value, time.monotonic())
                    return value
            if entry not in self._values:
                raise ApiError(SECRETS_DOWN, self.failure)
            return value

    async def previous(self, secret_id: str) -> str | None:
        """The value before the current one; None when there is none, or it cannot be read. Not cached.

        Args:
            secret_id: Name or ARN, from the settings.
        """
        if secret_id in self._given:
            return None
        try:
            return await asyncio.to_thread(self._read, secret_id, _PREVIOUS) or None
        except Exception as failure:
            log.warning("previous_secret_read_failed", reason=type(failure).__name__)
            return None

    async def state(self) -> State:
        """For readiness: whether the last read succeeded."""
        return "ok" if self.failure is None else "unavailable"

    def _read(self, secret_id: str, label: str) -> str:
        client: SecretsManagerClient = self._aws.client("secretsmanager")
        try:
            return client.get_secret_value(SecretId=secret_id, VersionStage=label)["SecretString"]
        except client.exceptions.ResourceNotFoundException:
            if label == _PREVIOUS:  # never rotated
                return ""
            raise


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
