"""The workflows: what GitHub would refuse, and what would let a pull request have more than it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.api.server import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


def judge(folder: Path) -> subprocess.CompletedProcess[str]:
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [str(zizmor), "--offline", "--persona", "auditor", "--no-progress", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_no_rule_has_anything_to_say_of_the_workflows() -> None:
    done = judge(ROOT / ".github")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("permissions: {}", "permissions: write-all"),
        (r"@[0-9a-f]{40}", "@v1"),
        ("persist-credentials: false", "persist-credentials: true"),
        (r"pull_request:\n", "pull_request_target:\n"),
    ],
)
def test_what_would_open_them_is_found(tmp_path: Path, was: str, becomes: str) -> None:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    text = (WORKFLOWS / "deploy.yml").read_text()
    opened = re.sub(was, becomes, text)
    assert opened != text
    (tmp_path / ".github" / "workflows" / "deploy.yml").write_text(opened)
    assert judge(tmp_path).returncode != 0


def test_they_fit_the_schema_of_github() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    for schema, files in (
        ("vendor.github-workflows", sorted(WORKFLOWS.glob("*.yml"))),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
    ):
        subprocess.run([str(checker), "--builtin-schema", schema, *map(str, files)], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["release", "advisories"])
def test_a_release_and_the_weekly_look_scan_the_image_that_they_built(name: str) -> None:
    jobs = YAML(typ="safe").load(WORKFLOWS / f"{name}.yml")["jobs"]
    (steps,) = (job["steps"] for job in jobs.values() if ".ci/image" in str(job["steps"]))
    (built,) = (one["run"] for one in steps if ".ci/image" in one.get("run", ""))
    assert "IMAGE_SCAN=strict" in built
    (scan,) = (one for one in steps if one.get("uses", "").startswith("anchore/scan-action@"))
    archive = scan["with"]["image"].removeprefix("oci-archive:")
    assert f'IMAGE_ARCHIVE="$PWD/{archive}"' in built
    assert scan["with"].get("fail-build", True) is True
    assert not scan.get("continue-on-error")
    published = [one for one in steps if "attest" in one.get("uses", "") or "gh release" in one.get("run", "")]
    assert all(steps.index(scan) < steps.index(one) for one in published)
    assert bool(published) == (name == "release")


def test_checks_run_what_ci_runs() -> None:
    assert "bash .ci/run" in (WORKFLOWS / "checks.yml").read_text()


def test_dependabot_looks_at_every_lock_of_npm() -> None:
    listed = re.search(r"directories: \[(.+)\]", (ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))
    locks = subprocess.run(
        ["git", "ls-files", "package-lock.json", "tests/*package-lock.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folders = {f"/{Path(name).parent.as_posix()}".removesuffix(".") for name in locks.stdout.split()}
    assert listed is not None
    assert set(listed[1].split(", ")) == folders
