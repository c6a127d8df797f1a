"""The commands about stages: ``env`` prints, ``doctor`` and ``plan`` look, the others change something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from infra.shell.failure import Failure
from infra.shell.paths import FOLDER, ROOT

if TYPE_CHECKING:
    from infra.deploy.steps import Deployment
    from infra.railway.project import Project

_STEPS: Final = ("doctor", "stacks", "render", "plan", "apply", "release", "smoke")
_FORMS = click.Choice(("dotenv", "json", "sdk", "template", "patch"))


class _Stages(click.Choice[str]):
    """Names of stages, looked up when somebody needs them: the records take longer to load than help to print.

    Args:
        deployed: Only those that run on AWS and Railway; otherwise all, and the trial.
    """

    case_sensitive = True

    def __init__(self, *, deployed: bool) -> None:
        self._deployed = deployed

    @property
    def choices(self) -> Sequence[str]:  # type: ignore[override]
        from infra.product import STAGES

        return [name for name in STAGES if name != "local"] if self._deployed else [*STAGES, "trial"]


_REPOSITORY = click.option("--repository", help="owner/name on GitHub; default: the remote origin.")
_BRANCH = click.option("--branch", default="main", show_default=True, help="Branch that Railway builds.")


@click.command()
@click.option(
    "--stage",
    "name",
    type=_Stages(deployed=False),
    default="local",
    show_default=True,
    help="trial: the one-click template.",
)
@click.option("--format", "form", type=_FORMS, default="dotenv", show_default=True, help="Which rendering.")
@click.option("--outputs", type=click.Path(path_type=Path), help="The outputs file; default: where stacks left it.")
@click.option("--write", is_flag=True, help="With sdk: write .railway/environments/<stage>.json instead of printing.")
@_REPOSITORY
@_BRANCH
def env(
    name: str,
    form: str,
    outputs: Path | None,
    write: bool,
    repository: str | None,
    branch: str,
) -> None:
    """Print the environment of a stage, made from its stack outputs. Sealed values are never printed."""
    from infra.railway import sources, trial
    from infra.railway.renderings import printable
    from infra.stage.chosen import stage

    if name == "trial":
        project = trial.trial_project(ROOT, sources.repository(ROOT, repository))
        text = trial.serialized(project) if form == "template" else printable(project, form)
    elif name == "local":
        text = printable(local_project(ROOT, FOLDER), form)
    else:
        found = sources.outputs(outputs or sources.outputs_file(FOLDER, name), name)
        repo = sources.repository(ROOT, repository) if form == "sdk" else repository or "owner/name"
        text = printable(sources.stage_project(ROOT, stage(name), found, {}, repo, branch), form)  # none sealed
    if not write:
        click.echo(text, nl=False)
    elif form == "sdk":
        path = ROOT / ".railway" / "environments" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {path.relative_to(ROOT)}")
    else:
        raise Failure("--write goes with --format sdk; redirect the others to where you want them")


def local_project(root: Path, folder: Path) -> Project:
    """The project as ``signalbox up`` would have it on Railway; nobody deploys it, but it can be looked at.

    Args:
        root: The checkout.
        folder: The state folder.

    Raises:
        Failure: No local stack runs.
    """
    from infra.environment.build import build
    from infra.environment.table import Inputs, Local
    from infra.local import state
    from infra.railway import sources
    from infra.railway.project import project
    from infra.stage.chosen import stage

    running = state.load(folder)
    target = stage("local", public_url=running.api_url)
    aws_url = running.client.authorize_url.removesuffix("/oauth2/authorize")
    port = int(running.api_url.rpartition(":")[2])
    outputs = sources.outputs(Path(running.outputs_file), "local")
    variables = build(Inputs(target, outputs, Local(aws_url, port)))
    return project(target, variables, root=root, repository="local/signalbox")


_LOSE = click.option(
    "--lose", multiple=True, metavar="PART/ID", help="Something stateful that this may lose; by its name in the plan."
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
STAGE = click.argument("name", metavar="STAGE", type=_Stages(deployed=True))
WORKSPACE = click.option("--workspace", help="Railway workspace, id or name, where the token is for several.")


def _deployment(name: str, repository: str | None, branch: str, workspace: str | None) -> Deployment:
    from infra.deploy.steps import Deployment
    from infra.stage.chosen import stage

    return Deployment(ROOT, FOLDER, stage(name), repository, branch, workspace)


def _of_a_deployment(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that every command about a deployment has."""
    for decorate in (WORKSPACE, _BRANCH, _REPOSITORY, STAGE):
        command = decorate(command)
    return command


