"""``signalbox init``: the template becomes a product with a name and addresses of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.shell.failure import Failure

if TYPE_CHECKING:
    from infra.deploy.init import Product, Wanted

ROOT = Path(__file__).resolve().parents[2]


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(name and equals and value for name, equals, value in pairs):
        raise Failure(f"{option} takes STAGE=VALUE")
    return {name: value for name, _, value in pairs}


def _lists(texts: tuple[str, ...], option: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(value.split(",")) for name, value in _pairs(texts, option).items()}


@click.command("init")
@click.option("--name", help="In AWS, PostgreSQL and cookies: 2 to 20 lower-case letters, digits and single dashes.")
@click.option("--title", help="In OpenAPI and on pages: 1 to 40 characters.")
@click.option("--region", help="AWS region.")
@click.option("--domain", help="Domain below which all stages have their addresses.")
@click.option("--stage", "stages", multiple=True, metavar="OLD=NEW", help="Another name for a stage.")
@click.option("--api", "apis", multiple=True, metavar="STAGE=ORIGIN", help="Origin of the API of a stage.")
@click.option(
    "--front-end", "front_ends", multiple=True, metavar="STAGE=ORIGIN[,ORIGIN]", help="Origins of its front ends."
)
@click.option("--email", "emails", multiple=True, metavar="STAGE=ADDRESS", help="Where alarms of a stage go.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
def init(
    name: str | None,
    title: str | None,
    region: str | None,
    domain: str | None,
    stages: tuple[str, ...],
    apis: tuple[str, ...],
    front_ends: tuple[str, ...],
    emails: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Make the template yours: write service/product.py and infra/product.py, and nothing else.

    Without options it asks for everything. It may run again at any time; what is not said stays.
    A stage that is deployed keeps its old names in AWS, and nothing moves its data: decide before the first deployment.
    """
    from infra.deploy.init import Product, Wanted, keep_on_merge
    from infra.product import STAGES

    product = Product(ROOT, STAGES)
    if any((name, title, region, domain, stages, apis, front_ends, emails)):
        wanted = Wanted(
            name=name,
            title=title,
            region=region,
            domain=domain,
            stages=_pairs(stages, "--stage"),
            apis=_pairs(apis, "--api"),
            front_ends=_lists(front_ends, "--front-end"),
            emails=_pairs(emails, "--email"),
        )
    else:
        wanted = _asked(product)
    texts = product.changed(wanted)
    click.echo(product.difference(texts) or "Everything is so already.", nl=not texts)
    if dry_run:
        return
    product.write(texts)
    if keep_on_merge(ROOT):
        click.echo("git keeps these two files as they are when a newer template is merged (merge.product.driver).")
    if texts:
        click.echo("Wrote them. Next: uv run signalbox docs, and look at the sizes and networks in infra/product.py.")


def _asked(product: Product) -> Wanted:
    from infra.deploy.init import LOCAL, Wanted

    name, title, region = (
        click.prompt(text, default=value)
        for text, value in (("Name", product.name), ("Title", product.title), ("AWS region", product.region))
    )
    stages, apis, front_ends, emails = {}, {}, {}, {}
    for old, record in product.records.items():
        if old == LOCAL:
            continue
        stages[old] = click.prompt(f"Name of stage {old}", default=old)
        apis[old] = click.prompt("  Origin of its API", default=record.public_url)
        origins = click.prompt("  Origins of its front ends, by commas", default=",".join(record.allowed_origins))
        front_ends[old] = tuple(origins.split(","))
        if record.watch.email is not None:
            emails[old] = click.prompt("  Who is told of its alarms", default=record.watch.email)
    return Wanted(name=name, title=title, region=region, stages=stages, apis=apis, front_ends=front_ends, emails=emails)
