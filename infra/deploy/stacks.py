"""The AWS side of a deployment: who we are there, whether it is prepared, and the CDK command line on it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.shell.failure import Failure
from infra.shell.tools import Commands, ensure_tools, search_path
from infra.stage.record import Stage

_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION: Final = 6  # the least that modern synthesis works with


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the credentials are.

    Attributes:
        account: Account number.
        arn: User or role.
    """

    account: str
    arn: str


class AwsError(Failure):
    """AWS could not be asked, or is not prepared."""


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
        raise AwsError(
            f"AWS does not know who you are ({type(failure).__name__}): sign in (aws sso login) or set AWS_PROFILE"
        ) from None
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
    except (BotoCoreError, ClientError, ValueError) as failure:
        raise AwsError(f"{stage.region} is not bootstrapped for the CDK ({type(failure).__name__}): {how}") from None
    if version < _BOOTSTRAP_VERSION:
        raise AwsError(f"The CDK's bootstrap stack is version {version}, too old: {how}")


def deploy(root: Path, stage: Stage, outputs_file: Path) -> None:
    """Deploy every stack of a stage with the pinned CDK.

    Args:
        root: The checkout.
        stage: The stage.
        outputs_file: Takes the outputs.

    Raises:
        Failure: A stack failed; CloudFormation rolled it back, and running this again goes on.
    """
    outputs_file.parent.mkdir(parents=True, exist_ok=True)
    beside = outputs_file.with_suffix(".new")
    options = ["--require-approval", "never", "--progress", "events", "--outputs-file", str(beside)]
    _cdk(root, stage, "deploy", "--all", *options, log=outputs_file.parent / "cdk-deploy.log")
    beside.replace(outputs_file)  # a deployment that broke off leaves the outputs of the last good one


def destroy(root: Path, stage: Stage, folder: Path) -> None:
    """Delete every stack of a stage.

    Args:
        root: The checkout.
        stage: The stage.
        folder: Takes the log.

    Raises:
        Failure: A stack is protected, or failed.
    """
    _cdk(root, stage, "destroy", "--all", "--force", log=folder / "cdk-destroy.log")


def difference(root: Path, stage: Stage) -> str:
    """What a deployment would change, as ``cdk diff`` says it.

    Args:
        root: The checkout.
        stage: The stage.

    Raises:
        Failure: The stacks cannot be made or compared.
    """
    ensure_tools(root)
    command = _command(root, stage, "diff", "--all")
    done = subprocess.run(command, cwd=root, env=_environment(root), capture_output=True, text=True, check=False)
    if done.returncode:
        raise AwsError(f"cdk diff failed:\n{done.stderr[-2000:]}")
    return (done.stdout + done.stderr).strip()


def _cdk(root: Path, stage: Stage, step: str, *options: str, log: Path) -> None:
    ensure_tools(root)
    Commands().run(f"cdk {step}", _command(root, stage, step, *options), root, _environment(root), log)


def _command(root: Path, stage: Stage, step: str, *options: str) -> list[str]:
    return [str(root / "node_modules" / ".bin" / "cdk"), step, *options, "-c", f"stage={stage.name}", "--no-notices"]


def _environment(root: Path) -> dict[str, str]:
    """Ours, with the AWS credentials, but without Railway's token: nothing in there has a use for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAILWAY_", "SIGNALBOX_"))}
    return kept | {"PATH": search_path(root), "CDK_DISABLE_CLI_TELEMETRY": "true", "NO_COLOR": "1", "CI": "true"}
