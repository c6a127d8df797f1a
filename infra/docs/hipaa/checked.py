"""The readiness table against this checkout: templates are made anew, tests are looked up or read from a report."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from infra.docs.hipaa.checklist import unanswered
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import ByTest, problems, uncited
from infra.docs.hipaa.exports import ACCOUNT, Checked
from infra.product import STAGES
from infra.shell.failure import Failure
from infra.stage.verified import read as read_account
from service.product import TITLE


def check(root: Path, *, junit: Path | None, verified: Path | None, status: Collection[str], citation: str) -> Checked:
    """Look at all evidence, and keep the rows that were asked for.

    Args:
        root: The checkout.
        junit: A report of pytest; None only asks whether a test is there.
        verified: A report of ``signalbox verify`` about the production stage; None says that there is none.
        status: Of the rows to keep; none means all.
        citation: What the citation of the rows to keep begins with.

    Raises:
        Failure: No stage is a production stage, or a report cannot be read.
    """
    stage = next((stage for stage in STAGES.values() if stage.environment == "production"), None)
    if stage is None:
        raise Failure("no stage of infra/product.py has environment production: there is nothing to claim it for")
    # What was given first: a file that is none is told before templates are made.
    ran = None if junit is None else _outcomes(junit)
    account = None if verified is None else read_account(verified, stage.name)
    found: dict[str, list[str]] = {}
    assembly = made(stage.name)
    judged = problems(CONTROLS, root=root, assembly=assembly, stage=stage)
    for line in (*judged, *uncited(CONTROLS), *unanswered(CONTROLS)):
        found.setdefault(line.partition(":")[0], []).append(line)
    if ran is not None:
        _add_outcomes(found, ran)
    if account is not None and account.deviations:
        found[ACCOUNT] = [f"account of {stage.name}: {one}" for one in account.deviations]
    kept = [
        control
        for control in CONTROLS
        if (not status or control.status in status) and control.citation.startswith(citation)
    ]
    report = None if junit is None else junit.read_bytes()
    return Checked(kept, found, TITLE, _commit(root), datetime.now(UTC), ran, assembly, report, account)


@cache
def made(stage_name: str) -> Mapping[str, bytes]:
    """The templates of a stage and the report of its rule packs, by file name; synthesized once for a process."""
    from infra.aws.app import build_app

    with tempfile.TemporaryDirectory(prefix="signalbox-compliance-") as folder:
        build_app(stage_name, outdir=folder).synth()
        return read(Path(folder))


def read(folder: Path) -> Mapping[str, bytes]:
    """Of a cloud assembly, what evidence is looked for in."""
    named = (*sorted(folder.glob("*.template.json")), *folder.glob("validation-report.json"))
    return {file.name: file.read_bytes() for file in named}


def _outcomes(report: Path) -> Mapping[str, bool]:
    import xml.etree.ElementTree as ElementTree

    try:
        # A report that this person's own pytest wrote a moment ago.
        cases = ElementTree.parse(report).getroot().iter("testcase")  # noqa: S314
    except ElementTree.ParseError:
        raise Failure(f"{report} is no report of pytest: uv run pytest --junitxml {report}") from None
    passed: dict[str, bool] = {}
    for case in cases:
        node = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
        good = not any(case.find(bad) is not None for bad in ("failure", "error", "skipped"))
        passed[node] = passed.get(node, True) and good
    return passed


def _add_outcomes(found: dict[str, list[str]], passed: Mapping[str, bool]) -> None:
    for control in CONTROLS:
        for item in control.evidence:
            if isinstance(item, ByTest) and not passed.get(item.node):
                how = "did not run" if item.node not in passed else "did not pass"
                found.setdefault(control.name, []).append(f"{control.name}: {item} {how}")


def _commit(root: Path) -> str:
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
