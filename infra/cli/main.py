"""The ``signalbox`` command. Each command imports what it needs when it runs, so that none waits for the others."""

from __future__ import annotations

import errno
from typing import Any

import click

from infra.cli import api, auth, daily, docs, local, reach, stages
from infra.cli.compliance import compliance
from infra.cli.init import init
from infra.shell.failure import Failure

_FULL = "Free some space there (the local stack's state is .signalbox, or SIGNALBOX_STATE) and run the command again."
_CLOSED = "Let this user write there, or set SIGNALBOX_STATE to a folder that it may write to."
# What this machine refuses any command, wherever in it, and what a person does about it.
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: _CLOSED,
}


class _Group(click.Group):
    """Turns every failure of ours into one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            raise click.ClickException(str(failure)) from None
        except OSError as failure:
            if (remedy := _REMEDIES.get(failure.errno or 0)) is None:
                raise
            where = failure.filename or "a file of this command"
            raise click.ClickException(f"{where}: {failure.strerror}. {remedy}") from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Signalbox: a multi-tenant health API on Railway with its AWS side."""


for command in (
    init,
    *local.COMMANDS,
    *daily.COMMANDS,
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
