"""The stack outputs of a stage where this machine has no file of them, as in CI: CloudFormation remembers them."""

from __future__ import annotations

import json
from pathlib import Path

from infra.deploy.account import PARTS, Account, described
from infra.stage.outputs import stack_name
from infra.stage.record import Stage


def recall(account: Account, stage: Stage, path: Path) -> None:
    """Write the file that ``cdk deploy --outputs-file`` would have left, unless it is there.

    Args:
        account: Where the stacks are.
        stage: Whose.
        path: The file.

    Raises:
        AwsError: The account does not say.
    """
    if path.exists():
        return
    found = {}
    for name in (stack_name(stage.name, part) for part in PARTS):
        stack = described(account, name) or {}
        found[name] = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs") or ()}
    if any(found.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2), encoding="utf-8")
