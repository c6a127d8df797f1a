"""What a control is, and whether its evidence holds: what claims to be implemented must name what a machine checks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from infra.docs.hipaa.citations import PARAGRAPHS, SECURITY_RULE

Kind = Literal["required", "addressable", "standard"]
Status = Literal["implemented", "shared", "customer", "planned"]

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "is": lambda found, wanted: str(found).lower() == str(wanted).lower(),  # CloudFormation takes true and "true"
    "at least": lambda found, wanted: found is not None and float(found) >= wanted,
    "at most": lambda found, wanted: found is not None and float(found) <= wanted,
    "is set": lambda found, _: found is not None,
}


@dataclass(frozen=True, slots=True)
class ByTemplate:
    """Every resource of a type in the production templates, and at least one, has a property.

    Attributes:
        type: CloudFormation type.
        path: Property, with dots.
        operator: One of ``is``, ``at least``, ``at most``, ``is set``.
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
    """A rule of a cdk-nag pack has no finding, not even one that the register acknowledges."""

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
    """Somebody has to do it; no software can. Never evidence of an implemented control."""

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
        kind: ``required``, ``addressable`` (not optional: implement it, or write down why not and what is there
            instead), or ``standard`` for a standard without specifications of its own.
        status: Who sees to it. ``planned`` is a feature that is not built yet.
        statement: What holds.
        evidence: How that is known.
    """

    area: str
    name: str
    citation: str
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
        elif paragraph.kind != control.kind:
            yield f"{control.name}: {control.citation} ({paragraph.title}) is {paragraph.kind}, not {control.kind}"
    for citation in SECURITY_RULE.keys() - cited:
        yield f"no row cites {citation} ({SECURITY_RULE[citation].title})"


def problems(controls: Iterable[Control], *, root: Path, assembly: Path) -> Iterator[str]:
    """Rows that claim more than can be shown.

    Args:
        controls: The table.
        root: The checkout.
        assembly: Folder of the production stage's cloud assembly, with the report of the rule packs.

    Yields:
        One line per problem.
    """
    resources = [
        resource
        for template in sorted(assembly.glob("*.template.json"))
        for resource in json.loads(template.read_text(encoding="utf-8"))["Resources"].values()
    ]
    report = json.loads((assembly / "validation-report.json").read_text(encoding="utf-8"))["pluginReports"]
    for control in controls:
        if control.status == "implemented" and all(isinstance(e, ByPerson) for e in control.evidence):
            yield f"{control.name}: implemented, but only on paper"
        for evidence in control.evidence:
            if not _holds(evidence, root, resources, report):
                yield f"{control.name}: {evidence} does not hold"


def _holds(
    evidence: Evidence,
    root: Path,
    resources: list[Mapping[str, Any]],
    report: list[Mapping[str, Any]],
) -> bool:
    if isinstance(evidence, ByTemplate):
        found = [_dig(resource, evidence.path) for resource in resources if resource["Type"] == evidence.type]
        return bool(found) and all(_OPERATORS[evidence.operator](value, evidence.value) for value in found)
    if isinstance(evidence, ByRule):
        return not any(
            finding["ruleName"].split("[")[0] == evidence.name
            for pack in report
            for finding in (*pack.get("violations", []), *pack.get("suppressedViolations", []))
        )
    if isinstance(evidence, ByTest):
        path, _, name = evidence.node.partition("::")
        file = root / path
        return file.exists() and any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        )
    return bool(evidence.owner and evidence.task)


def _dig(resource: Mapping[str, Any], path: str) -> Any:
    value: Any = resource.get("Properties", {})
    for key in re.split(r"(?<!\\)\.", path):  # a dot in a name has a backslash before it
        key = key.replace("\\.", ".")
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
