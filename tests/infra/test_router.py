"""The program of the subnet router, run as a process among fake command lines that refuse what they do not know."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.aws import machine
from tests.infra.conftest import Synthesized
from tests.infra.test_alarms import Watch

PROGRAM = Path(machine.__file__).with_name("routing.py")
ROUTES = ["10.44.0.0/24", "10.44.1.0/24"]
_GROUP = "the-group"
# Each answers with a file of the folder, and notes what it was asked; a file that is not there is a refusal.
_FAKES = {
    "aws": 'echo "$*" >> calls; case "$1 $2" in '
    '"secretsmanager get-secret-value") exec cat secret;; '
    '"autoscaling describe-auto-scaling-instances") exec cat group;; '
    '"autoscaling complete-lifecycle-action") exec cat hook;; '
    '"cloudformation signal-resource") exec cat update;; '
    '"cloudwatch put-metric-data") echo "$6" >> metrics; [ "$(wc -l < metrics)" -lt 3 ] || rm -f sysctl; exit 0;; '
    "esac; exit 252",
    "tailscale": 'case "$1 $2" in "status --json") exec cat status;; '
    '"up --auth-key=file:"*) echo "$*" >> ups; stat -c %a "${2#--auth-key=file:}" >> modes; exit 0;; esac; exit 1',
    "sysctl": '[ "$*" = "-n net.ipv4.ip_forward" ] && exec cat sysctl; exit 1',
}


def status(**changed: Any) -> dict[str, Any]:
    """As ``tailscale status --json`` has it (ipn/ipnstate)."""
    found = {
        "BackendState": "Running",
        "Self": {"AllowedIPs": ["100.64.0.1/32", *ROUTES], "Tags": ["tag:router"], "Online": True},
        "Peer": {"nodekey:1": {"Tags": ["tag:api"], "Online": True}, "nodekey:2": {"Online": True}},
    }
    for path, value in changed.items():
        *where, last = path.split("__")
        at = found
        for step in where:
            at = at[step]  # type: ignore[assignment]
        at[last] = value
    return found


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    folder: Path
    code: int

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    @property
    def metrics(self) -> list[dict[str, float]]:
        """What was put, beat by beat."""
        found = []
        for line in self.lines("metrics"):
            data = json.loads(line)
            assert all(row["Dimensions"] == [{"Name": "AutoScalingGroupName", "Value": _GROUP}] for row in data)
            found.append({row["MetricName"]: row["Value"] for row in data})
        return found

    def told(self) -> list[tuple[str, str]]:
        """Who was told what of this machine."""
        words = [line.split() for line in self.lines("calls")]
        for call in words:
            if call[1] == "complete-lifecycle-action":
                assert call[2:8] == ["--lifecycle-hook-name", "routes", "--auto-scaling-group-name", _GROUP,
                                     "--instance-id", "i-1"]  # fmt: skip
            if call[1] == "signal-resource":
                assert call[2:8] == ["--stack-name", "arn:stack", "--logical-resource-id", "Group",
                                     "--unique-id", "i-1"]  # fmt: skip
        return [(call[1], call[9]) for call in words if call[1] in ("complete-lifecycle-action", "signal-resource")]


def ran(folder: Path, **files: Any) -> Ran:
    """Run the program until it ends. The third beat takes the forwarding away.

    Args:
        folder: An empty one.
        files: What the fakes answer, in place of what a good machine sees; None is a refusal.
    """
    tools = folder / "bin"
    tools.mkdir()
    for name, text in _FAKES.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    answers = {
        "secret": {"SecretString": "tskey-client-x?ephemeral=false", "CreatedDate": "2026-11-01T00:00:00+00:00"},
        "group": {"AutoScalingInstances": [{"AutoScalingGroupName": _GROUP}]},
        "hook": "",
        "update": "",
        "status": status(),
        "sysctl": "1\n",
        **files,
    }
    for name, answer in answers.items():
        if answer is not None:
            (folder / name).write_text(answer if isinstance(answer, str) else json.dumps(answer))
    given = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "RUNTIME_DIRECTORY": str(folder),
        "INSTANCE": "i-1",
        "REGION": "r",
        "SECRET": "arn:secret",
        "HOST": "router",
        "ROUTES": ",".join(ROUTES),
        "TAG": "tag:router",
        "PEER": "tag:api",
        "NAMESPACE": "x/router",
        "STACK": "arn:stack",
        "RESOURCE": "Group",
        "HOOK": "routes",
        "KEY_DAYS": "90",
        "WAIT": "0.1",
        "SILENT": "2",
        "PAUSE": "0.01",
    }
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM)],
        cwd=folder,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "tskey" not in done.stdout + done.stderr
    return Ran(folder, done.returncode)


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A machine that routes, and after three beats does no longer."""
    return ran(tmp_path_factory.mktemp("router"))


def test_a_router_counts_when_it_routes_and_ends_when_it_no_longer_does(routed: Ran) -> None:
    assert routed.told() == [("complete-lifecycle-action", "CONTINUE"), ("signal-resource", "SUCCESS")]
    assert [beat["Routes"] for beat in routed.metrics] == [1, 1, 1, 0]
    assert {beat["Tunnel"] for beat in routed.metrics} == {1}
    assert routed.code == 1  # and its unit turns the machine off


