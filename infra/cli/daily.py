"""The commands for the day's work: ``status``, ``logs``, ``psql`` of the local stack, ``completion``, ``version``."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from infra.shell.failure import Failure
from infra.shell.paths import FOLDER, ROOT


@click.command()
def status() -> None:
    """Say how the local stack is; exits with 1 where it does not serve."""
    from infra.local.daily import how_it_is

    ready, rows = how_it_is(FOLDER)
    for name, text in rows:
        click.echo(f"{name:<12} {text}")
    if not ready:
        raise Failure("The API does not serve. Why is in its log: uv run signalbox logs")


@click.command()
@click.argument("part", default="api")
@click.option("-f", "--follow", is_flag=True, help="Go on with the lines that are written, until Ctrl-C.")
@click.option(
    "-n", "last", type=click.IntRange(0, 100_000), default=100, show_default=True, help="How many lines to begin with."
)
@click.option("--containing", default="", metavar="TEXT", help="Lines with this text alone, such as a request's id.")
def logs(part: str, follow: bool, last: int, containing: str) -> None:
    """Print the log of a PART of the local stack: api, local-aws, migrations, page."""
    from infra.local import daily

    log, found = daily.log_of(FOLDER, part), False
    with suppress(KeyboardInterrupt):
        for line in daily.lines(log, last, follow=follow, containing=containing):
            found = True
            click.echo(line, nl=False)
    if containing and last and not found:
        click.echo(f"No line of {log} has {containing!r}", err=True)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--tenant", help="Whose rows are seen.  [default: the first demo user's]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(tenant: str | None, arguments: tuple[str, ...]) -> None:
    """Open the local stack's database as the application's login, for one tenant; ARGUMENTS are psql's."""
    from infra.local import daily, state
    from infra.local.postgres import LocalPostgres

    address, more = daily.psql_environment(state.load(FOLDER), tenant)
    program = str(LocalPostgres(FOLDER / "postgres").bin / "psql")
    os.execve(program, [program, address, *arguments], {**os.environ, **more})  # noqa: S606  no shell is wanted


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes `signalbox` in a SHELL, where it is on PATH.

    For bash: source .venv/bin/activate, then eval "$(signalbox completion bash)".
    """
    from click.shell_completion import get_completion_class

    kind, root = get_completion_class(shell), ctx.find_root()
    assert kind is not None
    click.echo(kind(root.command, {}, "signalbox", "_SIGNALBOX_COMPLETE").source())


@click.command()
@click.argument("number")
def version(number: str) -> None:
    """Make version NUMBER of what is here: number, changelog, OpenAPI document, commit and tag. Nothing is pushed."""
    from infra.docs.versions import make

    make(ROOT, number)
    click.echo(f"v{number} is made. Publish it: git push origin main v{number}")


COMMANDS = (status, logs, psql, completion, version)