@click.command()
@_of_a_deployment
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--from", "first", type=click.Choice(_STEPS), default="doctor", show_default=True, help="Where to begin.")
@_LOSE
@_YES
def deploy(only_plan: bool, first: str, lose: tuple[str, ...], yes: bool, **options: Any) -> None:
    """Bring STAGE from nothing, or from wherever it is, to a healthy, smoke-tested service."""
    from infra.deploy import stacks
    from infra.deploy.account import Account
    from infra.deploy.outputs import recall
    from infra.railway import sources
    from infra.railway.project import project_name
    from infra.stage import costs

    run = _deployment(**options)
    if only_plan:
        try:
            run.doctor()
            recall(Account(run.stage.region), run.stage, sources.outputs_file(FOLDER, run.stage.name))
        except Failure:  # without credentials nothing can be compared, but the price needs none
            click.echo(costs.summary(run.stage))
            raise
        click.echo(stacks.difference(ROOT, run.stage, FOLDER))
        try:
            run.plan()
        except Failure as failure:  # before the first deployment there are no outputs to plan with
            click.echo(f"Railway: {failure}")
        click.echo(costs.summary(run.stage))
        return
    target = project_name(run.stage.name)
    if not yes:
        where = f"AWS {run.stage.region} and Railway project {target}"
        click.confirm(f"Deploy stage {run.stage.name} to {where}?", abort=True)
    run.agree, run.lose = _agree(yes), lose
    run.run(first)
    click.echo(run.summary())


@click.command()
@_of_a_deployment
def doctor(**options: Any) -> None:
    """Say what is missing before STAGE can be deployed."""
    run = _deployment(**options)
    run.doctor()
    click.echo("Nothing is missing.")


def _step(name: str, text: str, *more: Callable[[Callable[..., None]], Callable[..., None]]) -> click.Command:
    def command(yes: bool = True, lose: tuple[str, ...] = (), **options: Any) -> None:
        run = _deployment(**options)
        run.agree, run.lose = _agree(yes), lose
        run.run(name, name)

    made = _of_a_deployment(command)
    for option in more:
        made = option(made)
    return click.command(name, help=text)(made)


def _agree(yes: bool) -> Callable[[str], bool]:
    return (lambda _: True) if yes else click.confirm


STEP_COMMANDS = (
    _step("stacks", "Deploy the CDK stacks of STAGE.", _LOSE),
    _step("plan", "Show what is different on Railway, with secrets masked; change nothing."),
    _step("apply", "Bring Railway to what STAGE should be; deploy nothing.", _YES),
    _step("release", "Deploy the services of STAGE where that is needed, and wait for readiness."),
    _step("smoke", "Try STAGE from outside; SIGNALBOX_SMOKE_TOKEN may hold an access token."),
)


@click.command()
@STAGE
@click.option("--proxy", help="socks5://host:port into the tailnet, where this machine is not in it.")
def migrate(name: str, proxy: str | None) -> None:
    """Apply the migrations of this checkout to STAGE, where its record says migrations="manual"."""
    import os

    from infra.deploy.account import Account
    from infra.deploy.migrate import environment
    from infra.deploy.migrate import migrate as run
    from infra.deploy.outputs import recall
    from infra.railway import sources
    from infra.stage.chosen import stage

    target, file = stage(name), sources.outputs_file(FOLDER, name)
    recall(Account(target.region), target, file)
    run(ROOT, environment(target, sources.outputs(file, name), os.environ, proxy))
    click.echo(f"The schema of stage {name} is as this checkout needs it.")


