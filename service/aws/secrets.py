"""Secrets from AWS Secrets Manager: read when needed, kept, and read again behind the requests.

The last good value serves while the store is down; at the first read there is none, and the caller gets 503.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from service.aws.identity import Aws
from service.bounded import Bounded
from service.errors import SECRETS_DOWN, ApiError
from service.fresh import Fresh
from service.log import get_logger
from service.readiness import State
from service.settings import Secret

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_AGE = 300.0  # seconds; a rotated secret is picked up after this, or at once when the old one is refused
CALL_TIMEOUT = 5.0  # seconds a caller waits for the store
PAUSE = 1.0  # seconds until a caller may cause a read of a secret that could not be read
RETRY_AFTER = 5.0  # seconds between two that readiness causes while the store is down
_THREADS = 4
_MAX_WAITING = 64  # reads under way, of secrets that are named in the settings: more are not asked for

# Secrets Manager's own labels of a secret's versions.
_CURRENT = "AWSCURRENT"
_PREVIOUS = "AWSPREVIOUS"

log = get_logger(__name__)


class Secrets:
    """The secrets this process may read.

    Args:
        aws: Makes the client.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._threads = Bounded("secrets", threads=_THREADS, waiting=_MAX_WAITING, full=SECRETS_DOWN, reason="busy")
        self._entries: dict[tuple[str, str], Fresh[str]] = {}
        self._looked_at = float("-inf")

    async def text(self, secret: Secret, *, refresh: bool = False, previous: bool = False) -> str:
        """The value of a secret.

        Args:
            secret: Which, from the settings.
            refresh: Read again even though the cached value is young: it was just refused.
            previous: The value before the last rotation; "" where there is none.

        Raises:
            ApiError: SYS_004 when the store cannot be read and no value is known.
        """
        if secret.value is not None:
            return "" if previous else secret.value.get_secret_value()
        entry = self._entry(secret.id, _PREVIOUS if previous else _CURRENT)
        if entry.value is None or refresh:
            if entry.under_way and refresh:  # it may have been begun before the value was refused
                await entry.refresh()
            if entry.may_ask:
                await entry.refresh()
        else:
            _renew(entry)
        if entry.value is None:
            raise ApiError(SECRETS_DOWN, entry.failure)
        return entry.value

    async def previous(self, secret: Secret) -> str | None:
        """The value before the current one; None when there is none, or it cannot be read. Not cached.

        Args:
            secret: Which, from the settings.
        """
        if secret.value is not None:
            return None
        try:
            return await self._read(secret.id, _PREVIOUS) or None
        except Exception as failure:
            log.warning("previous_secret_read_failed", reason=type(failure).__name__)
            return None

    async def state(self) -> State:
        """For readiness: ``stale`` while a last good value serves, ``unavailable`` while one has none.

        What it finds old or failed it has read again, now and then: no request waits for that.
        """
        if time.monotonic() - self._looked_at >= RETRY_AFTER:
            self._looked_at = time.monotonic()
            for entry in self._entries.values():
                _renew(entry)
        states = {entry.state for entry in self._entries.values() if entry.age is not None or entry.failure}
        return "unavailable" if "unavailable" in states else "stale" if "stale" in states else "ok"

    def _entry(self, secret_id: str, label: str) -> Fresh[str]:
        entry = self._entries.get((secret_id, label))
        if entry is None:
            entry = Fresh(lambda: self._read(secret_id, label), _told, hard_age=float("inf"), pause=PAUSE, eager=True)
            self._entries[secret_id, label] = entry
        return entry

    async def _read(self, secret_id: str, label: str) -> str:
        async with asyncio.timeout(CALL_TIMEOUT):
            return await self._threads.run(self._ask, secret_id, label)

    def _ask(self, secret_id: str, label: str) -> str:
        client: SecretsManagerClient = self._aws.client("secretsmanager")
        try:
            return client.get_secret_value(SecretId=secret_id, VersionStage=label)["SecretString"]
        except client.exceptions.ResourceNotFoundException:
            if label == _PREVIOUS:  # never rotated
                return ""
            raise


def _renew(entry: Fresh[str]) -> None:
    old = entry.age is not None and entry.age >= MAX_AGE
    if (old or entry.failure is not None) and entry.may_ask:
        entry.begin()


def _told(failure: Exception) -> str:
    reason = type(failure).__name__
    log.warning("secret_read_failed", reason=reason)
    return reason


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
