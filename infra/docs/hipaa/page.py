"""docs/HIPAA_READINESS.md, out of the table."""

from __future__ import annotations

from infra.docs.hipaa.checklist import CHECKLIST
from infra.docs.hipaa.citations import nist
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import MEANS, Control

_HEAD = """# HIPAA readiness

**No health information before the agreements exist.** Railway signs a business associate agreement from 1,000 US
dollars a month of committed spend, AWS offers its own in AWS Artifact; the identity provider and every other company
that could see health information needs one, too.

These are controls that support HIPAA. Compliance belongs to your organisation's programme, and no software has it.
This is engineering material, not legal advice.

Every standard and implementation specification of 45 CFR 164.308, 310, 312, 314 and 316 has a row; citations, titles
and kinds are checked against the list in `infra/docs/hipaa/citations.py`.

| status | means |
| --- | --- |
{statuses}
*Addressable* is not optional: implement it, or write down why not and what is there instead. The amendment proposed
on 6 January 2025 (90 FR 898, RIN 0945-AA22) was not final in June 2026; check before you rely on either text.

Evidence is a property of every resource of that type in the production templates that a gate watches (taken out, the
gate objects), a rule of the cdk-nag packs that ran without any finding, acknowledged ones included, or a test that ran
and passed. The ids of NIST are a reading aid; its own crosswalk is appendix D of SP 800-66 r2. This page is generated
from `infra/docs/hipaa/controls.py`: `uv run signalbox docs`.

## What an auditor is handed

One archive with this table, the tests that ran, what was found in the account, the templates, bills of materials, and
these pages; its digest, signed with an SSH key. Its README says how the signature and each piece of evidence are
checked, and what it does not show:

<!-- needs: an AWS account, and an SSH key -->
```sh
uv run pytest --junitxml tests.xml
uv run signalbox verify production --format json > account.json
uv run signalbox compliance --junit tests.xml --verified account.json --archive evidence.tar.gz --key compliance_key
```

Hand over the archive, its `.sha256` and `.sha256.sig`, and by another way the public key.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD.format(statuses="".join(f"| {status} | {means} |\n" for status, means in MEANS.items()))]
    for area in dict.fromkeys(control.area for control in CONTROLS):
        parts.append(f"\n## {area}\n")
        parts += [_section(control) for control in CONTROLS if control.area == area]
    parts.append(_checklist())
    return "".join(parts)


def _section(control: Control) -> str:
    evidence = "".join(f"- {item}\n" for item in control.evidence)
    section, controls = nist(control.citation)
    beside = "".join(
        (f" · NIST SP 800-66 r2 {section}" if section else "", f" · SP 800-53 r5 {', '.join(controls.split())}")
    )
    return (
        f"\n### {control.name}\n\n"
        f"**{control.status}** · 45 CFR {control.citation} ({control.title}) · {control.kind}{beside}\n\n"
        f"{control.statement}\n\n{evidence}"
    )


def _checklist() -> str:
    lines = ["\n## The checklist, line by line\n\nEvery line that was asked for, and the rows above that answer it.\n"]
    status = {control.name: control.status for control in CONTROLS}
    for area, asked in CHECKLIST.items():
        lines.append(f"\n**{area}**\n\n| asked | answered by |\n| --- | --- |\n")
        for line, rows in asked.items():
            lines.append(f"| {line} | {'; '.join(f'{row} ({status[row]})' for row in rows)} |\n")
    return "".join(lines)
