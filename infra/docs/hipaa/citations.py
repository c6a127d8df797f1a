"""Every standard and implementation specification of 45 CFR 164.308, 310, 312, 314 and 316, by its paragraph.

From the Security Rule as in force (45 CFR part 164, subpart C; ecfr.gov). ``R`` is required, ``A`` addressable, ``std``
a standard. A row of the readiness table cites a paragraph of this list, or one of the Privacy Rule named below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Paragraph(NamedTuple):
    """One paragraph.

    Attributes:
        title: As the rule has it.
        kind: ``required``, ``addressable`` or ``standard``.
    """

    title: str
    kind: str


_R, _A, _S = "required", "addressable", "standard"

SECURITY_RULE: Final[Mapping[str, Paragraph]] = {
    "164.308(a)(1)(i)": Paragraph("Security management process", _S),
    "164.308(a)(1)(ii)(A)": Paragraph("Risk analysis", _R),
    "164.308(a)(1)(ii)(B)": Paragraph("Risk management", _R),
    "164.308(a)(1)(ii)(C)": Paragraph("Sanction policy", _R),
    "164.308(a)(1)(ii)(D)": Paragraph("Information system activity review", _R),
    "164.308(a)(2)": Paragraph("Assigned security responsibility", _S),
    "164.308(a)(3)(i)": Paragraph("Workforce security", _S),
    "164.308(a)(3)(ii)(A)": Paragraph("Authorization and/or supervision", _A),
    "164.308(a)(3)(ii)(B)": Paragraph("Workforce clearance procedure", _A),
    "164.308(a)(3)(ii)(C)": Paragraph("Termination procedures", _A),
    "164.308(a)(4)(i)": Paragraph("Information access management", _S),
    "164.308(a)(4)(ii)(A)": Paragraph("Isolating health care clearinghouse functions", _R),
    "164.308(a)(4)(ii)(B)": Paragraph("Access authorization", _A),
    "164.308(a)(4)(ii)(C)": Paragraph("Access establishment and modification", _A),
    "164.308(a)(5)(i)": Paragraph("Security awareness and training", _S),
    "164.308(a)(5)(ii)(A)": Paragraph("Security reminders", _A),
    "164.308(a)(5)(ii)(B)": Paragraph("Protection from malicious software", _A),
    "164.308(a)(5)(ii)(C)": Paragraph("Log-in monitoring", _A),
    "164.308(a)(5)(ii)(D)": Paragraph("Password management", _A),
    "164.308(a)(6)(i)": Paragraph("Security incident procedures", _S),
    "164.308(a)(6)(ii)": Paragraph("Response and reporting", _R),
    "164.308(a)(7)(i)": Paragraph("Contingency plan", _S),
    "164.308(a)(7)(ii)(A)": Paragraph("Data backup plan", _R),
    "164.308(a)(7)(ii)(B)": Paragraph("Disaster recovery plan", _R),
    "164.308(a)(7)(ii)(C)": Paragraph("Emergency mode operation plan", _R),
    "164.308(a)(7)(ii)(D)": Paragraph("Testing and revision procedures", _A),
    "164.308(a)(7)(ii)(E)": Paragraph("Applications and data criticality analysis", _A),
    "164.308(a)(8)": Paragraph("Evaluation", _S),
    "164.308(b)(1)": Paragraph("Business associate contracts and other arrangements", _S),
    "164.308(b)(3)": Paragraph("Written contract or other arrangement", _R),
    "164.310(a)(1)": Paragraph("Facility access controls", _S),
    "164.310(a)(2)(i)": Paragraph("Contingency operations", _A),
    "164.310(a)(2)(ii)": Paragraph("Facility security plan", _A),
    "164.310(a)(2)(iii)": Paragraph("Access control and validation procedures", _A),
    "164.310(a)(2)(iv)": Paragraph("Maintenance records", _A),
    "164.310(b)": Paragraph("Workstation use", _S),
    "164.310(c)": Paragraph("Workstation security", _S),
    "164.310(d)(1)": Paragraph("Device and media controls", _S),
    "164.310(d)(2)(i)": Paragraph("Disposal", _R),
    "164.310(d)(2)(ii)": Paragraph("Media re-use", _R),
    "164.310(d)(2)(iii)": Paragraph("Accountability", _A),
    "164.310(d)(2)(iv)": Paragraph("Data backup and storage", _A),
    "164.312(a)(1)": Paragraph("Access control", _S),
    "164.312(a)(2)(i)": Paragraph("Unique user identification", _R),
    "164.312(a)(2)(ii)": Paragraph("Emergency access procedure", _R),
    "164.312(a)(2)(iii)": Paragraph("Automatic logoff", _A),
    "164.312(a)(2)(iv)": Paragraph("Encryption and decryption", _A),
    "164.312(b)": Paragraph("Audit controls", _S),
    "164.312(c)(1)": Paragraph("Integrity", _S),
    "164.312(c)(2)": Paragraph("Mechanism to authenticate electronic protected health information", _A),
    "164.312(d)": Paragraph("Person or entity authentication", _S),
    "164.312(e)(1)": Paragraph("Transmission security", _S),
    "164.312(e)(2)(i)": Paragraph("Integrity controls", _A),
    "164.312(e)(2)(ii)": Paragraph("Encryption", _A),
    "164.314(a)(1)": Paragraph("Business associate contracts or other arrangements", _S),
    "164.314(a)(2)(i)": Paragraph("Business associate contracts", _R),
    "164.314(a)(2)(ii)": Paragraph("Other arrangements", _R),
    "164.314(a)(2)(iii)": Paragraph("Business associate contracts with subcontractors", _R),
    "164.314(b)(1)": Paragraph("Requirements for group health plans", _S),
    "164.314(b)(2)": Paragraph("Group health plan implementation specifications", _R),
    "164.316(a)": Paragraph("Policies and procedures", _S),
    "164.316(b)(1)": Paragraph("Documentation", _S),
    "164.316(b)(2)(i)": Paragraph("Time limit", _R),
    "164.316(b)(2)(ii)": Paragraph("Availability", _R),
    "164.316(b)(2)(iii)": Paragraph("Updates", _R),
}

# Paragraphs of the Privacy Rule that rows cite; the table does not cover that rule.
PRIVACY_RULE: Final[Mapping[str, Paragraph]] = {
    "164.502(b)": Paragraph("Minimum necessary", _S),
    "164.514(a)": Paragraph("De-identification of protected health information", _S),
}

PARAGRAPHS: Final[Mapping[str, Paragraph]] = {**SECURITY_RULE, **PRIVACY_RULE}
