"""The ``signalbox`` command. Each command imports what it needs when it runs, so that none waits for the others."""

from __future__ import annotations

from typing import Any

import click

from infra.cli import api, auth, daily, docs, local, reach, stages, tenants
from infra.cli.compliance import compliance
from infra.cli.init import init
from infra.shell import machine
from infra.shell.failure import Failure


class _Group(click.Group):
    """Turns every failure of ours into one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            told = str(failure)
            raise click.ClickException(f"{told}. {machine.FULL}" if machine.is_full(told) else told) from None
        except OSError as failure:
            if (remedy := machine.remedy(failure)) is None:
                raise
            where = failure.filename or "a file of this command"
            raise click.ClickException(f"{where}: {failure.strerror}. {remedy}") from None
        except Exception as failure:
            if (sentence := machine.unreached(failure) or _product_refused(failure)) is None:
                raise
            raise click.ClickException(sentence) from None


def _product_refused(failure: Exception) -> str | None:
    """What is wrong with a file of the adopter's, which each command reads."""
    from infra.stage.told import product_refused

    return product_refused(failure)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Signalbox: a multi-tenant health API on Railway with its AWS side."""


for command in (
    init,
    *local.COMMANDS,
    *daily.COMMANDS,
    *stages.COMMANDS,
    *reach.COMMANDS,
    *tenants.COMMANDS,
    docs.docs,
    docs.sbom,
    api.openapi,
    compliance,
    auth.auth,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
