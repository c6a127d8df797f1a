"""What a person asks of the stack on this machine while it runs: its log, its database, how it is."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from infra.local import plain, state
from infra.local.state import Running
from infra.shell.failure import Failure
from infra.shell.machine import silence
from infra.stage.names import TENANT

_PATIENCE: Final = 5.0  # seconds for an answer of the stack
_PAUSE: Final = 0.2  # seconds between two looks at a log


def log_of(folder: Path, name: str) -> Path:
    """The file with the log of a part.

    Args:
        folder: State of the stack.
        name: As the file is called.

    Raises:
        Failure: There is none of that name.
    """
    logs = folder / "logs"
    known = sorted(file.stem for file in logs.glob("*.log"))
    if name not in known:
        raise Failure(
            f"There is no log {name!r} in {logs}: choose one of {', '.join(known)}"
            if known
            else f"There is no log in {logs} yet. Start a local stack with: uv run signalbox up"
        )
    return logs / f"{name}.log"


def lines(file: Path, last: int, *, follow: bool, containing: str) -> Iterator[str]:
    """The last lines of a log, and then those that come.

    Args:
        file: The log.
        last: How many lines, of those that contain the text.
        follow: Whether to wait for more until the reader has enough.
        containing: Other lines are left out.
    """
    with file.open(encoding="utf-8", errors="replace") as log:
        yield from deque((line for line in log if containing in line), maxlen=last)
        while follow:
            if line := log.readline():
                if containing in line:
                    yield line
            else:
                if file.stat().st_size < log.tell():  # the part was started anew, with an empty log
                    log.seek(0)
                time.sleep(_PAUSE)


def psql_environment(running: Running, tenant: str | None) -> tuple[str, dict[str, str]]:
    """How psql comes in as the application does: with its login, and for one tenant.

    Args:
        running: The stack.
        tenant: Whose rows; None takes the first demo user's.

    Returns:
        The database's address, and variables for psql.

    Raises:
        Failure: The tenant has no tenant's form.
    """
    tenant = running.users[0].tenant if tenant is None else tenant
    if not TENANT.fullmatch(tenant):
        raise Failure(f"{tenant!r} is no tenant: 1 to 64 letters, digits, _ or -, beginning with a letter or digit")
    environment = json.loads(Path(running.env_file).with_suffix(".json").read_text(encoding="utf-8"))
    more = {"PGPASSWORD": _password(environment), "PGOPTIONS": f"-c app.tenant_id={tenant}", "PSQLRC": os.devnull}
    return environment["DATABASE_URL"], more


def how_it_is(folder: Path) -> tuple[bool, list[tuple[str, str]]]:
    """Whether the stack serves, and what there is to say of it.

    Args:
        folder: State of the stack.

    Raises:
        Failure: None runs here.
    """
    running = state.load(folder)
    try:
        with plain.client(_PATIENCE) as http:
            answer = http.get(f"{running.api_url}/api/v1/health/ready")
        ready, checks = answer.status_code == 200, answer.json().get("checks", {})
        said = ", ".join(f"{name} {check}" for name, check in checks.items())
    except (httpx.HTTPError, ValueError) as failure:
        ready, said = False, silence(failure)
    rows = [
        ("API", f"{running.api_url}  {'ready' if ready else 'not ready'} ({said})"),
        ("page", running.page_url or "none"),
        ("sign in", running.login_url),
        ("users", ", ".join(f"{user.name} of {user.tenant} ({user.email})" for user in running.users)),
        ("passwords", str(folder / state.FILE)),
        ("process", str(state.running_pid(folder))),
        ("environment", running.env_file),
        ("logs", str(folder / "logs")),
    ]
    return ready, rows


def _password(environment: Mapping[str, str]) -> str:
    """Of the application's login, as the service finds it: in the local AWS."""
    import boto3
    from botocore.config import Config

    endpoint = environment["AWS_ENDPOINT_URL"]
    if urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Failure(f"{endpoint} is not on this machine: only a local stack's database is entered this way")
    client = boto3.client(
        "secretsmanager",
        endpoint_url=endpoint,
        region_name=environment["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  the local AWS checks none
        config=Config(connect_timeout=_PATIENCE, read_timeout=_PATIENCE, retries={"total_max_attempts": 1}),
    )
    return str(
        json.loads(client.get_secret_value(SecretId=environment["DATABASE_SECRET_ID"])["SecretString"])["password"]
    )