@click.command()
@STAGE
@WORKSPACE
@click.option("--name", "typed", help="The name once more; without it, the command asks.")
def destroy(name: str, workspace: str | None, typed: str | None) -> None:
    """Delete STAGE: its Railway project and its stacks. Not for production."""
    from infra.deploy.destroy import destroy as destroy_stage
    from infra.stage.chosen import stage

    target = stage(name)
    if typed is None and target.environment != "production" and not target.retain:  # those are refused, unasked
        typed = click.prompt("Type the name of the stage to destroy it")
    destroy_stage(ROOT, FOLDER, target, typed or "", workspace, click.echo)


@click.command()
@STAGE
@click.option(
    "--format",
    "form",
    type=click.Choice(("markdown", "json")),
    default="markdown",
    show_default=True,
    help="How to write the report.",
)
def verify(name: str, form: str) -> None:
    """Compare what lives in the account of STAGE with its templates; change nothing. Exits with 1 where they differ."""
    from infra.deploy.account import Account
    from infra.deploy.verify import verify as compare
    from infra.stage.chosen import stage

    target = stage(name)
    report = compare(Account(target.region), target)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("md", report.markdown()), ("json", report.json())):
        (folder / f"verify-{report.when:%Y-%m-%d}.{suffix}").write_text(text, encoding="utf-8")
    click.echo(report.json() if form == "json" else report.markdown(), nl=False)
    if report.deviations:
        raise SystemExit(1)


@click.command()
@STAGE
@click.option("--at", type=click.DateTime(("%Y-%m-%dT%H:%M:%SZ",)), help="A second in UTC; default: the latest.")
@click.option("--snapshot", help="A snapshot instead of a second.")
@click.option("--keep", is_flag=True, help="Leave the copy; without it, it is deleted when it was compared.")
def restore(name: str, at: datetime | None, snapshot: str | None, keep: bool) -> None:
    """Restore the database of STAGE into a copy, timed and compared. A drill: the original is not touched."""
    from infra.deploy.account import Account
    from infra.deploy.restore import restore as restore_database
    from infra.stage.chosen import stage

    if at and snapshot:
        raise click.UsageError("--at is a second and --snapshot a snapshot: give one of them")
    target, second = stage(name), at.replace(tzinfo=UTC) if at else None
    drill = restore_database(
        Account(target.region),
        target,
        at=second,
        snapshot=snapshot,
        keep=keep,
        tell=lambda text: click.echo(text, err=True),
    )
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"restore-{drill.when[:10]}.json").write_text(drill.json(), encoding="utf-8")
    click.echo(drill.json(), nl=False)
    if drill.differences:
        raise SystemExit(1)


@click.command()
@click.argument("stage_name", metavar="STAGE")
@click.option("--renew", is_flag=True, help="Make a new client certificate although the present one is good.")
@click.option(
    "--new-authority",
    "authority",
    flag_value="new",
    help="Begin with another authority beside the present one; then deploy.",
)
@click.option(
    "--drop-authority", "authority", flag_value="drop", help="After that deployment: no longer trust the old authority."
)
def certs(stage_name: str, renew: bool, authority: Literal["new", "drop"] | None) -> None:
    """Make or renew the certificate by which the service of STAGE proves itself to AWS."""
    from infra.deploy.certificates import issue
    from infra.stage.certificate import AUTHORITIES, FILES
    from infra.stage.chosen import stage

    issued = issue(stage(stage_name), ROOT / AUTHORITIES, FOLDER / "certs", renew=renew, authority=authority)
    state = "New" if issued.renewed else "Still good"
    click.echo(
        f"{state}: {issued.certificate}, until {issued.expires:%Y-%m-%d}.\n"
        f"Authority, for the template (commit it): {issued.authority}\n"
        f"signalbox deploy {stage_name} seals the pair on Railway; by hand, seal the content of these files:"
    )
    for variable, file in FILES.items():
        click.echo(f"  {variable}  {issued.certificate.with_name(file)}")


COMMANDS = (env, deploy, doctor, *STEP_COMMANDS, migrate, verify, restore, destroy, certs)
