"""The commands about Railway: ``env`` prints, ``doctor`` and ``plan`` look, the others change something."""

from __future__ import annotations

import os
from pathlib import Path

import click

from infra.config import STAGES
from infra.failure import Failure

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SIGNALBOX_STATE") or ROOT / ".signalbox").resolve()
_FORMS = click.Choice(("dotenv", "json", "sdk", "template", "patch"))
_PRINTED = click.Choice((*STAGES, "trial"))
_REPOSITORY = click.option("--repository", help="owner/name on GitHub; default: the remote origin.")
_BRANCH = click.option("--branch", default="main", show_default=True, help="Branch that Railway builds.")
_SET = click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A value that is asked for.")


@click.command()
@click.option(
    "--stage", "name", type=_PRINTED, default="local", show_default=True, help="trial: the one-click template."
)
@click.option("--format", "form", type=_FORMS, default="dotenv", show_default=True, help="Which rendering.")
@click.option("--outputs", type=click.Path(path_type=Path), help="The outputs file; default: where stacks left it.")
@click.option("--write", is_flag=True, help="With sdk: write .railway/environments/<stage>.json instead of printing.")
@_SET
@_REPOSITORY
@_BRANCH
def env(
    name: str,
    form: str,
    outputs: Path | None,
    write: bool,
    settings: tuple[str, ...],
    repository: str | None,
    branch: str,
) -> None:
    """Print the environment of a stage, made from its stack outputs. Sealed values are never printed."""
    from infra.config import stage
    from infra.railway import sources, trial
    from infra.railway.renderings import printable

    if name == "trial":
        project = trial.trial_project(ROOT, sources.repository(ROOT, repository))
        text = trial.serialized(project) if form == "template" else printable(project, form)
    elif name == "local":
        text = printable(sources.local_project(ROOT, FOLDER), form)
    else:
        found = sources.outputs(outputs or sources.outputs_file(FOLDER, name), name)
        given = sources.given_values(settings, {})  # no sealed value: none could be printed
        repo = sources.repository(ROOT, repository) if form == "sdk" else repository or "owner/name"
        text = printable(sources.stage_project(ROOT, stage(name), found, given, repo, branch), form)
    if not write:
        click.echo(text, nl=False)
    elif form == "sdk":
        path = ROOT / ".railway" / "environments" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {path.relative_to(ROOT)}")
    else:
        raise Failure("--write goes with --format sdk; redirect the others to where you want them")
