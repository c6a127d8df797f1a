"""The threat model and the guide for testers name tests that exist; the audit events are those that the code emits."""

from __future__ import annotations

import re

import pytest

from infra.docs import events, threats
from infra.docs.hipaa.evidence import is_test
from infra.shell.failure import Failure
from tests.support.api.server import ROOT, Server
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = threats.every_test()
    assert [test for test in named if not is_test(ROOT, test)] == []
    assert len({*named}) > 25


def test_every_way_of_every_attacker_is_shown_and_something_is_left() -> None:
    named = {"A stranger", "A user of another tenant", "A provider gone bad", "A stolen service credential"}
    assert {attacker.name for attacker in threats.ATTACKERS} == named | {"A supplier", "An insider"}
    for attacker in threats.ATTACKERS:
        assert attacker.left, attacker.name
        assert all(way.tests for way in attacker.ways), attacker.name


def test_every_file_that_the_guide_for_testers_names_is_there() -> None:
    paths = re.findall(r"`(tests/[a-z_/]+(?:\.py)?)`", (ROOT / "docs" / "PENETRATION_TEST.md").read_text())
    assert len(paths) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_an_audit_event_that_the_code_does_not_emit_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "AUDIT", {**events.AUDIT, "patient_read": "a later feature"})
    with pytest.raises(Failure, match="patient_read"):
        events.page()


def test_every_event_is_found_in_the_code() -> None:
    """A call in another form would be missing on the page: every logger's call has a literal name."""
    known = events.emitted()
    assert len(known) > 30
    for folder in ("service", "migrations"):
        for file in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r'\blog\.(?:info|warning|error|critical)\(\s*"([a-z_]+)"', file.read_text()):
                assert str(file.relative_to(ROOT)) in known[name].files
    assert known["request"].fields == {"method", "route", "status", "duration_ms"}


def test_a_running_service_writes_the_fields_that_the_page_names(issuer: Issuer, database: Database) -> None:
    with Server({**issuer.environment(), "DATABASE_URL": database.url()}) as server:
        server.get("/api/v1/auth/validate", issuer.token("acme"))
        server.get("/api/v1/auth/validate", "no-token")
        lines = server.events()
    known, of_a_request = events.emitted(), {"request_id", "trace_id", "railway_request_id", "tenant_id", "user_id"}
    seen = set()
    for line in lines:
        name = line["message"]
        if name in events.AUDIT:
            seen.add(name)
            extra = line.keys() - known[name].fields - of_a_request - {"timestamp", "level", "logger", "message"}
            assert extra == set(), f"{name}: {extra}"
    assert {"request", "refused", "started"} <= seen
    admitted = next(line for line in lines if line["message"] == "request" and "tenant_id" in line)
    assert (admitted["tenant_id"], admitted["status"]) == ("acme", 200)
