"""What an auditor is handed: one archive with the table, its evidence and what it was looked at in; its digest, signed.

The archive of one commit and one time is the same byte for byte. The signature is SSH's (``ssh-keygen -Y``): every
operator has the tool, and GitHub shows whose key it was.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.docs.hipaa import cover, exports
from infra.docs.hipaa.evidence import ByTest
from infra.docs.sbom import sbom
from infra.shell.failure import Failure

_ASKED_FOR: Final = frozenset(
    {
        "docs/HIPAA_READINESS.md",
        "docs/HIPAA_AUDIT_EVENTS.md",
        "docs/THREAT_MODEL.md",
        "docs/PENETRATION_TEST.md",
        "docs/SUPPLY_CHAIN.md",
        "docs/INFRASTRUCTURE.md",
        "docs/reference/findings.md",
        "docs/reference/alarms.md",
        "docs/reference/supply.md",
    }
)
_PAGES: Final = frozenset({".md", ".svg", ".png", ".json", ".d2"})
_CITED: Final = re.compile(rb"\btests/[\w/]+(?:\.py\b|/)")  # in a page: a file, or a folder


def contents(checked: exports.Checked, root: Path, name: str) -> Mapping[str, bytes]:
    """Every file of the archive, by its name in it.

    Args:
        checked: The table, looked at whole.
        root: The checkout.
        name: Of the archive.

    Raises:
        Failure: A page is missing, or no bill of materials can be made.
    """
    files = {
        "README.md": cover.page(checked, name),
        "readiness.md": exports.as_markdown(checked),
        "readiness.csv": exports.as_csv(checked),
        "component-definition.json": exports.component_definition(checked),
        "assessment-results.json": exports.assessment_results(checked),
        "sbom.image.json": sbom(root, image=True, commit=checked.commit, at=checked.at),
        "sbom.repository.json": sbom(root, image=False, commit=checked.commit, at=checked.at),
    }
    found = {name: text.encode() for name, text in files.items()}
    # All pages and not those of the audit alone: they refer to one another.
    pages = {str(file.relative_to(root)) for file in (root / "docs").rglob("*") if file.suffix in _PAGES}
    found |= {name: _read(root, name) for name in (*pages, *_ASKED_FOR)}
    named = {name.decode() for page in _ASKED_FOR for name in _CITED.findall(found[page])}
    evidence = (item for row in checked.controls for item in row.evidence)
    named |= {item.node.partition("::")[0] for item in evidence if isinstance(item, ByTest)}
    tests = {str(file.relative_to(root)) for name in named if name.endswith("/") for file in (root / name).glob("*.py")}
    found |= {name: _read(root, name) for name in (*tests, *named) if not name.endswith("/")}
    found |= {f"templates/{name}": content for name, content in checked.assembly.items()}
    if checked.report is not None:
        found["junit.xml"] = checked.report
    if checked.account is not None:
        found["account.json"] = checked.account.json().encode()
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(found.items()))
    return {**found, "SHA256SUMS": sums.encode()}


def _read(root: Path, name: str) -> bytes:
    try:
        return (root / name).read_bytes()
    except FileNotFoundError:
        raise Failure(f"{name} is missing, and an auditor would ask for it: git checkout {name}") from None


def write(checked: exports.Checked, root: Path, archive: Path, key: Path) -> list[Path]:
    """Write the archive, its digest, and the digest's signature.

    Args:
        checked: The table, looked at whole.
        root: The checkout.
        archive: Where; ends with ``.tar.gz``.
        key: Private key of SSH that signs.

    Returns:
        The three files.

    Raises:
        Failure: A file cannot be made, or the key does not sign.
    """
    tool = shutil.which("ssh-keygen")
    if tool is None:
        raise Failure("ssh-keygen is not on the PATH, and it signs the digest: install OpenSSH 8.0 or newer")
    if not archive.name.endswith(".tar.gz"):
        raise Failure(f"{archive.name} is a gzipped tar file: let its name end with .tar.gz")
    packed = _pack(contents(checked, root, archive.name), int(checked.at.timestamp()))
    digest, signature = archive.with_name(archive.name + ".sha256"), archive.with_name(archive.name + ".sha256.sig")
    signature.unlink(missing_ok=True)
    archive.write_bytes(packed)
    digest.write_text(f"{hashlib.sha256(packed).hexdigest()}  {archive.name}\n", encoding="utf-8")
    command = [tool, "-Y", "sign", "-q", "-f", str(key), "-n", cover.NAMESPACE, str(digest)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0 or not signature.exists():
        raise Failure(
            f"{key} did not sign {digest.name} (ssh-keygen ended with {done.returncode}): name a private key of SSH, "
            "such as that of ssh-keygen -t ed25519 -f compliance_key"
        )
    return [archive, digest, signature]


def _pack(files: Mapping[str, bytes], at: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"evidence/{name}")
            entry.size, entry.mtime, entry.mode = len(content), at, 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=at)
