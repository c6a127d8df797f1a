"""What a running local stack leaves for other commands: one file, readable by its owner alone, and one lock."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from infra.local.sign_in import Client, sign_in
from infra.local.users import DemoUser
from infra.shell.failure import Failure
from infra.shell.files import write_private

FILE: Final = "up.json"  # holds the demo users' passwords


class NotRunningError(Failure):
    """No local stack runs here."""


class AlreadyRunningError(Failure):
    """One runs already."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running local stack; the names are those of ``signalbox up --json``.

    Attributes:
        api_url: Origin of the API.
        issuer: ``iss`` of its tokens.
        jwks_url: Where their keys are.
        login_url: Where a person signs in.
        page_url: A page that signs in and calls the API; None where none is shown.
        env_file: The environment that the API was started from.
        outputs_file: The stack outputs it was made from.
        client: The application client.
        users: The demo users.
    """

    api_url: str
    issuer: str
    jwks_url: str
    login_url: str
    page_url: str | None
    env_file: str
    outputs_file: str
    client: Client
    users: tuple[DemoUser, ...]

    def public(self) -> dict[str, object]:
        """What ``--json`` prints: nothing that signs anybody in."""
        names = ("api_url", "issuer", "jwks_url", "login_url", "page_url", "env_file", "outputs_file")
        users = [{"name": user.name, "tenant": user.tenant} for user in self.users]
        return {**{name: getattr(self, name) for name in names}, "users": users}


def describe(
    folder: Path,
    api_url: str,
    aws_url: str,
    outputs: Mapping[str, str],
    environment: Mapping[str, str],
    users: list[DemoUser],
    page_url: str | None,
) -> Running:
    """Put the description together."""
    client = Client(
        authorize_url=f"{aws_url}/oauth2/authorize",
        token_url=f"{aws_url}/oauth2/token",
        client_id=outputs["UserPoolClientId"],
        redirect_uri=f"{api_url}/api/v1/auth/cognito/callback",
    )
    return Running(
        api_url=api_url,
        issuer=environment["IDP__COGNITO__ISSUER"],
        jwks_url=environment["IDP__COGNITO__JWKS_URL"],
        login_url=f"{api_url}/api/v1/auth/cognito/login",
        page_url=page_url,
        env_file=str(folder / "railway.env"),
        outputs_file=str(folder / "cdk-outputs.json"),
        client=client,
        users=tuple(users),
    )


def save(folder: Path, running: Running) -> None:
    """Write the description where ``load`` finds it."""
    write_private(folder / FILE, json.dumps(asdict(running), indent=2).encode())


def load(folder: Path) -> Running:
    """Read the description of the stack that runs now.

    Raises:
        NotRunningError: None runs in this folder.
    """
    if running_pid(folder) is None or not (folder / FILE).exists():
        raise NotRunningError("No local stack is running here. Start one with: uv run signalbox up")
    raw = json.loads((folder / FILE).read_text())
    return Running(
        **{**raw, "client": Client(**raw["client"]), "users": tuple(DemoUser(**user) for user in raw["users"])}
    )


def access_token(running: Running, name: str) -> str:
    """Sign a demo user in through the hosted page.

    Args:
        running: The local stack.
        name: Short name of the user.

    Raises:
        Failure: No such user, or the sign-in was refused.
    """
    user = next((user for user in running.users if user.name == name), None)
    if user is None:
        known = ", ".join(user.name for user in running.users)
        raise Failure(f"There is no demo user {name!r}: choose one of {known}")
    return sign_in(running.client, user.email, user.password)["access_token"]


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel drops it when the process ends, however it ends.

    Raises:
        AlreadyRunningError: Somebody else holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunningError(
                "A local stack is running here already. Stop it with: uv run signalbox down"
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            (folder / FILE).unlink(missing_ok=True)
            lock.seek(0)
            lock.truncate()


def running_pid(folder: Path) -> int | None:
    """Process id of the `signalbox up` that holds the folder; None when nobody does."""
    try:
        with (folder / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                text = lock.read().strip()
                return int(text) if text.isdigit() else None
    except FileNotFoundError:
        pass
    return None
