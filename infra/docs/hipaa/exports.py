"""The readiness table in the forms that others read: text, CSV, OSCAL's component definition and assessment results.

OSCAL 1.2.1 (https://pages.nist.gov/OSCAL/). The documents have the commit and the date of the check in them; their ids
follow from what they name, so that two exports of one state are equal.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from infra.docs.hipaa.citations import PARAGRAPHS
from infra.docs.hipaa.evidence import Control

_OSCAL: Final = "1.2.1"
_SOURCE: Final = "https://www.ecfr.gov/current/title-45/subtitle-A/subchapter-C/part-164/subpart-C"
_STATUS: Final = {"implemented": "implemented", "shared": "partial", "customer": "not-applicable", "planned": "planned"}


@dataclass(frozen=True, slots=True)
class Checked:
    """The table, and what was found when its evidence was looked at.

    Attributes:
        controls: The rows, filtered.
        problems: What does not hold, by name of the row.
        product: The product's title.
        commit: Of the checkout; ends with ``-dirty`` where something is not committed.
        at: When it was looked at.
    """

    controls: Sequence[Control]
    problems: Mapping[str, Sequence[str]]
    product: str
    commit: str
    at: datetime


def text(checked: Checked) -> str:
    """For a terminal: one line a row, then what does not hold."""
    lines = [f"{c.status:<12}{c.citation:<26}{c.name}" for c in checked.controls]
    lines += [f"DOES NOT HOLD: {problem}" for found in checked.problems.values() for problem in found]
    return "\n".join((*lines, f"{len(checked.controls)} rows at {checked.commit}, {checked.at:%Y-%m-%d %H:%M} UTC", ""))


def as_csv(checked: Checked) -> str:
    """For a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("citation", "title", "kind", "status", "name", "statement", "evidence", "does not hold"))
    for c in checked.controls:
        evidence = "\n".join(map(str, c.evidence))
        failed = "\n".join(checked.problems.get(c.name, ()))
        title = PARAGRAPHS[c.citation].title
        writer.writerow((c.citation, title, c.kind, c.status, c.name, c.statement, evidence, failed))
    return out.getvalue()


def component_definition(checked: Checked) -> str:
    """OSCAL's component definition: what this template brings for each paragraph."""
    requirements = [
        {
            "uuid": _id("requirement", c.name),
            "control-id": _control_id(c.citation),
            "description": c.statement,
            "props": [
                {"name": "implementation-status", "value": _STATUS[c.status]},
                {"name": "label", "value": c.citation},
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
        observation = _id("observation", c.name)
        observations.append(
            {
                "uuid": observation,
                "title": c.name,
                "description": "; ".join(failed) or "Every piece of evidence holds.",
                "methods": ["TEST" if c.status in ("implemented", "shared") else "INTERVIEW"],
                "collected": _time(checked.at),
                "relevant-evidence": [{"description": str(item)} for item in c.evidence],
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
                "related-observations": [{"observation-uuid": observation}],
            }
        )
    ids = sorted({_control_id(c.citation) for c in checked.controls})
    result = {
        "uuid": _id("result", checked.commit),
        "title": f"{checked.product} at {checked.commit}",
        "description": "Made from the readiness table; customer and planned rows are never satisfied by software.",
        "start": _time(checked.at),
        "reviewed-controls": {"control-selections": [{"include-controls": [{"control-id": name} for name in ids]}]},
        "observations": observations,
        "findings": findings,
    }
    return _document("assessment-results", checked, {"import-ap": {"href": _SOURCE}, "results": [result]})


FORMS: Final[Mapping[str, Callable[[Checked], str]]] = {
    "text": text,
    "csv": as_csv,
    "oscal-component": component_definition,
    "oscal-results": assessment_results,
}


def _document(kind: str, checked: Checked, content: Mapping[str, Any]) -> str:
    metadata = {
        "title": f"{checked.product}: HIPAA readiness",
        "last-modified": _time(checked.at),
        "version": checked.commit,
        "oscal-version": _OSCAL,
    }
    body = {"uuid": _id(kind, checked.commit), "metadata": metadata, **content}
    return json.dumps({kind: body}, indent=2) + "\n"


def _control_id(citation: str) -> str:
    """OSCAL's token: a letter first, no brackets."""
    return "hipaa-" + citation.replace("(", "-").replace(")", "").replace(" ", "").lower()


def _id(*names: str) -> str:
    # OSCAL wants version 4 or 5; 5 follows from the name.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((_SOURCE, *names))))


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
