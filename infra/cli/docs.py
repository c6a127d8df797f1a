"""The command about documents that are made from the code."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from infra.shell.failure import Failure
from infra.shell.paths import ROOT


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 when a document has drifted.")
@click.option("--site", is_flag=True, help="Build the site of docs/, strictly: a link that leads nowhere is an error.")
@click.option("--stacks", is_flag=True, help="Make the picture of the stacks from their templates; takes longer.")
@click.pass_context
def docs(ctx: click.Context, check: bool, site: bool, stacks: bool) -> None:
    """Write the documents that are made from the code: error codes, variables, controls, commands, diagrams."""
    if site:
        from infra.docs.site import build

        click.echo(f"Open {build(ROOT) / 'index.html'}")
        return
    if stacks:
        from infra.docs.stacks import FILE, written

        (ROOT / FILE).write_text(written(), encoding="utf-8")
    from infra.docs import commands, documents  # lists the pictures, that of the stacks too

    main = ctx.find_root().command
    assert isinstance(main, click.Group)
    more = {commands.FILE: lambda: commands.page(main)}
    if not check:
        click.echo("\n".join(documents.write(ROOT, more)) or "Everything is up to date.")
    elif drifted := list(documents.stale(ROOT, more)):
        raise Failure(f"Not as the code has it: {', '.join(drifted)}. Run: uv run signalbox docs")


@click.command()
@click.option("--image", is_flag=True, help="Of what the image installs; without it, of the whole repository.")
@click.option(
    "--debian",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --image: the file var/lib/dpkg/status of the built image, whose packages go into it.",
)
def sbom(image: bool, debian: Path | None) -> None:
    """Print a bill of materials (CycloneDX 1.5) out of the lock files: every package, its version and its hashes."""
    from infra.docs import sbom as bills
    from infra.shell.git import ask

    commit = ask(ROOT, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or "unknown"
    if debian is not None and not image:
        raise Failure("--debian is about the image: add --image")
    made = int(ask(ROOT, "log", "-1", "--format=%ct") or "0")  # of the commit: the same bill from the same commit
    at = datetime.fromtimestamp(made, UTC)
    click.echo(bills.sbom(ROOT, image=image, commit=commit, at=at, debian=debian), nl=False)
