"""CloudFormation's own comparison of what lives with what it made: asked for, waited for within a bound, and told.

It is begun by a call and answers minutes later. It reads every resource with the rights of whoever asks, and changes
none. What it did not compare is told as such: no answer is not the answer that all is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from infra.deploy.account import Account, StackFound
from infra.deploy.asking import NotLooked, asked
from infra.railway.release import Clock
from infra.stage.verified import Deviation

_WHAT: Final = "drift, as CloudFormation sees it"
_SECONDS: Final = 300.0  # for all stacks of a stage together; each takes up to a minute or two
_PAUSE: Final = 5.0
_MOST: Final = 5  # properties of a resource that are named
# Of a resource's status, what is told; IN_SYNC is not, nor NOT_CHECKED and UNSUPPORTED, which are of the type.
_TOLD: Final = ("MODIFIED", "DELETED", "UNKNOWN")


def drifted(account: Account, stacks: Iterable[StackFound], clock: Clock | None = None) -> Iterator[Deviation]:
    """What differs from what CloudFormation made. Values are not told: one may be what nobody should read.

    Args:
        account: Where.
        stacks: Which.
        clock: Time.

    Yields:
        A deviation for each resource that differs, and for each stack that was not compared, or not whole.
    """
    clock = clock or Clock()
    cloudformation = account.client("cloudformation")
    end, begun = clock.now() + _SECONDS, dict[str, str]()
    for stack in stacks:  # all at once, because each takes its time
        answer = asked(partial(_begun, cloudformation, stack.id))
        if isinstance(answer, NotLooked):
            yield answer.of(stack.name, _WHAT)
        else:
            begun[answer] = stack.name
    while begun and clock.now() < end:
        for detection, name in tuple(begun.items()):
            found = asked(partial(_status, cloudformation, detection))
            if isinstance(found, NotLooked):
                yield found.of(name, _WHAT)
            elif found["DetectionStatus"] == "DETECTION_IN_PROGRESS":
                continue
            else:
                yield from _told(cloudformation, name, found)
            del begun[detection]
        if begun:
            clock.sleep(_PAUSE)
    for name in begun.values():
        yield NotLooked(f"CloudFormation was not done in {_SECONDS / 60:.0f} minutes").of(name, _WHAT)


def _begun(cloudformation: Any, stack: str) -> str:
    return str(cloudformation.detect_stack_drift(StackName=stack)["StackDriftDetectionId"])


def _status(cloudformation: Any, detection: str) -> Any:
    return cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=detection)


def _told(cloudformation: Any, name: str, status: Any) -> Iterator[Deviation]:
    """Of a comparison that is over; one that failed has compared what it could."""
    if status["DetectionStatus"] == "DETECTION_FAILED":
        yield NotLooked("CloudFormation could not compare all of it: may you read each of its resources?").of(
            name, _WHAT
        )
    elif status.get("StackDriftStatus") == "IN_SYNC":
        return
    elif status.get("StackDriftStatus") != "DRIFTED":
        yield NotLooked(f"CloudFormation says {status.get('StackDriftStatus', 'nothing')}").of(name, _WHAT)
    found = asked(lambda: list(_resources(cloudformation, status["StackId"])))
    if isinstance(found, NotLooked):
        yield found.of(name, _WHAT)
        return
    for resource in found:
        state, where = resource["StackResourceDriftStatus"], resource.get("PhysicalResourceId", "")
        if state == "UNKNOWN":
            yield NotLooked("CloudFormation could not read it").of(where or resource["LogicalResourceId"], _WHAT)
        else:
            paths = [one["PropertyPath"] for one in resource.get("PropertyDifferences", ())]
            more = f" and {len(paths) - _MOST} more" if len(paths) > _MOST else ""
            told = f": {', '.join(paths[:_MOST])}{more}" if paths else ""
            kind = resource["ResourceType"].removeprefix("AWS::")
            yield Deviation(f"{kind} {where}", _WHAT, "as it was made", f"{state.lower()}{told}")


def _resources(cloudformation: Any, stack: str) -> Iterator[Any]:
    wanted: dict[str, Any] = {"StackName": stack, "StackResourceDriftStatusFilters": list(_TOLD)}
    while True:
        page = cloudformation.describe_stack_resource_drifts(**wanted)
        yield from page["StackResourceDrifts"]
        if not page.get("NextToken"):
            return
        wanted["NextToken"] = page["NextToken"]
