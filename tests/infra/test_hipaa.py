"""What the readiness page claims holds: in the production templates, in the rule packs, in tests that exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.aws.register import REGISTER
from infra.docs.hipaa.controls import CONTROLS
from infra.docs.hipaa.evidence import ByPerson, ByRule, ByTemplate, ByTest, Control, Evidence, problems
from tests.infra.conftest import Synthesized
from tests.support.api.server import ROOT

ACKNOWLEDGED = frozenset((path, row.rule) for row in REGISTER for path in row.paths)


def found(production: Synthesized, *controls: Control, acknowledged: frozenset[tuple[str, str]] = ACKNOWLEDGED) -> str:
    return "\n".join(problems(controls, root=ROOT, assembly=production.folder, acknowledged=acknowledged))


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
        ByTest("tests/no_such_file.py::test_that_nobody_wrote"),
    ],
)
def test_evidence_that_does_not_hold_is_found(production: Synthesized, evidence: Evidence) -> None:
    claim = replace(CONTROLS[0], evidence=(evidence,))
    assert "does not hold" in found(production, claim)


def test_an_acknowledgement_outside_the_register_is_found(production: Synthesized) -> None:
    acknowledged = {row.rule.split("::")[-1].split("[")[0] for row in REGISTER}
    rule = next(name for name in sorted(acknowledged) if name.startswith("HIPAA.Security-"))
    claim = replace(CONTROLS[0], evidence=(ByRule(rule),))
    assert found(production, claim) == ""
    assert "does not hold" in found(production, claim, acknowledged=frozenset())


def test_a_claim_on_paper_alone_is_no_implementation(production: Synthesized) -> None:
    claim = replace(CONTROLS[0], status="implemented", evidence=(ByPerson("somebody", "does it"),))
    assert "only on paper" in found(production, claim)
