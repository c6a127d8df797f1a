"""What of a stage ends by a date, or is to be renewed by one: the reminder that .github/workflows/reminders.yml rings.

A sealed value cannot be read again, but Railway says when it was written, and nothing that is sealed may be older than
the service's certificate becomes: keys of Tailscale end then at the latest, and so does our patience with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from infra.deploy import preflight
from infra.deploy.account import Account, code
from infra.deploy.certificates import CLIENT_DAYS, RENEW_DAYS
from infra.deploy.finding import Finding
from infra.railway.project import API
from infra.railway.sources import sealed_needed
from infra.railway.state import State
from infra.stage import tailscale as tunnel
from infra.stage.record import Stage

LIFE: Final = timedelta(days=CLIENT_DAYS)
SOON: Final = timedelta(days=RENEW_DAYS)
_RENEW: Final[Mapping[str, str]] = {
    "ROLES_ANYWHERE_CERTIFICATE_SECRET": "uv run signalbox certs {stage} --renew, then signalbox deploy {stage}",
    "ROLES_ANYWHERE_PRIVATE_KEY_SECRET": "uv run signalbox certs {stage} --renew, then signalbox deploy {stage}",
    "TS_AUTHKEY": "docs/DEPLOYMENT.md, Tailscale, Renewal",
}
_ANOTHER: Final = "make a new one, give it as SIGNALBOX_SEALED_{name} to signalbox deploy {stage}, end the old one"


def due(
    root: Path, stage: Stage, state: State, account: Account | None, now: datetime | None = None
) -> Iterator[Finding]:
    """Look at everything that ends.

    Args:
        root: The checkout.
        stage: The deployment target.
        state: What Railway has of it.
        account: AWS; None does not ask.
        now: Time.

    Yields:
        One finding each; ``missing`` is due.
    """
    now = now or datetime.now(UTC)
    yield preflight.proof(root, stage)
    for name in sealed_needed(stage):
        service = tunnel.SERVICE if name in tunnel.SEALED else API
        held = state.held.get(state.place.services.get(service, ""), {}).get(name)
        if held is None or not held.updated_at:
            yield Finding("note", name, "is not on Railway yet, or Railway does not say since when")
            continue
        remedy = _RENEW.get(name, _ANOTHER).format(name=name, stage=stage.name)
        yield _aged(name, datetime.fromisoformat(held.updated_at), remedy, now)
    if stage.subnet_router and account is not None:
        yield _router(stage, account, now)


def _router(stage: Stage, account: Account, now: datetime) -> Finding:
    name = f"{stage.names.path}/tailscale-router"
    try:
        found = account.client("secretsmanager").describe_secret(SecretId=name)
    except Exception as failure:
        return Finding("note", "router's key", f"AWS did not say since when it is there ({code(failure)})")
    since = found.get("LastChangedDate") or found["CreatedDate"]
    return _aged("router's key", since, "docs/DEPLOYMENT.md, Tailscale, Renewal", now)


def _aged(name: str, since: datetime, remedy: str, now: datetime) -> Finding:
    end = since + LIFE
    text = f"written on {since:%Y-%m-%d}, to be renewed before {end:%Y-%m-%d}"
    if now >= end - SOON:
        return Finding("missing", name, f"{text}: {remedy}")
    return Finding("ok", name, text)
