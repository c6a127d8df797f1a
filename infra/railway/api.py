"""The way to Railway's API: both kinds of token, bounded answers, limits respected, nothing done twice by a retry.

No message of ours ever repeats what was sent: GraphQL's own error texts quote input, and input holds secrets.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from infra.shell.failure import Failure
from infra.shell.machine import OFFLINE

ENDPOINT: Final = "https://backboard.railway.com/graphql/v2"
ATTEMPTS: Final = 5
TIMEOUT: Final = 30.0  # seconds for one request
LONGEST_WAIT: Final = 90.0  # seconds of Retry-After that are worth waiting; an hourly limit is not
MAX_ANSWER: Final = 8_388_608  # bytes
_LOOPBACK: Final = ("127.0.0.1", "localhost")
_SHORTEST: Final = 6  # characters of sent text that are worth hiding


class RailwayError(Failure):
    """Railway refused, or could not be reached; the text says what was asked and what to do."""


class NotAllowedError(RailwayError):
    """The token is not valid for it."""


class OutcomeUnknownError(RailwayError):
    """The answer to a change was lost: it may have happened. Whoever tries again has to look first."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One GraphQL operation.

    Attributes:
        document: Its text.
        does: What it does, for messages.
        repeatable: Whether a second execution changes nothing more; queries are.
    """

    document: str
    does: str
    repeatable: bool = True

    @property
    def name(self) -> str:
        """Its ``operationName``: the word after ``query`` or ``mutation``."""
        return re.split(r"\W", self.document, maxsplit=2)[1]


@dataclass(frozen=True, slots=True)
class Token:
    """A token of either kind.

    Attributes:
        value: The secret.
        project: Whether it belongs to one environment of one project; otherwise to an account or a workspace.
    """

    value: SecretStr
    project: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """How it is presented: the kinds have different headers, and each is refused in the other's."""
        secret = self.value.get_secret_value()
        return {"Project-Access-Token": secret} if self.project else {"Authorization": f"Bearer {secret}"}


def token(environ: Mapping[str, str]) -> Token:
    """The token in the environment, under the names of Railway's own command line.

    Args:
        environ: Usually ``os.environ``.

    Raises:
        RailwayError: There is none.
    """
    for name, project in (("RAILWAY_API_TOKEN", False), ("RAILWAY_TOKEN", True)):
        if value := environ.get(name, "").strip():
            if not value.isascii() or not value.isprintable():
                raise RailwayError(f"{name} holds something that is no token: copy it again from Railway")
            return Token(SecretStr(value), project)
    raise RailwayError(
        "There is no Railway token: make one for the workspace (https://railway.com/account/tokens) and set "
        "RAILWAY_API_TOKEN; RAILWAY_TOKEN takes the token of one project, which cannot create anything"
    )


def endpoint(environ: Mapping[str, str]) -> str:
    """Where the API is. Another address is for tests, and only on this machine: the token goes there.

    Args:
        environ: Usually ``os.environ``.

    Raises:
        RailwayError: The address is somewhere else.
    """
    address = environ.get("SIGNALBOX_RAILWAY_URL") or ENDPOINT
    parts = urlsplit(address)
    if address != ENDPOINT and (parts.scheme != "http" or parts.hostname not in _LOOPBACK or "@" in parts.netloc):
        raise RailwayError("SIGNALBOX_RAILWAY_URL is for tests on this machine; unset it")
    return address


