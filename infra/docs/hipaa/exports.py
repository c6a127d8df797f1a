"""The readiness table in the forms that others read: text, Markdown, CSV, OSCAL's component definition and results.

OSCAL 1.2.1 (https://pages.nist.gov/OSCAL/). The documents have the commit and the date of the check in them; their ids
follow from what they name, so that two exports of one state are equal.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from infra.docs.hipaa import FORMS
from infra.docs.hipaa.citations import PARAGRAPHS, nist
from infra.docs.hipaa.evidence import MEANS, ByTest, Control, Evidence, Status

if TYPE_CHECKING:
    from infra.stage.verified import Report

_OSCAL: Final = "1.2.1"
_SOURCE: Final = "https://www.ecfr.gov/current/title-45/subtitle-A/subchapter-C/part-164/subpart-C"
_NIST: Final = "https://csrc.nist.gov/pubs/sp/800"
_BESIDE: Final = ("NIST SP 800-66 r2", "NIST SP 800-53 r5", "commit", "checked")
EVALUATION: Final = "164.308(a)(8)"  # periodic technical evaluation: what a look at the account is for
ACCOUNT: Final = "The account is as its templates say"
# In OSCAL's words: how far it is, and from whom it comes. What is the customer's applies all the same, so that it is
# "planned" and not "not-applicable": the customer has it to do.
_STATUS: Final[Mapping[Status, tuple[str, str]]] = {
    "implemented": ("implemented", "system-specific"),
    "shared": ("partial", "customer-configured"),
    "customer": ("planned", "customer-provided"),
    "planned": ("planned", "system-specific"),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """The table, and what was found when its evidence was looked at.

    Attributes:
        controls: The rows, filtered.
        problems: What does not hold, by name of the row.
        product: The product's title.
        commit: Of the checkout; ends with ``-dirty`` where something is not committed.
        at: When it was looked at.
        ran: Tests of a report by their node ids, and whether they passed; None where no report was given.
        assembly: Templates and report of the rule packs, by file name.
        report: That report of pytest.
        account: What was found in the account; None where no report was given.
    """

    controls: Sequence[Control]
    problems: Mapping[str, Sequence[str]]
    product: str
    commit: str
    at: datetime
    ran: Mapping[str, bool] | None = None
    assembly: Mapping[str, bytes] = field(default_factory=dict)
    report: bytes | None = None
    account: Report | None = None


def text(checked: Checked) -> str:
    """For a terminal: one line a row, then what does not hold."""
    lines = [f"{c.status:<12}{c.citation:<26}{c.name}" for c in checked.controls]
    lines += [f"DOES NOT HOLD: {problem}" for found in checked.problems.values() for problem in found]
    total = f"{len(checked.controls)} rows at {checked.commit}, {checked.at:%Y-%m-%d %H:%M} UTC. {looked_at(checked)}"
    return "\n".join((*lines, total, ""))


def looked_at(checked: Checked) -> str:
    """Which tests were looked at, and which account, in a sentence each."""
    tests = "Tests were looked up, not run: --junit FILE takes the report of a run."
    if checked.ran is not None:
        tests = f"{sum(checked.ran.values())} of {len(checked.ran)} tests of the report passed."
    account = "The account was not looked at: --verified FILE takes the report of signalbox verify."
    if checked.account is not None:
        account = _account(checked.account)
    return f"{tests} {account}"


def _account(found: Report) -> str:
    return (
        f"In the account of stage {found.stage}, {_time(found.when)}: {found.compared} comparisons, "
        f"{len(found.deviations)} deviations."
    )


def _outcome(checked: Checked, item: Evidence) -> str:
    if not isinstance(item, ByTest):
        return str(item)
    if checked.ran is None:
        return f"{item} (not run)"
    outcome = {True: "passed", False: "did not pass", None: "did not run"}[checked.ran.get(item.node)]
    return f"{item} ({outcome})"


def as_markdown(checked: Checked) -> str:
    """For people: one table an area, and what does not hold first."""
    lines = [
        f"# {checked.product}: HIPAA readiness\n",
        f"Commit {checked.commit}, {checked.at:%Y-%m-%d %H:%M} UTC. {looked_at(checked)}\n",
    ]
    failed = [problem for found in checked.problems.values() for problem in found]
    counts = Counter(control.status for control in checked.controls)
    lines += ["| status | rows | means |", "| --- | --- | --- |"]
    lines += [*(f"| {status} | {counts[status]} | {means} |" for status, means in MEANS.items()), ""]
    lines += ["## Does not hold\n", *(f"- {problem}" for problem in failed), ""] if failed else []
    for area in dict.fromkeys(control.area for control in checked.controls):
        lines.append(f"## {area}\n")
        lines.append("| 45 CFR | row | status | NIST SP 800-66 r2 | SP 800-53 r5 | what holds | evidence |")
        lines.append("| --- | --- | --- | --- | --- | --- | --- |")
        for c in (control for control in checked.controls if control.area == area):
            section, controls = nist(c.citation)
            evidence = "<br>".join(_outcome(checked, item) for item in c.evidence)
            cells = (f"{c.citation} {c.title} ({c.kind})", c.name, c.status, section, controls, c.statement, evidence)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def as_csv(checked: Checked) -> str:
    """For a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("citation", "title", "kind", "status", "name", "statement", "evidence", "does not hold", *_BESIDE))
    for c in checked.controls:
        evidence = "\n".join(_outcome(checked, item) for item in c.evidence)
        failed = "\n".join(checked.problems.get(c.name, ()))
        about = (c.citation, c.title, c.kind, c.status, c.name, c.statement, evidence, failed)
        writer.writerow((*about, *nist(c.citation), checked.commit, _time(checked.at)))
    if checked.account is not None:
        deviations = "\n".join(map(str, checked.account.deviations))
        title, told = PARAGRAPHS[EVALUATION].title, _account(checked.account)
        row = [EVALUATION, title, "", "account", ACCOUNT, told, "", deviations]
        writer.writerow((*row, *nist(EVALUATION), checked.commit, _time(checked.at)))
    return out.getvalue()


