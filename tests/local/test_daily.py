"""What a person's machine refuses, a log that grows, code that changes, and a version made by one command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from itertools import islice
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from infra.cli.main import main
from infra.docs import openapi, versions
from infra.local import daily
from infra.local.reload import Watch
from infra.shell import machine
from infra.shell.failure import Failure
from tests.support.api.server import ROOT
from tests.upgrade.checkouts import Checkout


def told(folder: Path) -> str:
    """What `up` says of a folder, on one line."""
    command = [sys.executable, "-m", "infra.cli.main", "up"]
    environment = {**os.environ, "SIGNALBOX_STATE": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_a_full_disk_is_one_sentence_with_the_next_step() -> None:
    command = [sys.executable, "-m", "infra.cli.main", "completion", "zsh"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    (line,) = done.stderr.splitlines()
    assert "No space left on device. Free some space" in line


def test_a_folder_that_takes_no_file_is_one_sentence_with_the_next_step() -> None:
    line = told(Path("/sys/signalbox"))
    assert line.startswith("Error: /sys/signalbox: ")
    assert line.endswith("set SIGNALBOX_STATE to a folder that it may write to.")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (httpx.ConnectError("refused"), "no connection"),
        (httpx.ConnectTimeout("late"), "no answer in time"),
        (httpx.ReadTimeout("late"), "no answer in time"),
        (httpx.RemoteProtocolError("cut"), "the connection broke off"),
        (json.JSONDecodeError("no JSON", "<html>", 0), "something else answers there"),
    ],
)
def test_an_answer_that_does_not_come_is_told_without_the_name_of_a_class(failure: Exception, said: str) -> None:
    assert machine.silence(failure) == said


def test_a_log_is_followed_also_when_it_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("one\nskipped\nanother one\n")
    found = daily.lines(log, 1, follow=True, containing="one")
    assert next(found) == "another one\n"

    def begin_anew() -> None:
        log.write_text("one!\n")

    threading.Timer(0.3, begin_anew).start()
    assert list(islice(found, 1)) == ["one!\n"]


def test_a_changed_a_new_and_a_lost_file_are_noticed_once_each(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    file = tmp_path / "service" / "a.py"
    watch = Watch(tmp_path)
    for change in (lambda: file.write_text(""), lambda: os.utime(file, (1, 1)), file.unlink):
        change()
        assert watch.changed()
        assert not watch.changed()
    (tmp_path / "service" / "cache.pyc").write_text("")
    assert not watch.changed()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    assert "_SIGNALBOX_COMPLETE" in CliRunner().invoke(main, ["completion", shell]).output


def test_bash_completes_what_was_begun() -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    asked = (
        'eval "$(signalbox completion bash)"; COMP_WORDS=(signalbox sta); COMP_CWORD=1; '
        '_signalbox_completion signalbox; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", asked], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["stacks", "status"], done.stderr


def test_each_task_is_a_command_that_is_there_and_ci_runs_no_other_check() -> None:
    table = re.findall(r"(?m)^\| [^|]+ \| `(?:[A-Z]+=\w+ )?([^`]+)` \|$", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(table) > 12
    assert [task for task in table if not task.startswith("uv run ")] == ["bash .ci/run"]
    tools = {task.split()[2] for task in table if task.startswith("uv run ")}
    assert [tool for tool in tools if not Path(sys.executable).with_name(tool).exists()] == []
    in_ci = re.findall(r"(?m)^uv run ([a-z-]+)", (ROOT / ".ci/run").read_text())
    assert len(in_ci) > 6
    assert set(in_ci) <= tools


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "product")
    for name in ("pyproject.toml", "uv.lock", "CHANGELOG.md", openapi.RELEASED):
        made.write(name, (ROOT / name).read_text())
    made.run("git", "init", "-q", "--initial-branch=main")
    made.run("git", "config", "user.name", "A")
    made.run("git", "config", "user.email", "a@example.com")
    made.commit("What is there")
    return made


def test_a_version_is_number_changelog_document_commit_and_tag(checkout: Checkout) -> None:
    versions.make(checkout.root, "0.2.0")
    assert openapi.version(checkout.root) == "0.2.0"
    locked = tomllib.loads((checkout.root / "uv.lock").read_text())["package"]
    assert [one["version"] for one in locked if one["name"] == "signalbox"] == ["0.2.0"]
    assert (checkout.root / "CHANGELOG.md").read_text().startswith("# Changelog\n\n## Unreleased\n\n## 0.2.0\n\n- ")
    assert openapi.released(checkout.root)["info"]["version"] == "0.2.0"
    assert checkout.run("git", "status", "--porcelain") == ""
    assert checkout.run("git", "describe", "--exact-match").strip() == "v0.2.0"


def test_what_stands_against_a_version_is_told_and_nothing_is_changed(checkout: Checkout) -> None:
    for number, why in (("1", "three numbers"), ("0.1.0", "not above 0.1.0")):
        with pytest.raises(Failure, match=why):
            versions.make(checkout.root, number)
    checkout.append("CHANGELOG.md", "not committed")
    with pytest.raises(Failure, match="not committed"):
        versions.make(checkout.root, "0.2.0")
    checkout.write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n## 0.1.0\n")
    checkout.commit("Nothing new")
    with pytest.raises(Failure, match="says nothing"):
        versions.make(checkout.root, "0.2.0")
    checkout.write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- More.\n")
    checkout.edit(openapi.RELEASED, '"/api/v1/health/live"', '"/api/v1/gone"')
    checkout.commit("An API that is gone")
    with pytest.raises(Failure, match="GET /api/v1/gone is gone"):
        versions.make(checkout.root, "0.1.1")
    assert checkout.run("git", "status", "--porcelain") == ""
    assert checkout.run("git", "tag") == ""
