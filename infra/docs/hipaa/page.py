"""docs/HIPAA_READINESS.md, out of the table."""

from __future__ import annotations

from infra.docs.hipaa.citations import PARAGRAPHS
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import Control

_HEAD = """# HIPAA readiness

**No health information before the agreements exist.** Railway signs a business associate agreement from 1,000 US
dollars a month of committed spend, AWS offers its own in AWS Artifact; the identity provider and everybody else who
could see health information needs one, too.

These are controls that support HIPAA. Compliance belongs to your organisation's programme, and no software has it.
This is engineering material, not legal advice.

Every standard and implementation specification of 45 CFR 164.308, 310, 312, 314 and 316 has a row; citations, titles
and kinds are checked against the list in `infra/docs/hipaa/citations.py`.

| status | means |
| --- | --- |
| implemented | by this template; every row names what a machine checks, and the build fails when it does not hold |
| shared | the template does its part, and somebody has to do the rest |
| customer | yours |
| planned | a later feature; it counts for nothing today |

*Addressable* is not optional: implement it, or write down why not and what is there instead. The amendment proposed
on 6 January 2025 (90 FR 898, RIN 0945-AA22) was not final in June 2026; check before you rely on either text.

Evidence is a property of every resource of that type in the production templates, a rule of the cdk-nag packs without
any finding, acknowledged ones included, or a test that ran and passed. This page is generated from
`infra/docs/hipaa/controls.py`: `uv run signalbox docs`.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for area in dict.fromkeys(control.area for control in CONTROLS):
        parts.append(f"\n## {area}\n")
        parts += [_section(control) for control in CONTROLS if control.area == area]
    return "".join(parts)


def _section(control: Control) -> str:
    evidence = "".join(f"- {item}\n" for item in control.evidence)
    return (
        f"\n### {control.name}\n\n"
        f"**{control.status}** · 45 CFR {control.citation} ({PARAGRAPHS[control.citation].title}) · {control.kind}\n\n"
        f"{control.statement}\n\n{evidence}"
    )
