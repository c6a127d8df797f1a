"""The AWS side of a deployment: who we are there, whether it is prepared, and the CDK command line on it.

Protection from termination comes when a stack stands: CloudFormation leaves a creation that failed as a stack which has
to be deleted before its name is free again. A stack that stood is never deleted here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from infra.deploy import planned
from infra.deploy.account import (
    Account,
    AwsError,
    StackFound,
    described,
    events,
    listed,
    made_by,
    survey,
    unanswered,
)
from infra.deploy.changes import Templates
from infra.deploy.moved import refuse_moved
from infra.deploy.removers import empty, remove
from infra.shell.failure import Failure
from infra.shell.tools import Commands, ensure_tools
from infra.stage.record import Stage

_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION: Final = 6  # the least that modern synthesis works with
_ROUNDS: Final = 3  # a bucket that logs are delivered to may be filled again while it is deleted
_MOST_REASON: Final = 300  # characters
_UNUSABLE: Final = {
    "busy": "wait until it is done, and run this again",
    "stuck": "it stood, so it is not removed. Look at its events in the AWS console: after a failed update continue "
    "the rollback (aws cloudformation continue-update-rollback), after a failed deletion finish that",
}


def _told(text: str) -> None:
    click.echo(f"    {text}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the credentials are.

    Attributes:
        account: Account number.
        arn: User or role.
    """

    account: str
    arn: str


def identity(stage: Stage) -> Identity:
    """Ask AWS who we are.

    Args:
        stage: Its region, and the account that it has to be.

    Raises:
        AwsError: No credentials that work, or those of another account.
    """
    import boto3  # half a second of imports
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = boto3.client("sts", region_name=stage.region).get_caller_identity()
    except (BotoCoreError, ClientError) as failure:
        raise AwsError(unanswered(failure)) from None
    if stage.account and found["Account"] != stage.account:
        raise AwsError(f"These credentials are for account {found['Account']}; stage {stage.name} is {stage.account}")
    return Identity(found["Account"], found["Arn"])


