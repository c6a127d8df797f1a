"""What Tailscale itself says of a tailnet: its policy file, and whether both ends of a stage's way have joined.

Only ever read. The token is an access token of a person, or of an OAuth client with the scopes ``policy_file:read`` and
``devices:core:read`` (https://tailscale.com/api).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import httpx
from pydantic import SecretStr

from infra.deploy.finding import Finding
from infra.deploy.tailnet import check, read
from infra.railway.release import Clock
from infra.shell.failure import Failure
from infra.shell.machine import OFFLINE
from infra.stage.record import Stage

TOKEN: Final = "TAILSCALE_API_TOKEN"  # noqa: S105  the name of the variable that holds it
API: Final = "https://api.tailscale.com/api/v2"
_MAX_ANSWER: Final = 8_388_608  # bytes
_JOIN: Final = 60.0  # seconds in which a node that has joined is in the list
_PAUSE: Final = 5.0  # seconds between two looks
_SILENT: Final = timedelta(minutes=5)  # after which a node that does not say whether it is connected counts as gone


class Tailnet:
    """The tailnet of a token.

    Args:
        token: Who asks.
        address: Of the API.
    """

    def __init__(self, token: SecretStr, address: str = API) -> None:
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token.get_secret_value()}", "User-Agent": "signalbox"},
            timeout=20,
            follow_redirects=False,  # the token would follow
            trust_env=not address.startswith("http://"),
        )
        self._address = address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self | None:
        """The client that a command uses; None without a token.

        Args:
            environ: Usually ``os.environ``.
        """
        token = environ.get(TOKEN, "").strip()
        if token and not (token.isascii() and token.isprintable()):
            raise Failure(f"{TOKEN} holds something that is no token: copy it again from Tailscale")
        return cls(SecretStr(token)) if token else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def policy(self) -> dict[str, Any]:
        """The policy file."""
        return read(self._get("acl", "the policy file"))

    def devices(self) -> list[Mapping[str, Any]]:
        """The devices, with their routes."""
        try:
            found = json.loads(self._get("devices?fields=all", "the devices"))["devices"]
        except (ValueError, KeyError, TypeError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Failure("Tailscale answered the question for the devices with something else: try again")
        return found

    def _get(self, path: str, what: str) -> str:
        found = bytearray()
        try:
            with self._http.stream(
                "GET", f"{self._address}/tailnet/-/{path}", headers={"Accept": "application/json"}
            ) as answer:
                for chunk in answer.iter_bytes():
                    found += chunk
                    if len(found) > _MAX_ANSWER:
                        raise Failure(f"Tailscale's answer to the question for {what} has no end: try again")
        except httpx.HTTPError as failure:
            raise Failure(f"Tailscale could not be asked for {what} ({type(failure).__name__}): {OFFLINE}") from None
        if answer.status_code in (401, 403):
            raise Failure(
                f"Tailscale refused {what} to {TOKEN} (HTTP {answer.status_code}): take an access token that has not "
                "ended, with policy_file:read and devices:core:read"
            )
        if answer.status_code != 200:
            raise Failure(f"Tailscale answered the question for {what} with HTTP {answer.status_code}: try again")
        return found.decode("utf-8", "replace")


def policy_findings(stage: Stage, environ: Mapping[str, str]) -> Iterator[Finding]:
    """For ``doctor``: who may go the way to the database, where there is a token to ask with.

    Args:
        stage: The deployment target.
        environ: Usually ``os.environ``.
    """
    if not stage.subnet_router:
        return
    try:
        tailnet = Tailnet.from_environment(environ)
        if tailnet is None:
            text = f"not looked at; that of a new tailnet lets every device reach the database. Set {TOKEN}, or: "
            yield Finding("note", "tailnet policy", f"{text}uv run signalbox tailnet {stage.name} --policy FILE")
            return
        with tailnet:
            for one in check(tailnet.policy(), stage):
                yield Finding(one.state, f"tailnet {one.name}", one.text)
    except Failure as failure:
        yield Finding("missing", "tailnet policy", str(failure))


def wait_joined(tailnet: Tailnet, stage: Stage, clock: Clock) -> list[Finding]:
    """Wait until both ends have joined.

    Args:
        tailnet: Whom to ask.
        stage: The deployment target.
        clock: Time.

    Raises:
        Failure: One end has not; the text says which.
    """
    end = clock.now() + _JOIN
    while True:
        found = list(joined(tailnet.devices(), stage))
        if not (missing := [one for one in found if one.state == "missing"]):
            return found
        if clock.now() > end:
            raise Failure("; ".join(f"{one.name}: {one.text}" for one in missing))
        clock.sleep(_PAUSE)


def joined(devices: Sequence[Mapping[str, Any]], stage: Stage, now: datetime | None = None) -> Iterator[Finding]:
    """Whether both ends are in the tailnet, and the router's route is open.

    Args:
        devices: As ``Tailnet.devices`` gave them.
        stage: The deployment target.
        now: Time.
    """
    now = now or datetime.now(UTC)
    api = _there(devices, stage.names.node_tag, now)
    if api:
        yield Finding("ok", "service's end", f"{len(api)} with {stage.names.node_tag}")
    else:
        text = f"no device with {stage.names.node_tag} is connected: see the log of service tailscale on Railway, and "
        yield Finding("missing", "service's end", f"{text}give a new SIGNALBOX_SEALED_TS_AUTHKEY")
    routers = _there(devices, stage.names.router_tag, now)
    routing = [one for one in routers if stage.network.cidr in (one.get("enabledRoutes") or ())]
    if routing:
        yield Finding("ok", "router's end", f"{len(routing)} with {stage.names.router_tag}, route {stage.network.cidr}")
    elif routers:
        text = f"the route {stage.network.cidr} of {stage.names.router_tag} is not approved: autoApprovers, see routes"
        yield Finding("missing", "router's end", text)
    else:
        text = f"no device with {stage.names.router_tag} is connected: docs/DEPLOYMENT.md, Tailscale, step 2"
        yield Finding("missing", "router's end", text)


def _there(devices: Sequence[Mapping[str, Any]], tag: str, now: datetime) -> list[Mapping[str, Any]]:
    return [one for one in devices if tag in (one.get("tags") or ()) and one.get("authorized", True) and _on(one, now)]


def _on(device: Mapping[str, Any], now: datetime) -> bool:
    connected = device.get("connectedToControl")
    if isinstance(connected, bool):
        return connected
    try:
        return now - datetime.fromisoformat(str(device["lastSeen"])) < _SILENT
    except (KeyError, ValueError, TypeError):
        return False
