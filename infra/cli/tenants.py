"""The command about the tenants of a stage: ``tenant-key``."""

from __future__ import annotations

import click

from infra.cli.stages import STAGE


@click.command("tenant-key")
@STAGE
@click.argument("tenant")
@click.option("--rotate", is_flag=True, help="Give the key new material now; KMS does so each year.")
@click.option("--end", "ends", is_flag=True, help="Have the key deleted in 30 days, and what it encrypts lost with it.")
@click.option("--name", "typed", help="With --end: the tenant once more; without it, the command asks.")
def tenant_key(name: str, tenant: str, rotate: bool, ends: bool, typed: str | None) -> None:
    """Make the KMS key of TENANT in STAGE, rotate it, or end it. Making it can be repeated."""
    from infra.deploy import tenant_keys
    from infra.deploy.account import Account
    from infra.deploy.stacks import identity
    from infra.stage.chosen import stage

    if rotate and ends:
        raise click.UsageError("--rotate keeps the key and --end deletes it: give one of them")
    target = stage(name)
    identity(target)  # of the stage's account
    account = Account(target.region)
    if ends:
        if tenant_keys.find(account, target, tenant) and typed is None:
            typed = click.prompt("From now on nothing under this key can be read. Type the tenant to end its key")
        gone = tenant_keys.end(account, target, tenant, typed or "")
        click.echo(
            f"The key of tenant {tenant} is deleted on {gone:%Y-%m-%d}; until then aws kms cancel-key-deletion and "
            "enable-key take that back."
        )
        return
    if rotate:
        key = tenant_keys.rotate(account, target, tenant)
        click.echo(f"{key.alias} gets new material; what it has encrypted stays readable.")
        return
    key, new = tenant_keys.make(account, target, tenant)
    click.echo(f"{'Made' if new else 'There already'}: {key.alias}, key {key.id}")
    if new:
        click.echo(
            "It can be used in about five minutes, when its alias has reached the policies; it costs by the month."
        )
    if target.tenant_keys == "off":
        click.echo(f'The service uses it when stage {name} says tenant_keys="on" and is deployed.')


COMMANDS = (tenant_key,)
