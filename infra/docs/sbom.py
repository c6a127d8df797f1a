"""Bills of materials (CycloneDX 1.5), out of the lock files: of the image, and of the whole repository."""

from __future__ import annotations

import json
import subprocess
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infra.shell.failure import Failure


def sbom(root: Path, *, image: bool, commit: str, at: datetime, debian: Path | None = None) -> str:
    """Every package that is locked, with version, address and hash.

    Two of one commit and one time are equal: uv's own number and clock are replaced.

    Args:
        root: The checkout.
        image: Of what the image installs; otherwise of all groups, and of what npm locks besides.
        commit: What it is of.
        at: When it was made.
        debian: List of the packages that the image's base brings, as dpkg keeps it (``/var/lib/dpkg/status``).

    Raises:
        Failure: uv does not make one, or the list is none of dpkg.
    """
    chosen = ["--no-default-groups", "--group", "image"] if image else ["--all-groups"]
    command = ["uv", "export", "--format", "cyclonedx1.5", "--locked", "--offline", "--quiet", *chosen]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Failure("uv is not on the PATH, and it knows what is locked: install uv 0.9 or newer") from None
    if done.returncode != 0:
        raise Failure(f"uv export failed with {done.returncode}: uv.lock has to fit pyproject.toml (uv lock --check)")
    made: dict[str, Any] = json.loads(done.stdout)
    if not image:
        made["components"] += _of_npm(root)
    if debian is not None:
        made["components"] += _of_debian(debian)
    made["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{commit}/{image}')}"
    made["metadata"]["timestamp"] = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    made["metadata"].setdefault("properties", []).append({"name": "signalbox:commit", "value": commit})
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _of_npm(root: Path) -> list[dict[str, Any]]:
    found = []
    for lock in (root / "package-lock.json",):
        for path, package in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
            name, version = path.rpartition("node_modules/")[2], package.get("version")
            if name and version:
                purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
                ref = {"bom-ref": f"npm-{name}@{version}", "purl": purl}
                found.append({"type": "library", "name": name, "version": version, **ref})
    return found


def _of_debian(status: Path) -> list[dict[str, Any]]:
    found = []
    for stanza in status.read_text(encoding="utf-8").split("\n\n"):
        about = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if about.get("Status", "").endswith(" installed"):
            name, version = about["Package"], about["Version"]
            purl = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={about['Architecture']}"
            found.append(
                {"type": "library", "name": name, "version": version, "bom-ref": f"debian-{name}", "purl": purl}
            )
    if not found:
        raise Failure(f"{status} has no package: it is the file var/lib/dpkg/status of the image")
    return found
