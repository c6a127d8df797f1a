"""What a deployment would do: synthesized once, compared with what stands, and that same assembly is deployed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from infra.deploy.account import Account, StackFound
from infra.deploy.changes import Change, ChangeRefused, Templates, changes, refuse
from infra.deploy.retired import retired, too_early
from infra.deploy.specification import specification
from infra.shell.failure import Failure
from infra.shell.paths import ROOT
from infra.shell.tools import Commands, ensure_tools, search_path
from infra.stage.record import Stage


def synthesize(root: Path, stage: Stage, folder: Path, *options: str) -> Templates:
    """Make the templates of a stage, with every gate.

    Args:
        root: The checkout.
        stage: The stage.
        folder: Takes the assembly; what was there goes.
        options: More for the command line.

    Raises:
        Failure: A gate has something to say.
    """
    ensure_tools(root)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    more = ("--quiet", "--output", str(folder), *options)
    Commands().run(
        "cdk synth", command(root, stage, "synth", *more), root, environment(root), folder.parent / "cdk-synth.log"
    )
    return read(folder)


def read(assembly: Path) -> Templates:
    """The templates of an assembly, by part.

    Args:
        assembly: Its folder.
    """
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    stacks = [one["properties"] for one in manifest["artifacts"].values() if one["type"] == "aws:cloudformation:stack"]
    return {
        str(one["stackName"]).rpartition("-")[2]: json.loads((assembly / one["templateFile"]).read_text("utf-8"))
        for one in stacks
    }


def standing(account: Account, found: Iterable[StackFound]) -> Templates:
    """The templates of what stands.

    Args:
        account: Where.
        found: The stacks of a stage.
    """
    return {stack.part: template(account, stack) for stack in found if stack.state == "stands"}


def template(account: Account, stack: StackFound) -> dict[str, Any]:
    """The template that a stack has.

    Args:
        account: Where.
        stack: Which.
    """
    body = account.client("cloudformation").get_template(StackName=stack.id)["TemplateBody"]
    read: dict[str, Any] = json.loads(body) if isinstance(body, str) else dict(body)
    return read


def compared(before: Templates, after: Templates) -> list[Change]:
    """What would change.

    Args:
        before: What the account has.
        after: What it would have.
    """
    same = all(before[part] == after[part] for part in before)
    return [] if same else changes(before, after, specification(ROOT))


def judge(before: Templates, after: Templates, lose: Collection[str] = ()) -> None:
    """Let a deployment pass, or not.

    Args:
        before: What the account has.
        after: What it would have.
        lose: Names of what it may lose.

    Raises:
        ChangeRefused: It would lose something else, cannot succeed, or comes too early.
    """
    if early := list(too_early(before, after)):
        raise ChangeRefused("\n".join(["Too early; nothing was deployed:", *(f"  {line}" for line in early)]))
    found = compared(before, after)
    refuse([one for one in found if one.name not in retired(before, found)], lose)


def told(before: Templates, after: Templates) -> str:
    """What a deployment would do to what stands, in words.

    Args:
        before: What the account has.
        after: What it would have.
    """
    found = compared(before, after)
    lines = [f"  {change}" for change in sorted(found, key=lambda one: not (one.loses or one.outcome == "cannot"))]
    new = [part for part in after if part not in before]
    if new:
        lines += [f"  the stack {part} is made" for part in new]
    try:
        judge(before, after)
    except Failure as failure:
        lines += str(failure).splitlines()
    return "\n".join(["AWS, by resource:", *(lines or ["  nothing changes"])])


def command(root: Path, stage: Stage, step: str, *options: str) -> list[str]:
    """The pinned CDK's command line.

    Args:
        root: The checkout.
        stage: The stage.
        step: What it does.
        options: More.
    """
    return [str(root / "node_modules" / ".bin" / "cdk"), step, *options, "-c", f"stage={stage.name}", "--no-notices"]


def environment(root: Path) -> dict[str, str]:
    """Ours, with the AWS credentials, but without Railway's token: nothing in there has a use for it.

    Args:
        root: The checkout.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAILWAY_", "SIGNALBOX_"))}
    return kept | {"PATH": search_path(root), "CDK_DISABLE_CLI_TELEMETRY": "true", "NO_COLOR": "1", "CI": "true"}
