"""The commands about the stack on this machine: ``up``, ``down``, ``token``."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from infra.shell.failure import Failure
from infra.shell.paths import FOLDER, ROOT

if TYPE_CHECKING:
    from infra.local.state import Running

_DOWN_TIMEOUT = 60.0  # seconds for an orderly stop; each process has ten
_PORT = click.IntRange(1024, 65535)


@click.command()
@click.option("--port", type=_PORT, default=8000, show_default=True, help="Port of the API.")
@click.option("--aws-port", type=_PORT, default=4566, show_default=True, help="Port of the local AWS.")
@click.option("--page-port", type=_PORT, help="Port of the example page.  [default: the API's + 1, or any free one]")
@click.option("--reload", is_flag=True, help="Start the API anew when its code changes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line when ready, and nothing else on stdout.")
def up(port: int, aws_port: int, page_port: int | None, reload: bool, as_json: bool) -> None:
    """Run everything on this machine: local AWS, PostgreSQL, the project's own stacks, the API, a page that uses it."""
    from infra.local.up import Up

    announce: Callable[[Running], None] = _print_json if as_json else _print_ready
    Up(ROOT, FOLDER, port, aws_port, page_port, reload).run(announce)


@click.command()
def down() -> None:
    """Stop what ``signalbox up`` has started."""
    from infra.local import state

    pid = state.running_pid(FOLDER)
    if pid is None:
        click.echo("Nothing is running here.")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_TIMEOUT
    while state.running_pid(FOLDER) is not None:
        if time.monotonic() > deadline:
            raise Failure(f"Process {pid} did not stop in {_DOWN_TIMEOUT:.0f} s; look at it, or end it: kill -9 {pid}")
        time.sleep(0.05)
    click.echo("Stopped.")


@click.command()
@click.argument("user")
def token(user: str) -> None:
    """Print a fresh access token for a demo USER of the running stack (alice, bob)."""
    from infra.local import state

    click.echo(state.access_token(state.load(FOLDER), user))


def _print_json(running: Running) -> None:
    click.echo(json.dumps(running.public()))


def _print_ready(running: Running) -> None:
    from infra.local.state import access_token

    click.echo(f"\nReady. The API is at {running.api_url} (Ctrl-C stops everything).\n")
    for user in running.users:
        click.echo(f"  {user.name:<6} tenant {user.tenant:<8} signs in as {user.email:<19} password {user.password}")
    if running.page_url:
        click.echo(f"\nA page that signs in and calls the API:  {running.page_url}  (examples/page)")
    click.echo(f"\nTry the API:  {running.api_url}/docs")
    click.echo(f"Sign in, for the tokens as JSON:  {running.login_url}")
    click.echo(f"\nAs {running.users[0].name}, for an hour:\n")
    authorization = f"Authorization: Bearer {access_token(running, running.users[0].name)}"
    click.echo(f'  curl -H "{authorization}" {running.api_url}/api/v1/auth/validate\n')
    click.echo("A fresh token:  uv run signalbox token alice")


COMMANDS = (up, down, token)
