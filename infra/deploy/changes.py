"""What a deployment would do to what stands, in words: told by the plan, and judged before anything is deployed.

Both templates are read, the one that a stack has and the one that it would get. A resource whose replacement gives it
another id changes what refers to it, also through an output and in another stack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from infra.deploy.specification import How, Specification, SpecificationError
from infra.shell.failure import Failure
from infra.stage.stateful import STATEFUL

Template = Mapping[str, Any]
Templates = Mapping[str, Template]  # by part of a stage
Outcome = Literal["made", "in place", "perhaps replaced", "replaced", "deleted", "left behind", "cannot"]

LOSING: Final[tuple[Outcome, ...]] = ("perhaps replaced", "replaced", "deleted", "left behind")
_RANK: Final[tuple[How, ...]] = ("in place", "perhaps replaced", "replaced")
_WORDS: Final[Mapping[Outcome, str]] = {
    "made": "is made",
    "in place": "is changed in place",
    "perhaps replaced": "may be replaced",
    "replaced": "is replaced",
    "deleted": "is deleted",
    "left behind": "leaves its stack and stays in the account, used by nothing",
    "cannot": "cannot be changed so",
}


class ChangeRefused(Failure):
    """A deployment would lose something, or cannot succeed; nothing was deployed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a resource.

    Attributes:
        name: Part and logical id, as ``data/DataKey1234``.
        type: CloudFormation's.
        outcome: What becomes of it.
        why: Properties that change, or the reason why it cannot be.
    """

    name: str
    type: str
    outcome: Outcome
    why: tuple[str, ...] = ()

    @property
    def loses(self) -> bool:
        """Whether what the resource holds is no longer there for the stage."""
        return self.outcome in LOSING and self.type in STATEFUL

    def __str__(self) -> str:
        why = f" ({', '.join(self.why)})" if self.why else ""
        held = ": the stage loses what it holds" if self.loses else ""
        return f"{self.name}, {self.type.removeprefix('AWS::')}, {_WORDS[self.outcome]}{why}{held}"


def changes(before: Templates, after: Templates, known: Specification) -> list[Change]:
    """What changes, in the order of the stacks.

    Args:
        before: What the account has; of parts that do not stand nothing is told.
        after: What it would have.
        known: The resource specification.
    """
    return list(_Comparison(before, after, known).found())


def refuse(found: Collection[Change], allowed: Collection[str]) -> None:
    """Let nothing pass that cannot be, or that loses something whose name was not said.

    Args:
        found: The changes.
        allowed: Names of what may be lost.

    Raises:
        ChangeRefused: Something is refused, or a name is of nothing that would be lost.
    """
    if cannot := [change for change in found if change.outcome == "cannot"]:
        lines = "\n".join(f"  {change}" for change in cannot)
        raise ChangeRefused(f"This stage cannot be changed so; nothing was deployed:\n{lines}")
    losing = {change.name: change for change in found if change.loses}
    if unknown := sorted(set(allowed) - set(losing)):
        raise ChangeRefused(f"--lose {', '.join(unknown)}: nothing of that name would be lost; nothing was deployed")
    if refused := [change for name, change in losing.items() if name not in allowed]:
        lines = "\n".join(f"  {change}" for change in refused)
        flags = " ".join(f"--lose {change.name}" for change in refused)
        raise ChangeRefused(
            f"What is stateful would be lost; nothing was deployed:\n{lines}\n"
            f"Take the change back, or move what is in there first and then say it by name: {flags}"
        )


class _Comparison:
    def __init__(self, before: Templates, after: Templates, known: Specification) -> None:
        self._before, self._after, self._known = before, after, known
        # Stack names end in their part: that is how a weak reference names what it reads.
        self._other: set[tuple[str, str]] = set()  # part, logical id of what gets another id
        while (found := {key for key in self._both() if self._how(*key)[0] != "in place"}) != self._other:
            self._other = found

    def found(self) -> Iterator[Change]:
        for part, template in ((part, self._after[part]) for part in self._after if part in self._before):
            old = self._before[part]["Resources"]
            for logical, resource in template["Resources"].items():
                name, kind = f"{part}/{logical}", resource["Type"]
                if logical not in old:
                    yield Change(name, kind, "made")
                elif change := self._changed(part, logical):
                    yield change
            for logical in old.keys() - template["Resources"].keys():
                kept = str(old[logical].get("DeletionPolicy", "")).startswith("Retain")
                outcome: Outcome = "left behind" if kept else "deleted"
                yield Change(f"{part}/{logical}", old[logical]["Type"], outcome)

    def _both(self) -> Iterator[tuple[str, str]]:
        for part, template in self._after.items():
            old = self._before.get(part, {}).get("Resources", {})
            yield from ((part, logical) for logical in template["Resources"] if logical in old)

    def _changed(self, part: str, logical: str) -> Change | None:
        old, new = (side[part]["Resources"][logical] for side in (self._before, self._after))
        how, properties = self._how(part, logical)
        if not properties:
            return None
        name, kind = f"{part}/{logical}", new["Type"]
        if impossible := self._impossible(part, old, new, how, properties):
            return Change(name, kind, "cannot", (impossible,))
        return Change(name, kind, self._outcome(kind, how, properties), tuple(properties))

    def _how(self, part: str, logical: str) -> tuple[How, list[str]]:
        """What a change does, and the properties that change."""
        old, new = (side[part]["Resources"][logical] for side in (self._before, self._after))
        if old["Type"] != new["Type"]:
            return "replaced", ["its type"]
        kind = self._known.get(new["Type"])
        if kind is None and not new["Type"].startswith(("Custom::", "AWS::CloudFormation::", "AWS::CDK::")):
            raise SpecificationError(f"{part}/{logical} is {new['Type']}, which the CDK's specification does not know")
        was, will = old.get("Properties", {}), new.get("Properties", {})
        changed = [
            name
            for name in dict.fromkeys([*was, *will])
            if was.get(name) != will.get(name) or self._moves(part, will.get(name))
        ]
        how: How = max((kind.changed(name) for name in changed if kind), key=_RANK.index, default="in place")
        return how, changed

    @staticmethod
    def _outcome(kind: str, how: How, properties: list[str]) -> How:
        # The secret stays, with its id, and gets another value.
        return "replaced" if kind == "AWS::SecretsManager::Secret" and "GenerateSecretString" in properties else how

    def _moves(self, part: str, value: Any) -> bool:
        """Whether a value refers to what gets another id, or to an output that does."""
        if isinstance(value, list):
            return any(self._moves(part, one) for one in value)
        if not isinstance(value, dict):
            return False
        for key, inner in value.items():
            if key == "Ref":
                moved = (part, inner) in self._other
            elif key == "Fn::GetAtt":
                target, attribute = inner if isinstance(inner, list) else inner.split(".", 1)
                moved = (part, target) in self._other or self._new_version(part, target, attribute)
            elif key == "Fn::GetStackOutput":
                moved = self._output_moves(inner)
            else:
                moved = self._moves(part, inner)
            if moved:
                return True
        return False

    def _new_version(self, part: str, logical: str, attribute: str) -> bool:
        """A launch template that changes in place has another version, which is what a group starts machines from."""
        if attribute != "LatestVersionNumber" or (part, logical) not in set(self._both()):
            return False
        return bool(self._how(part, logical)[1])

    def _output_moves(self, reference: Mapping[str, Any]) -> bool:
        part = str(reference["StackName"]).rpartition("-")[2]
        was, will = (
            side.get(part, {}).get("Outputs", {}).get(reference["OutputName"], {}).get("Value")
            for side in (self._before, self._after)
        )
        return was is not None and (was != will or self._moves(part, will))

    def _impossible(
        self, part: str, old: Mapping[str, Any], new: Mapping[str, Any], how: How, properties: list[str]
    ) -> str | None:
        """Why CloudFormation, or the service behind it, would refuse a change."""
        kind, was, will = new["Type"], old.get("Properties", {}), new.get("Properties", {})
        named = self._known[kind].identifier if kind in self._known else ()
        fixed = named and all(name in will and name not in properties for name in named)
        if how == "replaced" and fixed:
            given = {name for name in properties if self._known[kind].changed(name) == "replaced"}
            return f"{', '.join(sorted(given))}: it would be replaced, and {', '.join(named)} is taken by what stands"
        had, gets = (int(side.get("AllocatedStorage", 0)) for side in (was, will))
        if kind == "AWS::RDS::DBInstance" and gets < had:
            return f"RDS makes no volume smaller: it has {had} GiB"
        if kind == "AWS::RDS::DBSubnetGroup" and self._moves(part, was.get("SubnetIds")):
            return "the database stands in these subnets, which would be replaced: RDS does not let them go"
        return None
