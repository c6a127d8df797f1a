"""What is missing before a deployment is begun: every check at once, each with what to do, none changes anything."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from infra.deploy import base_images, obstacles, ownership, stacks, tailnet_api
from infra.deploy.account import Account
from infra.deploy.finding import Finding as Finding
from infra.railway import sources
from infra.railway.api import Client
from infra.railway.operations import Railway
from infra.railway.project import region
from infra.railway.state import choose_workspace
from infra.shell.failure import Failure
from infra.shell.git import ask
from infra.shell.tools import installed_cdk
from infra.stage import tailscale as tunnel
from infra.stage.certificate import AUTHORITIES
from infra.stage.record import Stage
from infra.stage.variables import SEALED_PREFIX

_EXAMPLE: Final = re.compile(r"\bexample\.(?:com|org|net)\b|\.example\b")
_SOON: Final = 30  # days


@dataclass(frozen=True, slots=True)
class Git:
    """The checkout.

    Attributes:
        commit: HEAD; None where there is no git.
        clean: Whether everything is committed.
        pushed: Whether the branch that Railway builds has HEAD on GitHub, as far as the last fetch knows.
        untracked: How many files or folders git does not know and does not ignore.
    """

    commit: str | None
    clean: bool
    pushed: bool
    untracked: int = 0


def git(root: Path, branch: str = "main") -> Git:
    """Look at the checkout.

    Args:
        root: Its folder.
        branch: Which one Railway builds.
    """
    commit = ask(root, "rev-parse", "HEAD")
    # Of origin alone: what the template's repository has is not in the one that Railway builds from. And of the branch
    # that it builds: what is on another one only, the next push there takes away again.
    on_remote = ask(root, "for-each-ref", "--contains", "HEAD", f"refs/remotes/origin/{branch}") if commit else None
    status = (ask(root, "status", "--porcelain") or "").splitlines()
    untracked = sum(line.startswith("??") for line in status)
    return Git(commit, commit is not None and len(status) == untracked, bool(on_remote), untracked)


def stale(root: Path, runs: str | None) -> str | None:
    """Whether what runs is not from this checkout's past: then another person has deployed something newer.

    Args:
        root: The checkout.
        runs: The commit that was deployed last.
    """
    if runs is None or ask(root, "merge-base", "--is-ancestor", runs, "HEAD") is not None:
        return None
    if ask(root, "cat-file", "-e", f"{runs}^{{commit}}") is None:
        return f"what runs was built from {runs[:12]}, which this checkout does not have: git fetch, and look"
    return f"this checkout does not have {runs[:12]}, which runs, in its history: git pull, or you take it back"


def repository(root: Path, given: str | None) -> Finding:
    """Which repository Railway is to build.

    Args:
        root: The checkout.
        given: What the user said.
    """
    try:
        return Finding("ok", "repository", sources.repository(root, given))
    except Failure as failure:
        return Finding("missing", "repository", str(failure))


def checks(
    root: Path, stage: Stage, connect: Callable[[], Client], workspace: str | None, branch: str = "main"
) -> Iterator[Finding]:
    """Check everything that a deployment of a stage needs.

    Args:
        root: The checkout.
        stage: The stage.
        connect: Makes the Railway client.
        workspace: Id or name, where the token is for several.
        branch: Which one Railway builds.
    """
    yield _tools(root)
    yield _checkout(root, branch)
    yield _addresses(stage)
    yield proof(root, stage)
    yield _region(stage)
    yield _template(root)
    yield base_images.finding(root)
    yield from tailnet_api.policy_findings(stage, os.environ)
    yield from _aws(stage)
    yield from _railway(stage, connect, workspace)


def sealed(needed: Collection[str], given: Mapping[str, str]) -> Iterator[Finding]:
    """Which sealed values a stage needs, and which of them this command was given.

    Args:
        needed: Names of its sealed variables.
        given: Values by name.
    """
    missing = [name for name in needed if name not in given]
    for name in tunnel.SEALED:
        if name in needed and (problem := tunnel.credential_problem(given.get(name, ""))) and name in given:
            yield Finding("missing", name, f"{problem}: docs/DEPLOYMENT.md, Tailscale")
    if missing:
        text = f"{', '.join(missing)} not given: fine where Railway has them already, needed for the first deployment"
        yield Finding("note", "sealed values", f"{text} ({SEALED_PREFIX}<name>, or signalbox certs)")
    elif given:
        yield Finding("ok", "sealed values", ", ".join(sorted(needed)))


def _tools(root: Path) -> Finding:
    if lacking := [tool for tool in ("git", "uv") if shutil.which(tool) is None]:
        return Finding("missing", "tools", f"{', '.join(lacking)} not on PATH: install it (docs.astral.sh/uv)")
    pinned = json.loads((root / "package.json").read_text(encoding="utf-8"))["devDependencies"]["aws-cdk"]
    found = installed_cdk(root)
    if found == pinned:
        return Finding("ok", "tools", f"CDK {found}")
    return Finding("note", "tools", f"CDK {pinned} is not installed yet ({found or 'none'}): the first step does it")


def _checkout(root: Path, branch: str) -> Finding:
    found = git(root, branch)
    if found.commit is None:
        return Finding("missing", "git", "this is no git checkout: Railway builds what is on GitHub")
    if not found.clean:
        return Finding("missing", "git", "there are uncommitted changes, which Railway would not build: commit them")
    if found.untracked:
        text = f"{found.untracked} files that git does not know, which Railway would not build: commit or ignore them"
        return Finding("missing", "git", text)
    if not found.pushed:
        text = (
            f"commit {found.commit[:12]} is not on {branch} of GitHub, which Railway builds: git push origin {branch}"
        )
        return Finding("missing", "git", text)
    return Finding("ok", "git", f"commit {found.commit[:12]}, clean and pushed to {branch}")


def _addresses(stage: Stage) -> Finding:
    said = (stage.public_url, *stage.allowed_origins, stage.watch.email or "")
    said += tuple(value for value in stage.variables.values() if isinstance(value, str))
    said += tuple(address for one in stage.federation for address in (one.issuer, one.metadata_url) if address)
    if left := [text for text in said if _EXAMPLE.search(text)]:
        text = f"stage {stage.name} still has {', '.join(left)}: uv run signalbox init, or infra/product.py"
        return Finding("missing", "addresses", text)
    return Finding("ok", "addresses", ", ".join(filter(None, said[: 2 + len(stage.allowed_origins)])))


def _region(stage: Stage) -> Finding:
    try:
        return Finding("ok", "Railway region", f"{region(stage)}, for {stage.region}")
    except Failure as failure:
        return Finding("missing", "Railway region", str(failure))


def proof(root: Path, stage: Stage) -> Finding:
    """The certificate without which CloudFormation would refuse the stack, at the end of a long way.

    Args:
        root: The checkout.
        stage: Whose.
    """
    if stage.access != "roles-anywhere":
        return Finding("ok", "proof to AWS", "an IAM user")
    public = AUTHORITIES / f"{stage.name}.pem"
    if not (root / public).exists():
        return Finding(
            "missing", "proof to AWS", f"{public} is missing: uv run signalbox certs {stage.name}; commit it"
        )
    renew = f"uv run signalbox certs {stage.name}"
    return _ending("proof to AWS", f"the authority {public}", (root / public).read_bytes(), renew)


def certificate(pem: str | None, stage: Stage) -> Iterator[Finding]:
    """When the certificate that is about to be sealed ends.

    Args:
        pem: It; None where none is given.
        stage: Whose.
    """
    if pem is not None:
        yield _ending("certificate", "the service's own", pem.encode(), f"uv run signalbox certs {stage.name} --renew")


def _ending(name: str, what: str, pem: bytes, renew: str) -> Finding:
    try:
        ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except ValueError:
        return Finding("missing", name, f"{what} is no certificate: {renew}")
    left = (ends - datetime.now(UTC)).days
    if left < 0:
        return Finding("missing", name, f"{what} has ended on {ends:%Y-%m-%d}: {renew}")
    if left < _SOON:
        return Finding("note", name, f"{what} ends on {ends:%Y-%m-%d}, in {left} days: {renew}")
    return Finding("ok", name, f"{what}, until {ends:%Y-%m-%d}")


def _template(root: Path) -> Finding:
    try:
        edited = ownership.edited(root)
    except Failure as failure:
        return Finding("note", "template", str(failure))
    if not edited:
        return Finding("ok", "template", "none of its files was edited: a newer version merges without a conflict")
    text = f"edited here, and a newer version may conflict with it (docs/UPGRADING.md): {', '.join(edited)}"
    return Finding("note", "template", text)


def _aws(stage: Stage) -> Iterator[Finding]:
    try:
        who = stacks.identity(stage)
        yield Finding("ok", "AWS identity", f"{who.arn} in {stage.region}")
        stacks.bootstrapped(stage, who.account)
        yield Finding("ok", "AWS bootstrap", f"account {who.account}, {stage.region}")
        in_the_way = list(obstacles.obstacles(Account(stage.region), stage, who.account))
        yield from in_the_way or [Finding("ok", "AWS account", "quotas, names and offers: nothing is in the way")]
    except Failure as failure:
        yield Finding("missing", "AWS", str(failure))


def _railway(stage: Stage, connect: Callable[[], Client], workspace: str | None) -> Iterator[Finding]:
    try:
        with connect() as client:
            railway = Railway(client)
            if client.credential.project:
                project, _ = railway.token_project()
                yield Finding("note", "Railway token", f"of project {project}: it can set variables and deploy only")
                if stage.environment == "production":
                    yield Finding(
                        "missing", "Railway BAA", "the token of a project cannot see it: use RAILWAY_API_TOKEN"
                    )
                return
            found = railway.workspaces()
            chosen = choose_workspace(found, workspace)
            yield Finding("ok", "Railway token", f"workspace {found[chosen]}")
            yield _agreement(stage, railway.has_baa(chosen))
    except Failure as failure:
        yield Finding("missing", "Railway", str(failure))


def _agreement(stage: Stage, signed: bool) -> Finding:
    if signed:
        return Finding("ok", "Railway BAA", "the workspace has a business associate agreement")
    if stage.environment == "production":
        return Finding(
            "missing",
            "Railway BAA",
            "the workspace has no business associate agreement: no health data before it is signed (a committed spend "
            "of $1,000 a month on the Pro plan, one year; https://docs.railway.com/enterprise/compliance)",
        )
    return Finding("note", "Railway BAA", "none: this stage must not hold health data")
