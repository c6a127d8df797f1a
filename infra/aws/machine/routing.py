"""What the subnet router does after its set-up: it joins the tailnet, and says that it routes.

Deployed alone: Python 3.9 of Amazon Linux, the command lines of AWS and Tailscale, nothing else. It ends with 1 when
the machine does not route, or does no longer; its unit then turns the machine off, and the group starts another one.
Auto Scaling and CloudFormation hear of a machine only when it has joined, forwards, and its routes are approved.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

KEY = "tskey-auth-"  # a key of Tailscale ends; the secret of an OAuth client does not
_ATTEMPTS = 3  # AWS may be away for a moment
_AGE = 3600  # seconds for which what was read of the credential is good
_DAY = 86400.0


def run(*command: str) -> str | None:
    """What a command printed; None when it failed. Nothing of it is logged.

    Args:
        command: Program and arguments.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def note(text: str | None) -> None:
    """Say something to the journal of the machine.

    Args:
        text: What; nothing of a command's, and no credential.
    """
    sys.stderr.write(f"{text}\n")


def parsed(text: str | None) -> dict[str, Any]:
    """A JSON object; empty when it is none.

    Args:
        text: As ``run`` gave it.
    """
    try:
        found = json.loads(text or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def moment(text: object) -> float | None:
    """Seconds since 1970 of a date as AWS and Tailscale write it; None when it is none.

    Args:
        text: The date.
    """
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


class Router:
    """This machine.

    Args:
        given: Settings, as the unit has them.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._group = ""
        self._looked, self._ends = 0.0, None  # type: float, float | None

    def join(self) -> None:
        """Bring the machine into the tailnet, as often as it takes; the credential is in a file for that time only."""
        value = self._credential()
        if not value:
            note("the credential cannot be read")
            return
        file = Path(self._given["RUNTIME_DIRECTORY"], "key")
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                stream.write(value)
            joined = run(
                *("tailscale", "up", f"--auth-key=file:{file}", f"--hostname={self._given['HOST']}"),
                *(f"--advertise-routes={self._given['ROUTES']}", f"--advertise-tags={self._given['TAG']}"),
                *("--accept-dns=false", "--accept-routes=false", "--ssh=false", "--timeout=60s"),
            )
            if joined is None:
                note("tailscale up failed")
        finally:
            file.unlink()

    def hindrance(self) -> str | None:
        """Why this machine does not route, as far as it can see; None when it does."""
        status = self._status()
        itself = status.get("Self") or {}
        if status.get("BackendState") != "Running" or itself.get("Expired"):
            return "it is not in the tailnet"
        if (run("sysctl", "-n", "net.ipv4.ip_forward") or "").strip() != "1":
            return "it does not forward"
        # Advertised and approved; not PrimaryRoutes, which only one of two routers has while one replaces the other.
        if not {*self._given["ROUTES"].split(",")} <= {*(itself.get("AllowedIPs") or ())}:
            return "its routes are not approved"
        return None

    def tell(self, routes: bool) -> None:
        """Tell who waits for this machine: the group that starts it, and a stack that is being updated.

        Neither waits for the first machine of a stage, whose credential comes after the stack, and then both refuse.

        Args:
            routes: Whether it routes.
        """
        instance = self._given["INSTANCE"]
        hook = ("autoscaling", "complete-lifecycle-action", "--lifecycle-hook-name", self._given["HOOK"])
        stack = ("cloudformation", "signal-resource", "--stack-name", self._given["STACK"])
        waiting = {
            "group": (
                *(*hook, "--auto-scaling-group-name", self.group(), "--instance-id", instance),
                *("--lifecycle-action-result", "CONTINUE" if routes else "ABANDON"),
            ),
            "stack": (
                *(*stack, "--logical-resource-id", self._given["RESOURCE"], "--unique-id", instance),
                *("--status", "SUCCESS" if routes else "FAILURE"),
            ),
        }
        for attempt in range(_ATTEMPTS):
            waiting = {who: call for who, call in waiting.items() if self._aws(*call) is None}
            if not waiting:
                return
            if attempt < _ATTEMPTS - 1:
                time.sleep(float(self._given["PAUSE"]))
        note(f"does not wait, or cannot be told: {', '.join(waiting)}")

    def beat(self, routes: bool) -> None:
        """Put what the alarms read: whether it routes, whether the service's end is there, days to the key's end.

        Args:
            routes: Whether it routes.
        """
        status = self._status()
        values = {"Routes": float(routes), "Tunnel": float(self._tunnel(status))}
        days = self._days(status)
        if days is not None:
            values["KeyDays"] = days
        group = [{"Name": "AutoScalingGroupName", "Value": self.group()}]
        data = [{"MetricName": name, "Value": value, "Dimensions": group} for name, value in values.items()]
        self._aws("cloudwatch", "put-metric-data", "--namespace", self._given["NAMESPACE"], "--metric-data",
                  json.dumps(data))  # fmt: skip

    def group(self) -> str:
        """The name of the group that started this machine."""
        if not self._group:
            asked = self._aws("autoscaling", "describe-auto-scaling-instances", "--instance-ids",
                              self._given["INSTANCE"])  # fmt: skip
            found = parsed(asked).get("AutoScalingInstances") or [{}]
            self._group = str(found[0].get("AutoScalingGroupName") or "")
        return self._group

    def _aws(self, *call: str) -> str | None:
        return run("aws", *call, "--region", self._given["REGION"], "--output", "json")

    def _status(self) -> dict[str, Any]:
        return parsed(run("tailscale", "status", "--json"))

    def _tunnel(self, status: Mapping[str, Any]) -> bool:
        peers = (status.get("Peer") or {}).values()
        return any(self._given["PEER"] in (peer.get("Tags") or ()) and peer.get("Online") for peer in peers)

    def _credential(self) -> str:
        """The credential; notes when it ends. A key ends 90 days after it was made, and it was put there later."""
        found = parsed(self._aws("secretsmanager", "get-secret-value", "--secret-id", self._given["SECRET"]))
        value, since = str(found.get("SecretString") or ""), moment(found.get("CreatedDate"))
        self._looked = time.time()
        ends = value.startswith(KEY) and since is not None
        self._ends = since + float(self._given["KEY_DAYS"]) * _DAY if ends and since is not None else None
        return value.strip()

    def _days(self, status: Mapping[str, Any]) -> float | None:
        """Days until the first of the credential and the machine's own key ends; None when neither does."""
        if time.time() - self._looked > _AGE:
            self._credential()
        itself = moment((status.get("Self") or {}).get("KeyExpiry"))
        ends = [end for end in (self._ends, itself) if end is not None]
        return (min(ends) - time.time()) / _DAY if ends else None


def main(given: Mapping[str, str]) -> int:
    """Join, tell, and beat for as long as the machine routes.

    Args:
        given: Settings.

    Returns:
        1: the machine is of no use, or no longer.
    """
    router, pause = Router(given), float(given["PAUSE"])
    end = time.monotonic() + float(given["WAIT"])
    hindrance = router.hindrance()
    while hindrance:
        router.join()
        hindrance = router.hindrance()
        if hindrance is None or time.monotonic() > end:
            break
        time.sleep(pause)
    router.tell(hindrance is None)
    most = int(given["SILENT"])
    silent = most if hindrance else 0  # beats without routing
    while silent < most:
        router.beat(hindrance is None)
        time.sleep(pause)
        hindrance = router.hindrance()
        silent = silent + 1 if hindrance else 0
    note(hindrance)
    return 1


if __name__ == "__main__":
    sys.exit(main(os.environ))
