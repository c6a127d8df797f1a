"""The commands about what a stage needs elsewhere: ``tailnet``, the way to its database, and ``due``, what ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

import click

from infra.cli.stages import STAGE, WORKSPACE
from infra.shell.failure import Failure
from infra.shell.paths import ROOT

if TYPE_CHECKING:
    from infra.deploy.finding import Finding


@click.command()
@STAGE
@click.option(
    "--policy", type=click.File(encoding="utf-8"), help="Check this policy file; - reads it from standard input."
)
@click.option("--check", "ask", is_flag=True, help="Ask Tailscale for the policy and both ends: TAILSCALE_API_TOKEN.")
def tailnet(name: str, policy: IO[str] | None, ask: bool) -> None:
    """Print what the tailnet's policy file needs for STAGE, or check it. Exits with 1 where something is missing."""
    import json
    import os

    from infra.deploy import tailnet as policies
    from infra.deploy.tailnet_api import TOKEN, Tailnet, joined
    from infra.stage.chosen import stage
    from infra.stage.tailscale import tailnet_policy

    target = stage(name)
    if not target.subnet_router:
        raise Failure(f"Stage {name} has no subnet router, and so nothing in a tailnet")
    found: list[Finding] = []
    if policy is not None:
        found += policies.check(policies.read(policy.read(policies.MAX_POLICY + 1)), target)
    if ask:
        client = Tailnet.from_environment(os.environ)
        if client is None:
            raise Failure(f"There is no token to ask Tailscale with: set {TOKEN}, or give --policy FILE")
        with client:
            found += policies.check(client.policy(), target)
            found += joined(client.devices(), target)
    if policy is None and not ask:
        click.echo(policies.ADVICE.format(stage=name), err=True)
        click.echo(json.dumps(tailnet_policy(target), indent=2))
    _tell(found, "missing: see above what to do")


@click.command()
@STAGE
@WORKSPACE
def due(name: str, workspace: str | None) -> None:
    """Say what of STAGE ends by a date: certificates, keys. Exits with 1 where something is to be renewed."""
    from infra.deploy.account import Account
    from infra.deploy.due import due as look
    from infra.railway.api import Client
    from infra.railway.operations import Railway
    from infra.railway.project import Project, project_name
    from infra.railway.state import observe
    from infra.stage.chosen import stage

    target = stage(name)
    with Client.from_environment() as client:
        state = observe(Railway(client), Project(project_name(name), name, ()), workspace)
    _tell(list(look(ROOT, target, state, Account(target.region))), "to be renewed: see above how")


def _tell(found: Sequence[Finding], ending: str) -> None:
    from infra.deploy.finding import shown

    for _, line in shown(found):
        click.echo(line)
    if missing := [one.name for one in found if one.state == "missing"]:
        raise Failure(f"{', '.join(missing)} {ending}")


COMMANDS = (tailnet, due)