@pytest.mark.parametrize(
    "files",
    [
        {"status": None},
        {"status": "no JSON"},
        {"status": status(BackendState="NeedsLogin")},
        {"status": status(Self__Expired=True)},
        {"status": status(Self__AllowedIPs=["100.64.0.1/32"])},
        {"status": status(Self__AllowedIPs=["100.64.0.1/32", ROUTES[0]])},
        {"sysctl": "0\n"},
        {"sysctl": None},
        {"secret": None, "status": status(BackendState="NeedsLogin")},
    ],
    ids=["silent", "odd", "out", "expired", "unapproved", "half", "still", "unknown", "without-credential"],
)
def test_a_router_that_does_not_route_never_counts(files: Mapping[str, Any], tmp_path: Path) -> None:
    found = ran(tmp_path, **files)
    assert found.told() == [("complete-lifecycle-action", "ABANDON"), ("signal-resource", "FAILURE")]
    assert found.metrics == []
    assert found.code == 1
    assert not (tmp_path / "key").exists()
    if "secret" not in files:
        assert {*found.lines("modes")} == {"600"}
        assert all(f"--advertise-routes={','.join(ROUTES)}" in line for line in found.lines("ups"))
        assert all("tskey" not in line for line in found.lines("ups"))


def test_the_first_machine_for_which_no_one_waits_beats_all_the_same(tmp_path: Path) -> None:
    found = ran(tmp_path, hook=None, update=None)
    assert len(found.told()) == 6  # each of them, three times
    assert found.metrics[0]["Routes"] == 1


def _in(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("files", "days"),
    [
        ({}, None),
        ({"secret": {"SecretString": "tskey-auth-x", "CreatedDate": _in(-80)}}, 10),
        ({"secret": {"SecretString": "tskey-auth-x", "CreatedDate": _in(-10)}}, 80),
        ({"status": status(Self__KeyExpiry=_in(5))}, 5),
        (
            {
                "secret": {"SecretString": "tskey-auth-x", "CreatedDate": _in(-80)},
                "status": status(Self__KeyExpiry=_in(20)),
            },
            10,
        ),
    ],
    ids=["client", "old-key", "new-key", "node-key", "both"],
)
def test_a_machine_says_when_its_key_ends(files: Mapping[str, Any], days: float | None, tmp_path: Path) -> None:
    for beat in ran(tmp_path, **files).metrics:
        assert beat.get("KeyDays") == (None if days is None else pytest.approx(days, abs=0.1))


def test_it_runs_with_the_python_of_amazon_linux() -> None:
    ast.parse(PROGRAM.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    ("alarm", "files"),
    [
        ("RouterIdle", {"beats": 3}),
        ("TunnelDown", {"status": status(Peer={})}),
        ("TunnelDown", {"status": status(Peer={"k": {"Tags": ["tag:api"], "Online": False}})}),
        ("RouterKeyEnds", {"secret": {"SecretString": "tskey-auth-x", "CreatedDate": _in(-80)}}),
        ("RouterKeyEnds", {"status": status(Self__KeyExpiry=_in(5))}),
        (None, {}),
        (None, {"secret": {"SecretString": "tskey-auth-x", "CreatedDate": _in(-10)}}),
    ],
)
def test_what_the_machine_says_rings_its_alarm(
    alarm: str | None, files: dict[str, Any], tmp_path: Path, production: Synthesized
) -> None:
    after = files.pop("beats", 0)
    beats = ran(tmp_path, **files).metrics
    one = beats[after]  # forwarding goes with the third
    assert Watch(production).rung_by({name: [value] * 5 for name, value in one.items()}) == {alarm} - {None}


def test_a_machine_that_says_nothing_rings(production: Synthesized) -> None:
    assert Watch(production).rung_by({}) == {"RouterIdle", "TunnelDown"}


def test_the_machine_gets_the_program_whole_and_what_it_asks_for(production: Synthesized) -> None:
    (template,) = production.properties("AWS::EC2::LaunchTemplate")
    parts = template["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Join"][1]
    script = "".join(part if isinstance(part, str) else "token" for part in parts)
    assert machine.PROGRAM in script
    assert len(script.encode()) < 16_384 - 1024  # EC2's most, with what the tokens become
    asked = {
        node.slice.value
        for node in ast.walk(ast.parse(machine.PROGRAM))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and ast.unparse(node.value) in ("given", "self._given")
    }
    settings = script.partition("routing.env <<END\n")[2].partition("\nEND")[0]
    given = {line.partition("=")[0] for line in settings.splitlines()}
    assert asked - {"RUNTIME_DIRECTORY"} == given
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_in_every_start_the_group_waits_for_the_machine(production: Synthesized) -> None:
    (hook,) = production.properties("AWS::AutoScaling::LifecycleHook")
    assert (hook["DefaultResult"], hook["HeartbeatTimeout"]) == ("ABANDON", 2400)
    assert hook["LifecycleHookName"] == "routes"
    ((_, group),) = production.resources("AWS::AutoScaling::AutoScalingGroup")
    update = group["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert (update["WaitOnResourceSignals"], update["PauseTime"]) == (True, "PT40M")
    assert "CreationPolicy" not in group  # a first deployment comes before the credential