class Client:
    """Calls operations.

    Args:
        credential: The token.
        address: As ``endpoint`` gave it.
        sleep: Waits for seconds.
        transport: Carries the requests; None is the network.
    """

    def __init__(
        self,
        credential: Token,
        address: str = ENDPOINT,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.credential = credential
        self._sleep = sleep
        self._http = httpx.Client(
            headers={"User-Agent": "signalbox", **credential.headers},
            timeout=TIMEOUT,
            follow_redirects=False,  # the token would follow
            trust_env=not address.startswith("http://"),
            transport=transport,
        )
        self._address = address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The client that a command uses."""
        return cls(token(environ), endpoint(environ))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, operation: Operation, **variables: Any) -> Any:
        """Execute an operation.

        Args:
            operation: Which.
            variables: Its variables; None leaves one out.

        Returns:
            The ``data`` of the answer.

        Raises:
            OutcomeUnknownError: The answer to a change that must not be repeated was lost.
            RailwayError: Refused, rate limited for long, or not to be reached.
        """
        given = {name: value for name, value in variables.items() if value is not None}
        body = {"operationName": operation.name, "query": operation.document, "variables": given}
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                status, headers, text = self._post(body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as failure:  # nothing was sent
                if last:
                    raise RailwayError(_unreached(operation, type(failure).__name__, OFFLINE)) from None
            except (httpx.HTTPError, _TooLargeError) as failure:
                if not operation.repeatable:
                    raise OutcomeUnknownError(_unknown(operation)) from None
                if last:
                    raise RailwayError(_unreached(operation, type(failure).__name__)) from None
            else:
                if status == 429:  # refused before it was executed
                    self._wait_for_limit(operation, headers, last)
                    continue
                if status < 500:
                    return _data(operation, status, text, given)
                if not operation.repeatable:
                    raise OutcomeUnknownError(_unknown(operation))
                if last:
                    raise RailwayError(_unreached(operation, f"HTTP {status}"))
            self._sleep(min(2.0 ** (attempt - 1), 8.0))
        raise AssertionError  # the last attempt raises or returns

    def _post(self, body: Mapping[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        with self._http.stream("POST", self._address, json=body) as answer:
            found = bytearray()
            for chunk in answer.iter_bytes():
                found += chunk
                if len(found) > MAX_ANSWER:
                    raise _TooLargeError
            return answer.status_code, answer.headers, bytes(found)

    def _wait_for_limit(self, operation: Operation, headers: httpx.Headers, last: bool) -> None:
        asked = headers.get("Retry-After", "1")
        seconds = float(asked) if asked.replace(".", "", 1).isdigit() else 1.0
        if last or seconds > LONGEST_WAIT:
            raise RailwayError(
                f"Railway's rate limit is reached while trying to {operation.does}; "
                f"it asks to wait {seconds:.0f} s: run the same command again after that"
            )
        self._sleep(seconds)


class _TooLargeError(Exception):
    """An answer without end."""


def _data(operation: Operation, status: int, text: bytes, sent: Mapping[str, Any]) -> Any:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and (errors := answer.get("errors")):
        said = _told(errors, sent)
        if "uthor" in said:
            hint = "is the token allowed to? RAILWAY_API_TOKEN has to be one of the workspace"
            raise NotAllowedError(f"Railway refused to {operation.does}: {said} ({hint})")
        raise RailwayError(f"Railway refused to {operation.does}: {said}")
    if status in (401, 403):
        raise NotAllowedError(f"Railway refused to {operation.does}: the token is not valid for it (HTTP {status})")
    if status != 200 or not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
        if not operation.repeatable:
            raise OutcomeUnknownError(_unknown(operation))
        raise RailwayError(f"Railway answered with HTTP {status} and no data when asked to {operation.does}")
    return answer["data"]


def _told(errors: Any, sent: Mapping[str, Any]) -> str:
    """Railway's own words, without any text that was sent."""
    messages = [str(e.get("message")) for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    said = "; ".join(messages) or "it does not say why"
    for text in sorted(set(_texts(sent)), key=len, reverse=True):
        if len(text) >= _SHORTEST:
            said = said.replace(text, "***").replace(json.dumps(text)[1:-1], "***")
    return "".join(c for c in said if c.isprintable())[:300]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _unknown(operation: Operation) -> str:
    return (
        f"Railway's answer was lost while trying to {operation.does}, so that may have happened: "
        "run the same command again, it looks before it acts"
    )


def _unreached(operation: Operation, why: str, step: str = "run the same command again") -> str:
    return f"Railway could not be reached to {operation.does} ({why}, {ATTEMPTS} attempts): {step}"
