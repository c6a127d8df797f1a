"""``signalbox compliance``: the readiness table, checked against the templates that this checkout makes now."""

from __future__ import annotations

from pathlib import Path

import click

from infra.docs.hipaa import FORMS
from infra.shell.failure import Failure
from infra.shell.paths import ROOT


@click.command()
@click.option("--status", multiple=True, help="Only rows of this status, such as planned.")
@click.option("--citation", help="Only rows whose citation begins so, such as 164.312.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="text",
    show_default=True,
    help="How to write it.",
)
@click.option(
    "--junit", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Report of a run of pytest."
)
@click.option(
    "--verified",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Report of signalbox verify about the production stage, as JSON.",
)
@click.option(
    "--archive",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write everything an auditor needs into this .tar.gz, its digest and the digest's signature beside it.",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key of SSH that signs --archive.",
)
def compliance(
    status: tuple[str, ...],
    citation: str | None,
    form: str,
    junit: Path | None,
    verified: Path | None,
    archive: Path | None,
    key: Path | None,
) -> None:
    """Print what sees to each paragraph of the HIPAA Security Rule; exits with 1 when a claim does not hold.

    Evidence is looked at in the templates of the production stage as they are made now, in the reports of the rule
    packs, and in the tests: that they exist, or, with --junit (pytest --junitxml FILE), that they ran and passed.
    With --verified (signalbox verify STAGE --format json), what deviates in the account is a claim that does not hold.
    """
    if (archive is None) != (key is None):
        raise Failure("--archive and --key go together: an archive without a signature could be anyone's")
    if archive is not None and (status or citation):
        raise Failure("--archive takes the whole table: leave out --status and --citation")
    from infra.docs.hipaa.checked import check

    checked = check(ROOT, junit=junit, verified=verified, status=status, citation=citation or "")
    if archive is not None and key is not None:
        from infra.docs.hipaa import archive as archives

        click.echo("\n".join(map(str, archives.write(checked, ROOT, archive, key))))
    else:
        from infra.docs.hipaa import exports

        click.echo(exports.WRITTEN[form](checked), nl=False)
    if checked.problems:
        raise Failure(
            f"{sum(map(len, checked.problems.values()))} claims do not hold: mend what they name, or the claim"
        )
