"""What a control is, and whether its evidence holds: what claims to be implemented must name what a machine checks."""

from __future__ import annotations

import ast
import copy
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from infra.aws.gates.promises import dig, holds
from infra.docs.hipaa.citations import PARAGRAPHS, SECURITY_RULE

if TYPE_CHECKING:
    from infra.stage.record import Stage

Kind = Literal["required", "addressable", "standard"]
Status = Literal["implemented", "shared", "customer", "planned"]
MEANS: Final[Mapping[Status, str]] = {
    "implemented": "by this template; every row names what a machine checks, and the build fails when it does not hold",
    "shared": "the template does its part, and the organisation that runs it has to do the rest",
    "customer": "the organisation's that runs it: no software can do it",
    "planned": "a later feature; it counts for nothing today",
}


@dataclass(frozen=True, slots=True)
class ByTemplate:
    """Every resource of a type in the production templates, and at least one, has a property, and a gate watches it.

    Attributes:
        type: CloudFormation type.
        path: Property, with dots.
        operator: One of those of ``infra.aws.gates.promises``.
        value: What it is compared with.
    """

    type: str
    path: str
    operator: str = "is set"
    value: object = None

    def __str__(self) -> str:
        compared = f"{self.path} {self.operator}" + ("" if self.value is None else f" {self.value}")
        return f"`{self.type}`: `{compared}`"


@dataclass(frozen=True, slots=True)
class ByRule:
    """A rule of a cdk-nag pack that ran has no finding, not even one that the register acknowledges."""

    name: str

    def __str__(self) -> str:
        return f"rule `{self.name}`"


@dataclass(frozen=True, slots=True)
class ByTest:
    """A test, by its node id. CI fails when it did not run, or did not pass."""

    node: str

    def __str__(self) -> str:
        return f"`{self.node}`"


@dataclass(frozen=True, slots=True)
class ByPerson:
    """A person has to do it; no software can. Never evidence of an implemented control."""

    owner: str
    task: str

    def __str__(self) -> str:
        return f"{self.owner}: {self.task}"


Evidence = ByTemplate | ByRule | ByTest | ByPerson


@dataclass(frozen=True, slots=True)
class Control:
    """One row.

    Attributes:
        area: Heading of the page it stands under.
        name: Short name.
        citation: Section of 45 CFR 164.
        title: Of that section, as the rule has it: said twice, so that a citation that slips is found.
        kind: ``required``, ``addressable`` (not optional: implement it, or write down why not and what is there
            instead), or ``standard`` for a standard without specifications of its own.
        status: Who sees to it. ``planned`` is a feature that is not built yet.
        statement: What holds.
        evidence: How that is known.
    """

    area: str
    name: str
    citation: str
    title: str
    kind: Kind
    status: Status
    statement: str
    evidence: tuple[Evidence, ...]


def uncited(controls: Iterable[Control]) -> Iterator[str]:
    """Where the table and the rule differ: a citation that is none, another kind than the rule's, no row at all.

    Args:
        controls: The table.

    Yields:
        One line per problem.
    """
    cited = set()
    for control in controls:
        cited.add(control.citation)
        paragraph = PARAGRAPHS.get(control.citation)
        if paragraph is None:
            yield f"{control.name}: {control.citation} is no paragraph of infra/docs/hipaa/citations.py"
        elif paragraph.title != control.title:
            yield f"{control.name}: {control.citation} is {paragraph.title!r}, and the row says {control.title!r}"
        elif paragraph.kind != control.kind:
            yield f"{control.name}: {control.citation} ({paragraph.title}) is {paragraph.kind}, not {control.kind}"
    for citation in SECURITY_RULE.keys() - cited:
        yield f"no row cites {citation} ({SECURITY_RULE[citation].title})"


def problems(controls: Iterable[Control], *, root: Path, assembly: Mapping[str, bytes], stage: Stage) -> Iterator[str]:
    """Rows that claim more than can be shown.

    Args:
        controls: The table.
        root: The checkout.
        assembly: The stage's templates, and the report of the rule packs, by file name.
        stage: A production stage.

    Yields:
        One line per problem.
    """
    resources = [
        resource
        for name, content in assembly.items()
        if name.endswith(".template.json")
        for resource in json.loads(content)["Resources"].items()
    ]
    report = json.loads(assembly.get("validation-report.json", b"{}")).get("pluginReports", [])
    claimed: dict[frozenset[Evidence], str] = {}
    for control in controls:
        own = frozenset(item for item in control.evidence if not isinstance(item, ByPerson))
        if control.status == "implemented":
            if not own:
                yield f"{control.name}: implemented, but only on paper"
            elif (other := claimed.setdefault(own, control.name)) != control.name:
                yield f"{control.name}: implemented, but by no evidence of its own: it has that of {other}"
        for evidence in control.evidence:
            if not _holds(evidence, root, resources, report):
                yield f"{control.name}: {evidence} does not hold"
            elif isinstance(evidence, ByTemplate) and not _watched(evidence, resources, stage):
                yield f"{control.name}: {evidence} holds, but no gate of infra/aws/gates would object if it did not"


def _holds(
    evidence: Evidence,
    root: Path,
    resources: list[tuple[str, Mapping[str, Any]]],
    report: list[Mapping[str, Any]],
) -> bool:
    if isinstance(evidence, ByTemplate):
        of_type = [resource.get("Properties", {}) for _, resource in resources if resource["Type"] == evidence.type]
        found = [value for properties in of_type for value in dig(properties, evidence.path)]
        return holds(evidence.operator, found, evidence.value, None)
    if isinstance(evidence, ByRule):
        # A pack without any finding, acknowledged ones included, is not in the report, like one that never ran.
        ran = any(evidence.name.startswith(f"{pack['pluginName']}-") for pack in report)
        return (
            ran
            and evidence.name.partition("-")[2] in _rules_of_packs()
            and not any(
                finding["ruleName"].split("[")[0] == evidence.name
                for pack in report
                for finding in (*pack.get("violations", []), *pack.get("suppressedViolations", []))
            )
        )
    if isinstance(evidence, ByTest):
        return is_test(root, evidence.node)
    return bool(evidence.owner and evidence.task)


def is_test(root: Path, node: str) -> bool:
    """Whether a test is there, by its node id."""
    path, _, name = node.partition("::")
    file = root / path
    return file.is_file() and name in _functions(file, file.stat().st_mtime_ns)


@cache
def _functions(file: Path, _changed: int) -> frozenset[str]:
    """Read once for all rows that name a test of it, and anew when it was changed."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions)


def _watched(evidence: ByTemplate, resources: list[tuple[str, Mapping[str, Any]]], stage: Stage) -> bool:
    """Whether the rules of the project object when the property is taken out of each resource that has it."""
    from infra.aws.checks import problems as objections

    steps = [step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", evidence.path.partition(".*")[0])]
    for logical_id, resource in resources:
        if resource["Type"] == evidence.type:
            spoiled = copy.deepcopy(resource)
            inner: Any = spoiled["Properties"]
            for step in steps[:-1]:
                inner = inner[step]
            del inner[steps[-1]]
            if not any(objections({"Resources": {logical_id: spoiled}}, stage)):
                return False
    return True


@cache
def _rules_of_packs() -> frozenset[str]:
    """Names of the rules that cdk-nag has: a name that is misspelt has no finding, either."""
    import cdk_nag

    (archive,) = Path(cdk_nag.__file__).parent.glob("_jsii/*.tgz")
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/lib/packs/hipaa-security.js")
        assert member is not None
        return frozenset(re.findall(r"rule: [a-z0-9_]+\.([A-Za-z0-9]+),", member.read().decode()))
