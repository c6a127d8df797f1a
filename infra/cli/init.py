"""``signalbox init``: the template becomes a product with a name and addresses of its own."""

from __future__ import annotations

from collections.abc import Callable
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
    """Each answer is judged when it is given, and asked for again where it cannot be."""
    from infra.deploy.init import LOCAL, Wanted

    name = _ask(product, "Name, in AWS, PostgreSQL and cookies", product.name, lambda said: Wanted(name=said))
    title = _ask(product, "Title, in OpenAPI and on pages", product.title, lambda said: Wanted(title=said))
    region = _ask(product, "AWS region", product.region, lambda said: Wanted(region=said))
    domain = None
    if product.domain:
        domain = _ask(product, "Domain that all addresses end with", product.domain, lambda said: Wanted(domain=said))
    stages = [_asked_of(product, stage, domain) for stage in product.records if stage != LOCAL]
    return Wanted(
        name=name,
        title=title,
        region=region,
        stages={old: new for one in stages for old, new in one.stages.items()},
        apis={old: api for one in stages for old, api in one.apis.items()},
        front_ends={old: origins for one in stages for old, origins in one.front_ends.items()},
        emails={old: email for one in stages for old, email in one.emails.items()},
    )


def _asked_of(product: Product, stage: str, domain: str | None) -> Wanted:
    from infra.deploy.init import Wanted

    def split(said: str) -> tuple[str, ...]:
        return tuple(origin.strip() for origin in said.split(","))

    record = product.records[stage]
    api, *origins = (product.moved(stage, one, domain) for one in (record.public_url, *record.allowed_origins))
    name = _ask(product, f"Name of stage {stage}", stage, lambda said: Wanted(stages={stage: said}))
    api = _ask(product, "  Origin of its API", api, lambda said: Wanted(apis={stage: said}))
    front_ends = _ask(
        product,
        "  Origins of its front ends, by commas",
        ",".join(origins),
        lambda said: Wanted(front_ends={stage: split(said)}),
    )
    emails = {}
    if (email := record.watch.email) is not None:
        told = "  Who is told of its alarms (e-mail)"
        emails[stage] = _ask(product, told, email, lambda said: Wanted(emails={stage: said}))
    return Wanted(stages={stage: name}, apis={stage: api}, front_ends={stage: split(front_ends)}, emails=emails)


def _ask(product: Product, text: str, default: str, wanted: Callable[[str], Wanted]) -> str:
    from infra.deploy.init import InitError

    def judged(said: str) -> str:
        try:
            product.changed(wanted(said))
        except InitError as refused:
            raise click.UsageError(str(refused)) from None
        return said

    return str(click.prompt(text, default=default, value_proc=judged))
