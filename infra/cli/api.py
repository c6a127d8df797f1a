"""The command about the API that clients are made for."""

from __future__ import annotations

import click

from infra.shell.failure import Failure
from infra.shell.paths import ROOT


@click.command()
@click.option("--check", is_flag=True, help="Exit with 1 when a client of the last release would break, and say why.")
def openapi(check: bool) -> None:
    """Print the OpenAPI document of the product, which clients are generated from."""
    from infra.docs import openapi as described

    if not check:
        click.echo(described.page(), nl=False)
    elif found := list(described.broken(ROOT)):
        raise Failure(
            "A client of the last release would break:\n  " + "\n  ".join(found) + "\nLeave room for both, or raise "
            "the version in pyproject.toml by what says so: the first number, or the second while the first is 0."
        )
    else:
        click.echo("Clients of the last release go on working.")
