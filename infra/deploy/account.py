"""The AWS account of a stage: its clients, its patience, and the states that its stacks are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

from infra.shell import machine
from infra.shell.failure import Failure
from infra.stage.outputs import Part, stack_name
from infra.stage.record import Stage

PARTS: Final[tuple[Part, ...]] = get_args(Part)  # in the order in which they are made

State = Literal["absent", "stands", "failed", "busy", "stuck"]

# Only a creation leads to these; whatever was in such a stack never served anyone.
_NEVER_STOOD: Final = ("REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
# A stack event that says so of the stack itself is the proof that it stood once.
_STOOD: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
_MOST_EVENTS: Final = 20_000  # of one stack; a creation makes hundreds


class AwsError(Failure):
    """AWS could not be asked, or is not prepared."""


class Account:
    """Clients for one account and region, each made once.

    Args:
        region: AWS region.
    """

    def __init__(self, region: str) -> None:
        self.region = region
        self.client: Callable[[str], Any] = cache(self._client)

    def _client(self, name: str) -> Any:
        import boto3  # half a second of imports

        return boto3.client(name, region_name=self.region)  # type: ignore[call-overload]

    def elsewhere(self, region: str) -> Account:
        """The same account in another region.

        Args:
            region: Which.
        """
        return Account(region)

    def wait(self, done: Callable[[], bool], what: str, *, minutes: float = 60, pause: float = 10) -> None:
        """Ask until something is so.

        Args:
            done: Asks.
            what: For the error.
            minutes: How long, at the most.
            pause: Seconds between two questions.

        Raises:
            AwsError: It did not come to be.
        """
        end = time.monotonic() + minutes * 60
        while not done():
            if time.monotonic() > end:
                raise AwsError(
                    f"{what}: not in {minutes:.0f} minutes; look at it in the AWS console and run this again"
                )
            time.sleep(pause)


def code(failure: Exception) -> str:
    """AWS's code for what went wrong; empty for what never reached AWS.

    Args:
        failure: What boto3 raised.
    """
    response = getattr(failure, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def unanswered(failure: Exception) -> str:
    """Why AWS gave no answer, and what a person does: without a network, or without credentials.

    Args:
        failure: What boto3 raised.
    """
    told = f"AWS does not know who you are ({code(failure) or type(failure).__name__})"
    return machine.unreached(failure) or f"{told}: sign in (aws sso login) or set AWS_PROFILE"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that a stack made.

    Attributes:
        type: CloudFormation's.
        logical: Its id in the template.
        physical: Its id in the account.
    """

    type: str
    logical: str
    physical: str


@dataclass(frozen=True, slots=True)
class StackFound:
    """A stack of a stage, as the account has it.

    Attributes:
        part: Which one.
        name: Its name.
        state: ``failed`` is a creation that failed, and nothing else: such a stack never stood.
        status: CloudFormation's word; empty where there is none.
        id: Its ARN; empty where there is none.
        protected: Whether it is protected from termination.
    """

    part: Part
    name: str
    state: State
    status: str = ""
    id: str = ""
    protected: bool = False


def survey(account: Account, stage: Stage) -> list[StackFound]:
    """The stacks of a stage, in the order in which they are made.

    Args:
        account: Where.
        stage: Whose.

    Raises:
        AwsError: The account does not say.
    """
    return [look_at(account, stage, part) for part in PARTS]


def look_at(account: Account, stage: Stage, part: Part) -> StackFound:
    """One stack of a stage.

    Args:
        account: Where.
        stage: Whose.
        part: Which.

    Raises:
        AwsError: The account does not say.
    """
    name = stack_name(stage.name, part)
    found = described(account, name)
    if found is None or found["StackStatus"] == "DELETE_COMPLETE":
        return StackFound(part, name, "absent")
    status, arn = str(found["StackStatus"]), str(found["StackId"])
    return StackFound(
        part, name, _state(account, status, arn), status, arn, bool(found.get("EnableTerminationProtection"))
    )


def described(account: Account, name: str) -> dict[str, Any] | None:
    """What CloudFormation says of a stack; None where there is none.

    Args:
        account: Where.
        name: Its name or ARN.

    Raises:
        AwsError: The account does not say.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found: dict[str, Any] = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as failure:
        if code(failure) == "ValidationError" and "does not exist" in str(failure):
            return None
        raise AwsError(f"{name}: AWS does not say how it is ({code(failure)}): may you describe stacks?") from None
    except BotoCoreError as failure:
        raise AwsError(f"{name}: {unanswered(failure)}") from None
    return found


def _state(account: Account, status: str, arn: str) -> State:
    if status in _NEVER_STOOD:
        return "failed"
    if status.endswith("_IN_PROGRESS"):
        return "busy"
    if status == "DELETE_FAILED":  # of one that never stood, or of one that did
        return "stuck" if stood(account, arn) else "failed"
    return "stuck" if status.endswith("ROLLBACK_FAILED") else "stands"


def events(account: Account, arn: str) -> Iterator[dict[str, Any]]:
    """What happened to a stack, the newest first.

    Args:
        account: Where.
        arn: The stack's; its name would also find one that came before.
    """
    pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=arn)
    for count, event in enumerate(event for page in pages for event in page["StackEvents"]):
        if count >= _MOST_EVENTS:
            raise AwsError(f"{arn} has more than {_MOST_EVENTS} events: delete it by hand")
        yield event


def stood(account: Account, arn: str) -> bool:
    """Whether a stack ever stood. Where its history is not whole, it is taken to have.

    Args:
        account: Where.
        arn: The stack's.
    """
    own = [event["ResourceStatus"] for event in events(account, arn) if event.get("PhysicalResourceId") == arn]
    begun = bool(own) and own[-1] in ("CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
    return not begun or any(status in _STOOD for status in own)


def made_by(account: Account, arn: str) -> list[Resource]:
    """What a stack has made and still has, the newest first.

    What is listed under a stack is not always its own: a creation that fails because a name is taken may be listed with
    the id of what has the name. It counts when CloudFormation said that its creation was initiated, or complete.

    Args:
        account: Where.
        arn: The stack's.
    """
    made: dict[tuple[str, str], Resource] = {}
    for event in events(account, arn):
        resource = Resource(event["ResourceType"], event["LogicalResourceId"], event.get("PhysicalResourceId") or "")
        initiated = "initiated" in str(event.get("ResourceStatusReason") or "").lower()
        if event["ResourceStatus"] == "CREATE_COMPLETE" or (
            event["ResourceStatus"] == "CREATE_IN_PROGRESS" and initiated and resource.physical
        ):
            made.setdefault((resource.logical, resource.physical), resource)
    there = {(resource.logical, resource.physical) for resource in listed(account, arn)}
    return [resource for key, resource in made.items() if key in there]


def listed(account: Account, arn: str) -> Iterator[Resource]:
    """What is listed under a stack: all that one which stands has. Its events, which end some day, are not asked.

    Args:
        account: Where.
        arn: The stack's.
    """
    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=arn)
    for one in (one for page in pages for one in page["StackResourceSummaries"]):
        if one["ResourceStatus"] != "DELETE_COMPLETE" and one.get("PhysicalResourceId"):
            yield Resource(one["ResourceType"], one["LogicalResourceId"], one["PhysicalResourceId"])
