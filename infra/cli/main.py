"""The ``signalbox`` command. Each command imports what it needs when it runs, so that none waits for the others."""

from __future__ import annotations

from typing import Any

import click

from infra.cli import api, auth, docs, local, reach, stages
from infra.cli.compliance import compliance
from infra.cli.init import init
from infra.shell.failure import Failure


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


for command in (
    init,
    *local.COMMANDS,
    *stages.COMMANDS,
    *reach.COMMANDS,
    docs.docs,
    docs.sbom,
    api.openapi,
    compliance,
    auth.auth,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
