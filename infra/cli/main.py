"""The ``signalbox`` command. Each command imports what it needs when it runs, so that none waits for the others."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli import railway as commands
from infra.cli.init import init
from infra.shell.failure import Failure

if TYPE_CHECKING:
    from infra.local.state import Running

ROOT = Path(__file__).resolve().parents[2]
# Where the local stack keeps its state; another folder (and other ports) makes a second stack beside the first.
FOLDER = Path(os.environ.get("SIGNALBOX_STATE") or ROOT / ".signalbox").resolve()
_DOWN_TIMEOUT = 60.0  # seconds for an orderly stop; each process has ten
_PORT = click.IntRange(1024, 65535)


class _Group(click.Group):
    """Turns every failure of ours into one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            raise click.ClickException(str(failure)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Signalbox: a multi-tenant health API on Railway with its AWS side."""


for command in (init, *commands.COMMANDS):
    main.add_command(command)


@main.command()
@click.option("--port", type=_PORT, default=8000, show_default=True, help="Port of the API.")
@click.option("--aws-port", type=_PORT, default=4566, show_default=True, help="Port of the local AWS.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line when ready, and nothing else on stdout.")
def up(port: int, aws_port: int, as_json: bool) -> None:
    """Run everything on this machine: local AWS, PostgreSQL, the project's own stacks, and the API."""
    from infra.local.up import Up

    announce: Callable[[Running], None] = _print_json if as_json else _print_ready
    Up(ROOT, FOLDER, port, aws_port).run(announce)


@main.command()
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


@main.command()
@click.argument("user")
def token(user: str) -> None:
    """Print a fresh access token for a demo USER of the running stack (alice, bob)."""
    from infra.local import state

    click.echo(access_token(state.load(FOLDER), user))


@main.command()
@click.argument("stage_name", metavar="STAGE")
@click.option("--renew", is_flag=True, help="Make a new client certificate although the present one is good.")
def certs(stage_name: str, renew: bool) -> None:
    """Make or renew the certificate by which the service of STAGE proves itself to AWS."""
    from infra.deploy.certificates import issue
    from infra.stage.chosen import stage

    issued = issue(stage(stage_name), ROOT / "infra" / "authorities", FOLDER / "certs", renew=renew)
    state = "New" if issued.renewed else "Still good"
    click.echo(
        f"{state}: {issued.certificate}, until {issued.expires:%Y-%m-%d}.\n"
        f"Authority, for the template (commit it): {issued.authority}\n"
        f"signalbox deploy {stage_name} seals the pair on Railway; by hand, seal the content of these files:\n"
        f"  ROLES_ANYWHERE_CERTIFICATE_SECRET  {issued.certificate}\n"
        f"  ROLES_ANYWHERE_PRIVATE_KEY_SECRET  {issued.key}"
    )


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 when a document has drifted.")
def docs(check: bool) -> None:
    """Write the documents that are made from the code: error codes, variables, controls."""
    from infra.docs import documents

    if not check:
        click.echo("\n".join(documents.write(ROOT)) or "Everything is up to date.")
    elif drifted := list(documents.stale(ROOT)):
        raise Failure(f"Not as the code has it: {', '.join(drifted)}. Run: uv run signalbox docs")


@main.group()
def auth() -> None:
    """Identity providers and their tokens."""


@auth.command("check")
@click.argument("provider", required=False)
@click.option(
    "--env-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Settings to check with."
)
def auth_check(provider: str | None, env_file: Path | None) -> None:
    """Say step by step what is checked of a PROVIDER, or of a token on standard input, and which rule fails.

    The settings are those of the environment, or of the local stack where one runs.
    """
    import asyncio

    from infra.cli import auth_check as checks

    if env_file is None and (FOLDER / "railway.env").exists() and "ENVIRONMENT" not in os.environ:
        env_file = FOLDER / "railway.env"
    settings = checks.read_settings(os.environ, env_file)
    with checks.without_log():
        if provider is not None:
            asyncio.run(checks.check_provider(settings, provider.lower(), click.echo))
        else:
            text = sys.stdin.read(65_536).strip()
            asyncio.run(checks.check_token(settings, text.removeprefix("Bearer ").strip(), click.echo))


def access_token(running: Running, name: str) -> str:
    """Sign a demo user in through the hosted page.

    Args:
        running: The local stack.
        name: Short name of the user.

    Raises:
        Failure: No such user, or the sign-in was refused.
    """
    from infra.local.sign_in import sign_in

    user = next((user for user in running.users if user.name == name), None)
    if user is None:
        known = ", ".join(user.name for user in running.users)
        raise Failure(f"There is no demo user {name!r}: choose one of {known}")
    return sign_in(running.client, user.email, user.password)["access_token"]


def _print_json(running: Running) -> None:
    click.echo(json.dumps(running.public()))


def _print_ready(running: Running) -> None:
    click.echo(f"\nReady. The API is at {running.api_url} (Ctrl-C stops everything).\n")
    for user in running.users:
        click.echo(f"  {user.name:<6} tenant {user.tenant:<8} {user.email}   password {user.password}")
    click.echo(f"\nSign in:  {running.login_url}\nTry it:   {running.api_url}/docs")
    click.echo(f"\nAs {running.users[0].name}, for an hour:\n")
    authorization = f"Authorization: Bearer {access_token(running, running.users[0].name)}"
    click.echo(f'  curl -H "{authorization}" {running.api_url}/api/v1/auth/validate\n')
    click.echo("A fresh token:  uv run signalbox token alice")


if __name__ == "__main__":
    main()