def bootstrapped(stage: Stage, account: str) -> None:
    """Whether the CDK can deploy there.

    Args:
        stage: Its region.
        account: The account.

    Raises:
        AwsError: It has to be prepared first; the text has the command.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    how = f"prepare it once with: npx cdk bootstrap aws://{account}/{stage.region}"
    try:
        answer = boto3.client("ssm", region_name=stage.region).get_parameter(Name=_BOOTSTRAP)
        version = int(answer["Parameter"]["Value"])
    except BotoCoreError as failure:
        raise AwsError(unanswered(failure)) from None
    except (ClientError, ValueError) as failure:
        raise AwsError(f"{stage.region} is not bootstrapped for the CDK ({type(failure).__name__}): {how}") from None
    if version < _BOOTSTRAP_VERSION:
        raise AwsError(f"The CDK's bootstrap stack is version {version}, too old: {how}")


def deploy(
    root: Path,
    stage: Stage,
    outputs_file: Path,
    *,
    account: Account | None = None,
    lose: Collection[str] = (),
    cdk: Callable[..., None] | None = None,
    synth: Callable[..., Templates] = planned.synthesize,
    told: Callable[[str], None] = _told,
) -> None:
    """Deploy every stack of a stage with the pinned CDK. What a creation that failed has left is removed first.

    Args:
        root: The checkout.
        stage: The stage.
        outputs_file: Takes the outputs.
        account: Where; None takes the credentials' in the stage's region.
        lose: Names of what is stateful and may be lost, as ``data/Documents1234``.
        cdk: Runs the command line; None runs the pinned one.
        synth: As ``planned.synthesize``.
        told: Takes lines for the operator.

    Raises:
        Failure: A stack failed; CloudFormation rolled it back, and running this again goes on. Or nothing was deployed,
            because something stateful would be lost.
    """
    account, cdk = account or Account(stage.region), cdk or _cdk
    found = survey(account, stage)
    refuse_moved(stage, outputs_file, found, account.elsewhere)
    for stack in found:
        if stack.state in ("busy", "stuck"):
            raise AwsError(f"{stack.name} is {stack.status}: {_UNUSABLE[stack.state]}")
    # CloudFormation could not remove a protected stack whose creation fails.
    new = [stack.part for stack in found if stack.state != "stands"]
    assembly = outputs_file.parent / "cdk.out"
    templates = synth(root, stage, assembly, *(("-c", f"unprotected={','.join(new)}") if new else ()))
    planned.judge(planned.standing(account, found), templates, lose)
    for stack in reversed(found):  # one that was made later may use one that was made before
        if stack.state == "failed":
            told(f"{stack.name} failed its creation ({stack.status}): it never stood; it is removed and made again")
            _delete(account, stack, forget=True)
    outputs_file.parent.mkdir(parents=True, exist_ok=True)
    beside = outputs_file.with_suffix(".new")
    options = ["--app", str(assembly), "--require-approval", "never", "--progress", "events", "--force"]
    # Forced: what a stack reads of another is looked up when it is deployed. Where the deployment before broke off
    # between the two, its template is as it was and what it read is not.
    options += ["--outputs-file", str(beside)]
    try:
        cdk(root, stage, "deploy", "--all", *options, log=outputs_file.parent / "cdk-deploy.log")
    except Failure as failure:
        raise type(failure)(f"{failure}{_reasons(account, stage)}") from None
    finally:  # what stands now is protected, whatever became of the others
        _protect(account, stage)
    beside.replace(outputs_file)  # a deployment that broke off leaves the outputs of the last good one


def destroy(root: Path, stage: Stage, folder: Path, *, account: Account | None = None) -> None:
    """Delete every stack of a stage, the last one first, with what they hold. Can be repeated after a failure.

    Args:
        root: The checkout.
        stage: The stage.
        folder: Where state lives.
        account: Where; None takes the credentials' in the stage's region.

    Raises:
        Failure: A stack is protected, or failed.
    """
    account = account or Account(stage.region)
    found = [stack for stack in survey(account, stage) if stack.state != "absent"]
    refuse_moved(stage, folder / "cdk-outputs.json", found, account.elsewhere)
    if protected := [stack.name for stack in found if stack.protected]:  # before anything is emptied
        raise AwsError(
            f"{', '.join(protected)} protected from termination in the account; nothing was deleted. "
            f"Deploy stage {stage.name} once as it is configured now: that takes the protection off"
        )
    if busy := [stack.name for stack in found if stack.state == "busy"]:
        raise AwsError(f"{', '.join(busy)} busy; nothing was deleted. {_UNUSABLE['busy'].capitalize()}")
    for stack in reversed(found):
        _delete(account, stack, forget=False)


def _delete(account: Account, stack: StackFound, *, forget: bool) -> None:
    """Delete a stack.

    Args:
        account: Where.
        stack: Which.
        forget: Whether what CloudFormation would keep goes as well: for a stack that never stood.
    """
    cloudformation = account.client("cloudformation")
    if stack.protected:
        cloudformation.update_termination_protection(StackName=stack.id, EnableTerminationProtection=False)
    for _ in range(_ROUNDS):
        # Events end after 90 days, so what stood is asked for what it lists. Only a creation, or an update, that failed
        # may list what another made.
        own = made_by if stack.state == "failed" or stack.status.endswith("ROLLBACK_FAILED") else listed
        for resource in own(account, stack.id):
            empty(account, resource)
            if forget:
                remove(account, resource)
        cloudformation.delete_stack(StackName=stack.id)
        account.wait(lambda: not _status(account, stack).endswith("_IN_PROGRESS"), f"{stack.name} is deleted")
        if _status(account, stack) == "DELETE_COMPLETE":
            return
    raise AwsError(
        f"{stack.name} cannot be deleted ({_status(account, stack)}){_reason(account, stack)}: "
        "remove what is in the way by hand, and run this again"
    )


def _status(account: Account, stack: StackFound) -> str:
    found = described(account, stack.id)
    return "DELETE_COMPLETE" if found is None else str(found["StackStatus"])


def _protect(account: Account, stage: Stage) -> None:
    if stage.retain:
        for stack in survey(account, stage):
            if stack.state == "stands" and not stack.protected:
                account.client("cloudformation").update_termination_protection(
                    StackName=stack.id, EnableTerminationProtection=True
                )


def _reasons(account: Account, stage: Stage) -> str:
    """What CloudFormation says of the stacks that failed their creation."""
    told = []
    with suppress(AwsError):  # the failure itself is told in any case
        told = [f"\n{one.name}{_reason(account, one)}" for one in survey(account, stage) if one.state == "failed"]
    return "".join([*told, "\nThe next run removes what is left of it, and makes it again"] if told else [])


def _reason(account: Account, stack: StackFound) -> str:
    """What failed first; the rest was cancelled for it."""
    failed = [
        f": {event['LogicalResourceId']}: {str(event.get('ResourceStatusReason') or 'no reason given')[:_MOST_REASON]}"
        for event in events(account, stack.id)
        if event["ResourceStatus"].endswith("_FAILED") and event.get("PhysicalResourceId") != stack.id
    ]
    return failed[-1] if failed else ""


def difference(root: Path, stage: Stage, folder: Path) -> str:
    """What a deployment would change, as ``cdk diff`` says it, and what becomes of each resource.

    Args:
        root: The checkout.
        stage: The stage.
        folder: Where state lives.

    Raises:
        Failure: The stacks cannot be made or compared.
    """
    account, assembly = Account(stage.region), folder / stage.name / "cdk.out"
    templates = planned.synthesize(root, stage, assembly)
    command = planned.command(root, stage, "diff", "--all", "--app", str(assembly))
    environment = planned.environment(root)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AwsError(f"cdk diff failed:\n{done.stderr[-2000:]}")
    before = planned.standing(account, survey(account, stage))
    return f"{(done.stdout + done.stderr).strip()}\n{planned.told(before, templates)}"


def _cdk(root: Path, stage: Stage, step: str, *options: str, log: Path) -> None:
    ensure_tools(root)
    Commands().run(f"cdk {step}", planned.command(root, stage, step, *options), root, planned.environment(root), log)