def component_definition(checked: Checked) -> str:
    """OSCAL's component definition: what this template brings for each paragraph."""
    requirements = [
        {
            "uuid": _id("requirement", c.name),
            "control-id": _control_id(c.citation),
            "description": c.statement,
            "props": [
                {"name": "implementation-status", "value": _STATUS[c.status][0]},
                {"name": "control-origination", "value": _STATUS[c.status][1]},
                {"name": "label", "value": c.citation},
                *_nist_props(c.citation),
            ],
            "remarks": "\n".join(map(str, c.evidence)),
        }
        for c in checked.controls
    ]
    component = {
        "uuid": _id("component", checked.product),
        "type": "software",
        "title": checked.product,
        "description": "A multi-tenant health API, its AWS resources, and the step between them.",
        "control-implementations": [
            {
                "uuid": _id("implementation", checked.product),
                "source": _SOURCE,
                "description": "HIPAA Security Rule, 45 CFR 164.308 to 164.316.",
                "implemented-requirements": requirements,
            }
        ],
    }
    return _document("component-definition", checked, {"components": [component]})


def assessment_results(checked: Checked) -> str:
    """OSCAL's assessment results: which evidence was looked at, and whether it holds."""
    observations, findings = [], []
    for c in checked.controls:
        failed = checked.problems.get(c.name, ())
        seen = _id("observation", c.name)
        observations.append(
            {
                "uuid": seen,
                "title": c.name,
                "description": "; ".join(failed) or "Every piece of evidence holds.",
                "methods": ["TEST" if c.status in ("implemented", "shared") else "INTERVIEW"],
                "collected": _time(checked.at),
                "relevant-evidence": [{"description": _outcome(checked, item)} for item in c.evidence],
            }
        )
        satisfied = not failed and c.status == "implemented"
        findings.append(
            {
                "uuid": _id("finding", c.name),
                "title": c.name,
                "description": c.statement,
                "target": {
                    "type": "objective-id",
                    "target-id": _control_id(c.citation),
                    "status": {"state": "satisfied" if satisfied else "not-satisfied", "reason": c.status},
                },
                "related-observations": [{"observation-uuid": seen}],
            }
        )
    citations = {c.citation for c in checked.controls}
    if checked.account is not None:
        observation, found = _observed(checked.account)
        observations.append(observation)
        findings.append(found)
        citations.add(EVALUATION)
    ids = sorted(map(_control_id, citations))
    result = {
        "uuid": _id("result", checked.commit),
        "title": f"{checked.product} at {checked.commit}",
        "description": "Made from the readiness table; customer and planned rows are never satisfied by software. "
        + looked_at(checked),
        "start": _time(checked.at),
        "reviewed-controls": {"control-selections": [{"include-controls": [{"control-id": name} for name in ids]}]},
        "observations": observations,
        "findings": findings,
    }
    return _document("assessment-results", checked, {"import-ap": {"href": _SOURCE}, "results": [result]})


def _observed(account: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was seen in the account, as an observation and a finding about the periodic technical evaluation."""
    seen = _id("observation", ACCOUNT)
    observation: dict[str, Any] = {
        "uuid": seen,
        "title": ACCOUNT,
        "description": _account(account),
        "methods": ["EXAMINE"],
        "collected": _time(account.when),
    }
    if account.deviations:
        observation["relevant-evidence"] = [{"description": str(one)} for one in account.deviations]
    status = {"state": "not-satisfied" if account.deviations else "satisfied", "reason": "account"}
    target = {"type": "objective-id", "target-id": _control_id(EVALUATION), "status": status}
    finding = {
        "uuid": _id("finding", ACCOUNT),
        "title": ACCOUNT,
        "description": "What lives in the account is what its stacks' templates say.",
        "target": target,
        "related-observations": [{"observation-uuid": seen}],
    }
    return observation, finding


_WRITERS = (text, as_csv, as_markdown, component_definition, assessment_results)
WRITTEN: Final[Mapping[str, Callable[[Checked], str]]] = dict(zip(FORMS, _WRITERS, strict=True))


def _document(kind: str, checked: Checked, content: Mapping[str, Any]) -> str:
    metadata = {
        "title": f"{checked.product}: HIPAA readiness",
        "last-modified": _time(checked.at),
        "version": checked.commit,
        "oscal-version": _OSCAL,
    }
    body = {"uuid": _id(kind, checked.commit), "metadata": metadata, **content}
    return json.dumps({kind: body}, indent=2) + "\n"


def _nist_props(citation: str) -> list[dict[str, str]]:
    section, controls = nist(citation)
    return [
        *({"name": "section", "ns": f"{_NIST}/66/r2/final", "value": section} for _ in section[:1]),
        *({"name": "control", "ns": f"{_NIST}/53/r5/upd1/final", "value": control} for control in controls.split()),
    ]


def _control_id(citation: str) -> str:
    """OSCAL's token: a letter first, no brackets."""
    return "hipaa-" + citation.replace("(", "-").replace(")", "").replace(" ", "").lower()


def _id(*names: str) -> str:
    # OSCAL wants version 4 or 5; 5 follows from the name.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((_SOURCE, *names))))


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
