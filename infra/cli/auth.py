"""The commands about identity providers and their tokens."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from infra.shell.paths import FOLDER


@click.group()
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
