"""`signalbox compliance`: what an auditor reads, and when it says no."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.main import main
from infra.docs.hipaa import checked as module
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import ByTest


def run(*options: str) -> Any:
    return CliRunner().invoke(main, ["compliance", *options])


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another table than the product's."""

    def put(*changed: Any) -> None:
        monkeypatch.setattr(module, "CONTROLS", tuple(changed))

    return put


def test_every_form_holds_every_row_and_trestle_accepts_the_oscal(tmp_path: Path) -> None:
    from trestle.oscal.assessment_results import AssessmentResults
    from trestle.oscal.component import ComponentDefinition

    for form, model, key in (
        ("oscal-component", ComponentDefinition, "component-definition"),
        ("oscal-results", AssessmentResults, "assessment-results"),
    ):
        done = run("--format", form)
        assert done.exit_code == 0, done.output
        file = tmp_path / f"{form}.json"
        file.write_text(done.output)
        assert model.oscal_read(file) is not None
        assert set(json.loads(done.output)) == {key}
    listed = list(csv.reader(io.StringIO(run("--format", "csv").output)))
    assert len(listed) == len(CONTROLS) + 1


def test_rows_are_filtered(rows: Any) -> None:
    done = run("--status", "planned", "--citation", "164.312")
    assert done.exit_code == 0
    assert "A key per tenant" in done.output
    assert "Unique user identification" not in done.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"evidence": (ByTest("tests/infra/test_hipaa.py::test_that_was_removed"),)}, "does not hold"),
        ({"citation": "164.312(z)"}, "is no paragraph"),
    ],
)
def test_a_claim_that_does_not_hold_fails_the_command(rows: Any, change: dict[str, Any], told: str) -> None:
    rows(replace(CONTROLS[0], **change), *CONTROLS[1:])
    done = run()
    assert done.exit_code == 1
    assert told in done.output


def test_with_a_report_a_test_that_was_skipped_or_did_not_run_is_told(rows: Any, tmp_path: Path) -> None:
    ran, skipped, absent = (f"tests/infra/test_hipaa.py::{name}" for name in ("ran", "skipped", "absent"))
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.infra.test_hipaa" name="ran[a]"/>'
        '<testcase classname="tests.infra.test_hipaa" name="skipped"><skipped/></testcase></testsuite></testsuites>'
    )
    rows(replace(CONTROLS[0], evidence=tuple(map(ByTest, (ran, skipped, absent)))), *CONTROLS[1:])
    done = run("--junit", str(report), "--citation", "164.312(a)(2)(i)")
    assert done.exit_code == 1
    assert f"`{skipped}` did not pass" in done.output
    assert f"`{absent}` did not run" in done.output
    assert f"`{ran}` did not" not in done.output
