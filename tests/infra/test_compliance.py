"""`signalbox compliance`: what an auditor reads, and when it says no."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.aws import checks
from infra.cli.main import main
from infra.docs.hipaa import checked as module
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import ByRule, ByTest
from infra.docs.hipaa.exports import ACCOUNT
from infra.product import STAGES
from infra.stage.verified import Deviation, Report


def run(*options: str) -> Any:
    return CliRunner().invoke(main, ["compliance", *options])


def production() -> str:
    return next(stage.name for stage in STAGES.values() if stage.environment == "production")


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
    (component,) = json.loads((tmp_path / "oscal-component.json").read_text())["component-definition"]["components"]
    (implementation,) = component["control-implementations"]
    for row, told in zip(CONTROLS, implementation["implemented-requirements"], strict=True):
        said = {one["name"]: one["value"] for one in told["props"]}
        assert said["implementation-status"] != "not-applicable", "what the customer has to do applies"
        assert (said["control-origination"] == "customer-provided") == (row.status == "customer")


def test_rows_are_filtered(rows: Any) -> None:
    done = run("--status", "planned", "--citation", "164.312")
    assert done.exit_code == 0
    assert "Immutable audit log of the application" in done.output
    assert "Unique user identification" not in done.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"evidence": (ByTest("tests/infra/test_hipaa.py::test_that_was_removed"),)}, "does not hold"),
        ({"citation": "164.312(z)"}, "is no paragraph"),
        ({"citation": "164.312(d)"}, "is 'Person or entity authentication', and the row says"),
        ({"evidence": (ByRule("HIPAA.Security-LambdaDLQ"),)}, "rule `HIPAA.Security-LambdaDLQ` does not hold"),
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


def test_a_gate_that_is_switched_off_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PROMISES", ())
    done = run()
    assert done.exit_code == 1
    assert "holds, but no gate of infra/aws/gates would object if it did not" in done.output


def test_the_rule_packs_switched_off_fail_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "install", lambda *_: None)
    module.made.cache_clear()
    done = run()
    module.made.cache_clear()
    assert done.exit_code == 1
    assert "rule `HIPAA.Security-RDSStorageEncrypted` does not hold" in done.output


def test_every_form_tells_commit_date_and_tests(rows: Any, tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.infra.test_hipaa" name="ran"/></testsuite></testsuites>'
    )
    rows(replace(CONTROLS[0], evidence=(ByTest("tests/infra/test_hipaa.py::ran"),)))
    for form in ("text", "markdown", "csv", "oscal-results"):
        told = run("--junit", str(report), "--format", form).output
        assert re.search(r"[0-9a-f]{40}", told), form
        assert str(datetime.now(UTC).year) in told, form
        assert form == "csv" or "1 of 1 tests of the report passed" in told, form
        assert form == "text" or "`tests/infra/test_hipaa.py::ran` (passed)" in told, form
    assert "5.3.1" in told or "IA-4" in run("--format", "markdown").output


DEVIATION = Deviation("signalbox-records", "public access of a bucket", "blocked", "open")


def look_at(folder: Path, stage: str, *deviations: Deviation) -> Path:
    """The file that `signalbox verify` writes."""
    report = folder / f"verify-{stage}.json"
    report.write_text(Report(stage, datetime(2026, 11, 26, 18, tzinfo=UTC), 140, deviations).json())
    return report


@pytest.mark.parametrize("deviations", [(), (DEVIATION,)], ids=["none", "one"])
def test_what_was_found_in_the_account_is_in_every_form(
    rows: Any, tmp_path: Path, deviations: tuple[Deviation, ...]
) -> None:
    report = look_at(tmp_path, production(), *deviations)
    assert run("--verified", str(report)).exit_code == len(deviations)
    rows(CONTROLS[0])  # of which the others are not needed for what follows
    for form in ("text", "markdown", "csv", "oscal-results"):
        done = run("--verified", str(report), "--format", form)
        assert f"140 comparisons, {len(deviations)} deviations" in done.output, form
        assert ("public access of a bucket of signalbox-records is open" in done.output) == bool(deviations), form
    from trestle.oscal.assessment_results import AssessmentResults

    made = tmp_path / "results.json"
    made.write_text(run("--verified", str(report), "--format", "oscal-results").stdout)
    assert AssessmentResults.oscal_read(made) is not None
    (result,) = json.loads(made.read_text())["assessment-results"]["results"]
    (found,) = (one for one in result["findings"] if one["title"] == ACCOUNT)
    assert found["target"]["status"]["state"] == ("not-satisfied" if deviations else "satisfied")


def test_a_report_about_another_stage_or_of_another_kind_is_no_evidence(tmp_path: Path) -> None:
    done = run("--verified", str(look_at(tmp_path, "elsewhere")))
    assert done.exit_code == 1
    assert f"is about stage elsewhere, and the table is about {production()}" in done.output
    good = look_at(tmp_path, production(), DEVIATION).read_text()
    spoiled = {
        "no time": good.replace("2026-11-26T18:00:00Z", "2026-11-26T18:00:00"),
        "no number": good.replace("140", "-1"),
        "another version": good.replace('"resource"', '"arn"'),
        "more than was compared": good.replace('"stage"', '"by": "hand", "stage"'),
        "part of it": good[:-20],
        "nothing": "{}",
    }
    for text in spoiled.values():
        assert text != good
        (tmp_path / "other.json").write_text(text)
        done = run("--verified", str(tmp_path / "other.json"))
        assert done.exit_code == 1, text
        assert f"signalbox verify {production()} --format json" in done.output


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("officer", "mallory"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    return folder


def check(folder: Path, readme: str, public: str) -> subprocess.CompletedProcess[str]:
    """What the archive's own README tells to type, with the public key where it says so."""
    (typed,) = re.findall(r"(?s)```sh\n(.*?)```", readme)
    told, key = "WHO ssh-ed25519 AAAA...", f"WHO {public.strip()}"
    assert told in typed
    script = f"set -euo pipefail\n{typed.replace(told, key)}"
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def unpacked(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as packed:
        packed.extractall(into, filter="data")
    return into / "evidence"


def links(folder: Path) -> list[str]:
    """Links of all pages that lead to nothing in the archive."""
    lost = []
    for page in folder.rglob("*.md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path = link.partition("#")[0]
            if path and not re.match(r"[a-z]+:", link) and not (page.parent / path).exists():
                lost.append(f"{page.relative_to(folder)}: {link}")
    return lost


def test_an_auditor_opens_the_archive_and_reads_it(tmp_path: Path, keys: Path) -> None:
    archive, public = tmp_path / "evidence-1.tar.gz", (keys / "officer.pub").read_text()
    done = run("--archive", str(archive), "--key", str(keys / "officer"))
    assert done.exit_code == 0, done.output
    folder = unpacked(archive, tmp_path / "looked-at")
    readme = (folder / "README.md").read_text()
    checked = check(tmp_path, readme, public)
    assert checked.returncode == 0, checked.stderr
    assert "README.md: OK" in checked.stdout
    assert links(folder) == []
    named = {item.node.split("::")[0] for row in CONTROLS for item in row.evidence if isinstance(item, ByTest)}
    pages = "".join((folder / f"docs/{name}.md").read_text() for name in ("THREAT_MODEL", "PENETRATION_TEST"))
    named |= set(re.findall(r"`(tests/[\w/.]+)", pages))
    assert {name for name in named if not (folder / name).exists()} == set()
    cited = set(re.findall(r"docs/[\w/-]+\.md", (folder / "readiness.md").read_text()))
    assert {name for name in cited if not (folder / name).exists()} == set()
    assert "164.312(a)(2)(iv)" in (folder / "readiness.md").read_text()
    results = json.loads((folder / "assessment-results.json").read_text())["assessment-results"]
    commit = results["metadata"]["version"]
    assert commit in readme
    listed = json.loads((folder / "sbom.image.json").read_text())
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.5")
    assert {"python-jose", "fastapi"} <= {part["name"] for part in listed["components"]}
    assert "aws-cdk-lib" not in {part["name"] for part in listed["components"]}
    whole = json.loads((folder / "sbom.repository.json").read_text())
    assert {"aws-cdk-lib", "aws-cdk"} <= {part["name"] for part in whole["components"]}
    trail = (folder / "templates" / "SignalboxWatch.template.json").read_text()
    assert "AWS::CloudTrail::Trail" in trail

    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    assert check(tmp_path, readme, public).returncode != 0, "an archive that was changed"
    run("--archive", str(archive), "--key", str(keys / "mallory"))
    assert check(tmp_path, readme, public).returncode != 0, "a digest that somebody else signed"


def test_the_archive_says_what_it_does_not_show(rows: Any, tmp_path: Path, keys: Path) -> None:
    rows(replace(CONTROLS[0], evidence=(ByTest("tests/infra/test_hipaa.py::ran"),)))
    report = tmp_path / "junit.xml"
    report.write_text('<testsuite><testcase classname="tests.infra.test_hipaa" name="other"/></testsuite>')
    looked = look_at(tmp_path, production())
    archive = tmp_path / "evidence.tar.gz"
    given = ("--archive", str(archive), "--key", str(keys / "officer"))
    for options, told, missing in (
        (
            (),
            ("looked up, and not run", "No account was looked at", "claims do not hold"),
            ("junit.xml", "account.json"),
        ),
        (("--junit", str(report), "--verified", str(looked)), ("1 of the tests that rows name did not run",), ()),
    ):
        run(*given, *options)
        folder = unpacked(archive, tmp_path / f"{len(options)}")
        gaps = (folder / "README.md").read_text().split("## What it does not show")[1].split("## ")[0]
        assert [one for one in told if one not in gaps] == []
        assert {name for name in ("junit.xml", "account.json") if not (folder / name).exists()} == set(missing)
        assert all(name in gaps for name in missing)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--archive", "evidence.tar.gz"), "--archive and --key go together"),
        (("--key", "pyproject.toml"), "--archive and --key go together"),
        (("--archive", "e.tar.gz", "--key", "pyproject.toml", "--status", "planned"), "takes the whole table"),
    ],
)
def test_an_archive_is_whole_and_signed_or_not_made(options: tuple[str, ...], told: str) -> None:
    done = run(*options)
    assert done.exit_code == 1
    assert told in done.output
