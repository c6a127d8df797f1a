"""The commands about identity providers: they print the steps that the service's own code replays."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.shell.failure import Failure
from infra.shell.paths import FOLDER

if TYPE_CHECKING:
    from service.auth.steps import Step

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def auth() -> None:
    """Identity providers and their tokens."""


@auth.command()
@click.argument("provider", required=False)
@click.option("--env-file", type=_FILE, help="Settings to check with.")
def check(provider: str | None, env_file: Path | None) -> None:
    """Say step by step what is checked of a PROVIDER, or of a token on standard input, and which rule fails.

    The settings are those of the environment, or of the local stack where one runs.
    """
    import asyncio

    import structlog

    from infra.environment.dotenv import read
    from infra.stage.variables import groups
    from service.auth.check import check_provider, check_token
    from service.auth.steps import CheckError
    from service.settings import SettingsError, load

    if env_file is None and (FOLDER / "railway.env").exists() and "ENVIRONMENT" not in os.environ:
        env_file = FOLDER / "railway.env"
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # the steps say it all
    try:
        settings = load(os.environ if env_file is None else read(env_file), groups())
        if provider is not None:
            asyncio.run(_print(check_provider(settings, provider.lower())))
        else:
            text = sys.stdin.read(65_536).strip().removeprefix("Bearer ").strip()
            asyncio.run(_print(check_token(settings, text)))
    except (CheckError, SettingsError) as failure:
        raise Failure(str(failure)) from None
    finally:
        structlog.configure(**before)


async def _print(steps: AsyncIterator[Step]) -> None:
    async for step in steps:
        click.echo(f"{step.mark:<6}{step.name:<13}{step.compared}")
