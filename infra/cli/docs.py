"""The command about documents that are made from the code."""

from __future__ import annotations

import click

from infra.shell.failure import Failure
from infra.shell.paths import ROOT


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 when a document has drifted.")
def docs(check: bool) -> None:
    """Write the documents that are made from the code: error codes, variables, controls."""
    from infra.docs import documents

    if not check:
        click.echo("\n".join(documents.write(ROOT)) or "Everything is up to date.")
    elif drifted := list(documents.stale(ROOT)):
        raise Failure(f"Not as the code has it: {', '.join(drifted)}. Run: uv run signalbox docs")
