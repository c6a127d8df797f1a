"""From variables that are there to a deployment that runs them, and the proof from outside that it does.

Whether a deployment is needed is read from Railway alone, so that a command that was interrupted anywhere, on any
machine, goes on with the deployment that is under way instead of starting a second one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx
from pydantic import SecretStr

from infra.railway import operations
from infra.railway.apply import MESSAGE
from infra.railway.operations import Deployment, Railway
from infra.railway.owned import Owned
from infra.railway.project import API
from infra.railway.sealed import RECORD
from infra.railway.state import Instance, State
from infra.shell.failure import Failure
from infra.shell.machine import silence
from infra.stage import tailscale as tunnel

_UNDER_WAY: Final = ("INITIALIZING", "QUEUED", "WAITING", "BUILDING", "DEPLOYING")
_RUNNING: Final = ("SUCCESS", "SLEEPING")
_POLL: Final = 3.0  # seconds
DEPLOY_TIMEOUT: Final = 1200.0  # seconds for build, migrations and health check
_CAUSE: Final = "build, migrations, or the health check"
_CAUSES: Final[Mapping[str, str]] = {
    API: f"{_CAUSE}, for which it reaches the database: is the subnet router in the tailnet?",
    tunnel.SERVICE: "it did not join the tailnet: TS_AUTHKEY has ended, was revoked, or is for another tag",
}
READY_TIMEOUT: Final = 120.0  # seconds until the edge serves what Railway says is running


class ReleaseError(Failure):
    """The deployment failed, or what runs is not what was deployed."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, for tests that do not wait.

    Attributes:
        now: Seconds.
        sleep: Waits for seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def release(
    railway: Railway,
    state: State,
    service: str,
    commit: str | None,
    *,
    clock: Clock | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Deployment:
    """Have a service run what is configured: start a deployment where one is needed, and wait for its end.

    Args:
        railway: The API.
        state: What Railway has, from ``observe``.
        service: Name of the service.
        commit: Which commit to build; None for an image, or the newest of the branch.
        clock: Time.
        told: Told what happens.

    Raises:
        ReleaseError: It failed, or takes too long, or the service is not there.
    """
    clock = clock or Clock()
    service_id = state.place.services.get(service)
    if service_id is None or state.place.environment is None:
        raise ReleaseError(f"Railway has no service {service} yet: signalbox apply")
    found = state.instances.get(service_id, Instance()).latest
    reason = _why(railway, state, service, found, commit)
    if reason is not None or found is None:
        told(f"{service}: deploying, because {reason}")
        started = railway.call(
            operations.DEPLOY, serviceId=service_id, environmentId=state.place.environment, commitSha=commit
        )["serviceInstanceDeployV2"]
        found = railway.deployment(started)
    elif found.status in _UNDER_WAY:
        told(f"{service}: a deployment of it is under way")
    else:
        told(f"{service}: runs already")
    return _wait(railway, service, found, clock, told)


def runs(state: State, service: str) -> str | None:
    """The commit that a service was deployed from last, where Railway says.

    Args:
        state: What Railway has.
        service: Name of the service.
    """
    latest = state.instances.get(state.place.services.get(service, ""), Instance()).latest
    return latest.commit if latest else None


def _why(railway: Railway, state: State, service: str, found: Deployment | None, commit: str | None) -> str | None:
    """Why a deployment is needed; None when the newest has everything, or is about to."""
    if found is None:
        return "there is none yet"
    if found.status not in (*_UNDER_WAY, *_RUNNING):
        return f"the last one is {found.status}"
    if commit and found.commit and found.commit != commit:
        return "the commit is another"
    since = _instant(found.created_at)
    held = state.held.get(state.place.services[service], {})
    # What other people have set since is theirs to deploy.
    owned = Owned()
    ours = {name: one.updated_at for name, one in held.items() if owned.has(service, name) and name != RECORD}
    newer = sorted(name for name, updated in ours.items() if updated and _instant(updated) > since)
    if newer:
        return f"{', '.join(newer[:5])} changed since"
    assert state.place.environment is not None
    for at, message in railway.patches(state.place.environment):
        names = message.removeprefix(MESSAGE).partition("|")[0].split()
        if message.startswith(MESSAGE) and service in names and _instant(at) > since:
            return "settings changed since"
    return None


def _wait(railway: Railway, service: str, found: Deployment, clock: Clock, told: Callable[[str], None]) -> Deployment:
    deadline = clock.now() + DEPLOY_TIMEOUT
    shown = ""
    while found.status in _UNDER_WAY:
        if found.status != shown:
            told(f"{service}: {found.status.lower()}")
            shown = found.status
        if clock.now() > deadline:
            raise ReleaseError(
                f"The deployment of {service} is {found.status} after {DEPLOY_TIMEOUT / 60:.0f} minutes; look at its "
                "log on Railway, then run the same command again: it goes on with the same deployment"
            )
        clock.sleep(_POLL)
        found = railway.deployment(found.id)
    if found.status == "NEEDS_APPROVAL":
        raise ReleaseError(
            f"The deployment of {service} waits for an approval on Railway: give it, then run this again"
        )
    if found.status not in _RUNNING:
        raise ReleaseError(
            f"The deployment of {service} ended as {found.status}. Its log on Railway says why "
            f"({_CAUSES.get(service, _CAUSE)}); the one before goes on serving. Mend it, and run this again"
        )
    return found


def smoke(
    url: str,
    environment: str,
    commit: str | None,
    token: SecretStr | None,
    *,
    clock: Clock | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """Look at the service from outside: ready, the right build, closed to strangers, open to a token.

    Args:
        url: Origin.
        environment: What its status has to say.
        commit: Which commit its status has to name, if it names one.
        token: A real access token, where there is one.
        clock: Time.
        told: Told what was seen.

    Raises:
        ReleaseError: Something is not as it should be.
    """
    clock = clock or Clock()
    with httpx.Client(base_url=url, timeout=10, follow_redirects=False) as http:
        _until_ready(http, url, clock, told)
        told("ready")
        status = _json(_get(http, "/api/v1/health/status"))
        if status.get("environment") != environment:
            raise ReleaseError(f"{url} does not run as {environment}: look at its variable ENVIRONMENT")
        if commit and status.get("commit") not in ("unknown", commit[:40]):
            raise ReleaseError(f"{url} runs another commit than {commit[:12]}: is its deployment still under way?")
        told(f"version {status.get('version')}, {environment}")
        if (stranger := _get(http, "/api/v1/auth/validate").status_code) != 401:
            raise ReleaseError(f"{url} answered {stranger} to a request without a token; 401 is right. Roll back")
        if token is None:
            told("no token given: pass one in SIGNALBOX_SMOKE_TOKEN to try an authenticated request")
            return
        bearer = {"Authorization": f"Bearer {token.get_secret_value()}"}
        answer = _get(http, "/api/v1/auth/validate", bearer)
        if answer.status_code != 200:
            code = _json(_json(answer).get("error")).get("code", "")
            raise ReleaseError(f"{url} refused the token with {answer.status_code} {code}: see docs/ERROR_CODES.md")
        told(f"an authenticated request was answered, tenant {_json(answer).get('tenant')}")


def _until_ready(http: httpx.Client, url: str, clock: Clock, told: Callable[[str], None]) -> None:
    deadline = clock.now() + READY_TIMEOUT
    seen = shown = "no answer"
    while True:
        try:
            answer = http.get("/api/v1/health/ready")
            if answer.status_code == 200:
                return
            seen = f"HTTP {answer.status_code}"
            checks = _json(_json(answer).get("checks"))
            seen += "".join(f", {name} {word}" for name, word in checks.items() if word not in ("ok", "stale"))
        except httpx.HTTPError as failure:
            seen = silence(failure)
        if seen != shown:
            told(f"not ready yet: {seen}; waiting up to {READY_TIMEOUT:.0f} s")
            shown = seen
        if clock.now() > deadline:
            raise ReleaseError(
                f"{url} is not ready after {READY_TIMEOUT:.0f} s ({seen}). If its DNS records are new, wait for them "
                "and run the same command again"
            )
        clock.sleep(_POLL)


def _get(http: httpx.Client, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    try:
        return http.get(path, headers=headers)
    except httpx.HTTPError as failure:
        raise ReleaseError(f"{http.base_url} stopped answering ({silence(failure)}): run this again") from None


def _json(answer: object) -> dict[str, Any]:
    """The JSON object of an answer, or the object itself; empty where it is none: whoever answers may not be us."""
    try:
        found = answer.json() if isinstance(answer, httpx.Response) else answer
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
