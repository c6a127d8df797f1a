"""What CloudWatch Logs would look for, by its documented rules."""

from __future__ import annotations

import re

import pytest

from infra.aws.alarms import LOG_ALARMS, LogAlarm

_VALUE = re.compile(r"=\s*(\"[^\"]*\"|[^\s)}]+)")


@pytest.mark.parametrize("row", LOG_ALARMS, ids=lambda row: row.name)
def test_no_pattern_has_an_asterisk_where_it_is_no_wildcard(row: LogAlarm) -> None:
    """Only at the beginning or the end of a value does it stand for anything: ``Put*Policy`` would never match."""
    values = [value.strip('"') for value in _VALUE.findall(row.pattern)]
    assert values
    assert not [value for value in values if "*" in value[1:-1]]
    assert len(row.pattern) <= 1024  # what PutMetricFilter takes


@pytest.mark.parametrize(
    "event",
    [
        *("PutRolePolicy", "AttachUserPolicy", "DetachGroupPolicy", "CreatePolicyVersion", "DeletePolicy"),
        *("DeleteRolePolicy", "DeleteUserPermissionsBoundary", "SetDefaultPolicyVersion", "UpdateAssumeRolePolicy"),
    ],
)
def test_a_change_of_a_policy_is_seen_and_a_look_at_one_is_not(event: str) -> None:
    (row,) = (row for row in LOG_ALARMS if row.name == "PolicyChange")
    values = re.findall(r"eventName = ([A-Za-z*]+)", row.pattern)

    def seen(name: str) -> bool:
        return any(name.startswith(v[:-1]) if v.endswith("*") else name == v for v in values)

    assert seen(event)
    assert not seen("GetRolePolicy")
    assert not seen("ListPolicies")
