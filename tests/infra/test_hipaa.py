"""What the readiness page claims holds: in the production templates, in the rule packs, in tests that exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.aws import checks
from infra.aws.register import REGISTER
from infra.docs.hipaa.checked import read
from infra.docs.hipaa.checklist import CHECKLIST, unanswered
from infra.docs.hipaa.citations import PARAGRAPHS, SECURITY_RULE, nist
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import ByPerson, ByRule, ByTemplate, ByTest, Control, Evidence, problems, uncited
from infra.product import STAGES
from tests.infra.conftest import Synthesized
from tests.support.api.server import ROOT


def found(production: Synthesized, *controls: Control) -> str:
    return "\n".join(problems(controls, root=ROOT, assembly=read(production.folder), stage=STAGES["production"]))


def test_every_control_is_backed_by_its_evidence(production: Synthesized) -> None:
    assert found(production, *CONTROLS) == ""


@pytest.mark.parametrize(
    "evidence",
    [
        ByTemplate("AWS::RDS::DBInstance", "MultiAZ", "is", False),
        ByTemplate("AWS::RDS::DBInstance", "BackupRetentionPeriod", "at least", 36),
        ByTemplate("AWS::RDS::DBInstance", "NoSuchProperty"),
        ByTemplate("AWS::EC2::NoSuchType", "Id"),
        ByTest("tests/service/test_log.py::test_that_nobody_wrote"),
        ByTemplate("AWS::RDS::DBInstance", "StorageEncrypted.*", "is", True),
        ByRule("HIPAA.Security-RDSStorageEncryptid"),
        ByRule("NIST.800.53.R5-RDSStorageEncrypted"),
        ByTest("tests/no_such_file.py::test_that_nobody_wrote"),
    ],
)
def test_evidence_that_does_not_hold_is_found(production: Synthesized, evidence: Evidence) -> None:
    claim = replace(CONTROLS[0], evidence=(evidence,))
    assert "does not hold" in found(production, claim)


def test_a_finding_that_is_acknowledged_is_no_evidence(production: Synthesized) -> None:
    acknowledged = {row.rule.split("::")[-1].split("[")[0] for row in REGISTER if "production" in row.stages}
    assert acknowledged
    for rule in sorted(acknowledged):
        if rule.startswith("HIPAA.Security-"):
            assert "does not hold" in found(production, replace(CONTROLS[0], evidence=(ByRule(rule),)))


def test_every_paragraph_of_the_rule_has_a_row_and_every_row_cites_one() -> None:
    assert list(uncited(CONTROLS)) == []
    assert len(SECURITY_RULE) == 65


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"citation": "164.312(z)"}, "is no paragraph"),
        ({"citation": "164.308(a)(7)"}, "is no paragraph"),
        ({"kind": "addressable"}, "is required, not addressable"),
        ({"citation": "164.312(a)(2)(ii)"}, "is 'Emergency access procedure', and the row says 'Unique user"),
    ],
)
def test_a_citation_that_is_wrong_is_found(change: dict[str, str], told: str) -> None:
    assert any(told in line for line in uncited([replace(CONTROLS[0], **change)]))  # type: ignore[arg-type]


def test_a_paragraph_without_a_row_is_found() -> None:
    (line,) = uncited(CONTROLS[1:])
    assert line == "no row cites 164.312(a)(2)(i) (Unique user identification)"


def test_a_claim_on_paper_alone_is_no_implementation(production: Synthesized) -> None:
    claim = replace(CONTROLS[0], status="implemented", evidence=(ByPerson("somebody", "does it"),))
    assert "only on paper" in found(production, claim)


def test_evidence_that_no_gate_watches_is_none(production: Synthesized, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off, the gates would let the property go, and the page would go on claiming it until it is gone."""
    claim = replace(CONTROLS[0], evidence=(ByTemplate("AWS::RDS::DBInstance", "MultiAZ", "is", True),))
    assert found(production, claim) == ""
    monkeypatch.setattr(checks, "PROMISES", ())
    assert "no gate of infra/aws/gates would object" in found(production, claim)
    unwatched = replace(CONTROLS[0], evidence=(ByTemplate("AWS::RDS::DBInstance", "AllocatedStorage"),))
    monkeypatch.undo()
    assert "no gate of infra/aws/gates would object" in found(production, unwatched)


def test_a_pack_that_did_not_run_is_no_evidence(production: Synthesized) -> None:
    without = {name: text for name, text in read(production.folder).items() if name != "validation-report.json"}
    claim = replace(CONTROLS[0], evidence=(ByRule("HIPAA.Security-RDSStorageEncrypted"),))
    assert "does not hold" in "".join(problems([claim], root=ROOT, assembly=without, stage=STAGES["production"]))


def test_an_implemented_row_has_evidence_that_is_not_all_of_another_row(production: Synthesized) -> None:
    assert "by no evidence of its own" in found(production, CONTROLS[0], replace(CONTROLS[0], name="Another"))


def test_every_line_of_the_checklist_is_answered_by_rows() -> None:
    assert list(unanswered(CONTROLS)) == []
    assert sum(map(len, CHECKLIST.values())) == 36
    assert "checklist: 'Vulnerability scanning' is answered" in "".join(unanswered(CONTROLS[:-1]))


def test_every_paragraph_has_its_ids_of_nist() -> None:
    for citation in PARAGRAPHS:
        section, controls = nist(citation)
        assert controls, citation
        assert bool(section) == (citation in SECURITY_RULE), citation
