"""A stage does not move: where it stands is where its last deployment made it, whatever its record says since.

In another region or account a deployment would make a second one, empty, and an end would find nothing and leave what
stands to cost. Both sides are known: the outputs of the last deployment from this machine, what the service is told on
Railway, and, where nothing of the stage is in the record's region, its stacks in the other regions that a stage can be
in. Only reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from infra.deploy.account import Account, AwsError, StackFound, look_at
from infra.shell.failure import Failure
from infra.stage.outputs import OutputsError, read
from infra.stage.record import REGIONS, Stage

_KEY: Final = "DataKeyArn"
RECORDED: Final = "KMS_KEY_ID"  # made of that output: an ARN, in which account and region are


class MovedError(Failure):
    """The stage stands elsewhere; the text says where, and how to go on."""


def refuse_moved(
    stage: Stage, file: Path, found: Iterable[StackFound], elsewhere: Callable[[str], Account] = Account
) -> None:
    """Stop where a stage stands in another region or account than its record names.

    Args:
        stage: Its record.
        file: Outputs of the last deployment from this machine; may be missing.
        found: Its stacks in the record's region.
        elsewhere: Makes the clients for another region.

    Raises:
        MovedError: It stands elsewhere.
    """
    try:
        region, number = read(json.loads(file.read_text(encoding="utf-8")), stage.name)[_KEY].split(":")[3:5]
    except (OSError, ValueError, OutputsError):  # a first deployment, or another machine's
        pass
    else:
        _compare(stage, f"the outputs of the last deployment ({file})", region, number)
    if any(one.state != "absent" for one in found):
        return
    for region in REGIONS:
        if region != stage.region and _stands(elsewhere(region), stage):
            _compare(stage, "its stacks", region, stage.account or "")


def refuse_recorded(stage: Stage, key: str | None, here: Callable[[], str]) -> None:
    """Stop where the service on Railway is told of another account or region: from every machine, whatever it has.

    Args:
        stage: Its record.
        key: What Railway has in ``RECORDED``; None where the stage is not there yet.
        here: Number of the account that the credentials are for; asked where the record names none.

    Raises:
        MovedError: It stands elsewhere.
    """
    parts = (key or "").split(":")
    if len(parts) != 6:  # no ARN: nothing is known
        return
    source = f"the variable {RECORDED} on Railway"
    _compare(stage, source, *parts[3:5])
    if stage.account is None and (number := here()) != parts[4]:
        raise MovedError(
            f"Stage {stage.name} stands in account {parts[4]}, as {source} says; these credentials are for {number}. "
            f"A stage does not move: nothing was changed. Sign in to {parts[4]}, or give what is new a stage of another"
            " name"
        )


def _stands(account: Account, stage: Stage) -> bool:
    try:
        return look_at(account, stage, "data").state != "absent"
    except AwsError:  # a region that the account has not, or whom it does not tell
        return False


def _compare(stage: Stage, source: str, region: str, number: str) -> None:
    for what, stands, said in (("region", region, stage.region), ("account", number, stage.account)):
        if said and stands and said != stands:
            raise MovedError(
                f"Stage {stage.name} stands in {what} {stands}, as {source} say; its record says {said}. A stage does "
                f"not move: nothing was changed. Put {what} back to {stands} in infra/product.py, or give what is new "
                f"a stage of another name. To end what stands: {what} {stands}, then signalbox destroy {stage.name}"
            )
