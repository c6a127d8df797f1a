"""Every standard and implementation specification of 45 CFR 164.308, 310, 312, 314 and 316, by its paragraph.

From the Security Rule as in force (45 CFR part 164, subpart C; ecfr.gov). ``R`` is required, ``A`` addressable, ``std``
a standard. A row of the readiness table cites a paragraph of this list, or one of the Privacy Rule named below.

Titles and kinds of 164.308, 310, 312(a) to (c) and 316 were compared on 2026-11-26 with public copies of the rule:
appendix A of subpart C (ecfr.io), 164.308 (law.cornell.edu) and 164.316 (law.lawstack.com, as of 2026-06-20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

# --- NIST
# Sections of SP 800-66 revision 2 (February 2024), by what a paragraph begins with.
_800_66: Final[Mapping[str, str]] = {
    "164.308(a)(1)": "5.1.1",
    "164.308(a)(2)": "5.1.2",
    "164.308(a)(3)": "5.1.3",
    "164.308(a)(4)": "5.1.4",
    "164.308(a)(5)": "5.1.5",
    "164.308(a)(6)": "5.1.6",
    "164.308(a)(7)": "5.1.7",
    "164.308(a)(8)": "5.1.8",
    "164.308(b)": "5.1.9",
    "164.310(a)": "5.2.1",
    "164.310(b)": "5.2.2",
    "164.310(c)": "5.2.3",
    "164.310(d)": "5.2.4",
    "164.312(a)": "5.3.1",
    "164.312(b)": "5.3.2",
    "164.312(c)": "5.3.3",
    "164.312(d)": "5.3.4",
    "164.312(e)": "5.3.5",
    "164.314(a)": "5.4.1",
    "164.314(b)": "5.4.2",
    "164.316(a)": "5.5.1",
    "164.316(b)": "5.5.2",
}

# Controls of SP 800-53 revision 5 that bear on a paragraph: a reading aid of ours, narrower than NIST's own crosswalk
# (appendix D of SP 800-66 revision 2, and csrc.nist.gov/projects/olir), which is the one to cite to an auditor.
_800_53: Final[Mapping[str, str]] = {
    "164.308(a)(1)(i)": "PM-9 RA-1",
    "164.308(a)(1)(ii)(A)": "RA-2 RA-3",
    "164.308(a)(1)(ii)(B)": "PM-4 RA-7 CA-5",
    "164.308(a)(1)(ii)(C)": "PS-8",
    "164.308(a)(1)(ii)(D)": "AU-6 AU-7 CA-7 SI-4",
    "164.308(a)(2)": "PM-2",
    "164.308(a)(3)(i)": "PS-1 AC-1 AC-6",
    "164.308(a)(3)(ii)(A)": "AC-3 PS-1 PS-7",
    "164.308(a)(3)(ii)(B)": "PS-2 PS-3",
    "164.308(a)(3)(ii)(C)": "PS-4 PS-5",
    "164.308(a)(4)(i)": "AC-1 AC-3 AC-6",
    "164.308(a)(4)(ii)(A)": "AC-4 AC-5",
    "164.308(a)(4)(ii)(B)": "AC-2 AC-3 IA-5",
    "164.308(a)(4)(ii)(C)": "AC-2 AC-3",
    "164.308(a)(5)(i)": "AT-1 AT-2 AT-3 AT-4",
    "164.308(a)(5)(ii)(A)": "AT-2 SI-5",
    "164.308(a)(5)(ii)(B)": "SI-2 SI-3 RA-5",
    "164.308(a)(5)(ii)(C)": "AC-7 AU-2 AU-6 SI-4",
    "164.308(a)(5)(ii)(D)": "IA-5",
    "164.308(a)(6)(i)": "IR-1",
    "164.308(a)(6)(ii)": "IR-4 IR-5 IR-6 IR-8",
    "164.308(a)(7)(i)": "CP-1 CP-2",
    "164.308(a)(7)(ii)(A)": "CP-9",
    "164.308(a)(7)(ii)(B)": "CP-2 CP-6 CP-7 CP-10",
    "164.308(a)(7)(ii)(C)": "CP-2 CP-10 SC-24",
    "164.308(a)(7)(ii)(D)": "CP-4",
    "164.308(a)(7)(ii)(E)": "CP-2 RA-2",
    "164.308(a)(8)": "CA-2 CA-7 CA-8",
    "164.308(b)(1)": "SA-9 SR-6",
    "164.308(b)(3)": "SA-4 SA-9",
    "164.310(a)(1)": "PE-1 PE-2 PE-3",
    "164.310(a)(2)(i)": "CP-2 PE-17",
    "164.310(a)(2)(ii)": "PE-3 PL-2",
    "164.310(a)(2)(iii)": "PE-2 PE-3 PE-6 PE-8",
    "164.310(a)(2)(iv)": "MA-2 MA-6",
    "164.310(b)": "AC-17 PE-5 PL-4",
    "164.310(c)": "MP-2 PE-3 PE-18",
    "164.310(d)(1)": "MP-1 MP-2 MP-5",
    "164.310(d)(2)(i)": "MP-6 SC-12",
    "164.310(d)(2)(ii)": "MP-6",
    "164.310(d)(2)(iii)": "CM-8 MP-5",
    "164.310(d)(2)(iv)": "CP-9 MP-4",
    "164.312(a)(1)": "AC-3 AC-5 AC-6",
    "164.312(a)(2)(i)": "AC-2 IA-2 IA-4",
    "164.312(a)(2)(ii)": "AC-3 CP-2",
    "164.312(a)(2)(iii)": "AC-11 AC-12",
    "164.312(a)(2)(iv)": "SC-12 SC-13 SC-28",
    "164.312(b)": "AU-2 AU-3 AU-9 AU-12",
    "164.312(c)(1)": "CP-9 SI-7",
    "164.312(c)(2)": "AU-9 SC-8 SI-7",
    "164.312(d)": "IA-2 IA-3 IA-8",
    "164.312(e)(1)": "AC-4 SC-7 SC-8",
    "164.312(e)(2)(i)": "SC-8 SI-7",
    "164.312(e)(2)(ii)": "SC-8 SC-13",
    "164.314(a)(1)": "SA-9",
    "164.314(a)(2)(i)": "IR-6 SA-9",
    "164.314(a)(2)(ii)": "CA-3 SA-9",
    "164.314(a)(2)(iii)": "SA-9 SR-3",
    "164.314(b)(1)": "AC-1 PL-4",
    "164.314(b)(2)": "AC-5 IR-6",
    "164.316(a)": "PL-1 PM-1",
    "164.316(b)(1)": "PL-2 PM-1",
    "164.316(b)(2)(i)": "AU-11 SI-12",
    "164.316(b)(2)(ii)": "PL-2",
    "164.316(b)(2)(iii)": "PL-1 PL-2",
    "164.502(b)": "AC-6 PM-25 PT-3",
    "164.514(a)": "SI-19",
}


def nist(citation: str) -> tuple[str, str]:
    """Section of SP 800-66 r2, and controls of SP 800-53 r5, for a paragraph; both empty for one of another rule."""
    section = next((found for prefix, found in _800_66.items() if citation.startswith(prefix)), "")
    return section, _800_53.get(citation, "")


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
