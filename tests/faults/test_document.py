"""Two tenants ask for all that the OpenAPI document names, with what fits it and with what does not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from examples.notes.feature import NOTES as FEATURE
from service.feature import all_errors
from service.http import shape
from tests.faults.drill import NOTES, Row, Traffic
from tests.support.api.server import Server
from tests.support.features import beside
from tests.support.idp.issuer import Issuer

pytestmark = pytest.mark.faults
ROWS = all_errors(beside(FEATURE))
TENANTS = ("mine", "theirs")


def judged(status: int, text: str) -> str:
    """The kind of an answer."""
    if status < 400:
        return str(status)
    try:
        said = json.loads(text)["error"]
        row = ROWS[said["code"]]
    except (ValueError, KeyError, TypeError):
        return f"{status} of another shape"
    fits = row.status == status and said == shape.body(row)["error"]
    return f"{status} {row.code}" if fits else f"{status} of another shape"


@pytest.mark.usefixtures("in_full")
def test_whatever_the_document_names_is_answered_in_our_shape_and_with_the_callers_own_data(
    server: Server, traffic: Traffic, issuer_of_drills: Issuer, told: Callable[[Row], Row]
) -> None:
    import schemathesis  # seconds, which every run of the tests would pay
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    document = server.get("/openapi.json").json()
    found: list[Any] = [*schemathesis.openapi.from_dict(document).exclude(tag="faults").get_all_operations()]
    operations = [result.ok() for result in found]
    assert {operation.path for operation in operations} >= {NOTES, "/api/v1/auth/validate", "/api/v1/health/ready"}
    tokens = {tenant: issuer_of_drills.token(tenant) for tenant in TENANTS}
    secret = {tenant: f"{tenant}-only-{number}" for number, tenant in enumerate(TENANTS)}
    kept = {
        tenant: str(server.post(NOTES, tokens[tenant], json={"body": secret[tenant], "slug": "own"}).json()["id"])
        for tenant in TENANTS
    }
    known = {"note_id": st.sampled_from([*kept.values()]), "provider": st.just("test")}
    kinds, leaked, read = Counter[str](), 0, 0

    def ask(operation: Any, part: st.SearchStrategy[Any], examples: int) -> None:
        @seed(11)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=part, tenant=st.sampled_from([*TENANTS, ""]), data=st.data())
        def once(case: Any, tenant: str, data: st.DataObject) -> None:
            nonlocal leaked, read
            for name in case.path_parameters:
                if data.draw(st.booleans()):  # what is there, and is another tenant's as often as not
                    case.path_parameters[name] = data.draw(known[name])
            credential = {"Authorization": f"Bearer {tokens[tenant]}"} if tenant else {}
            answer = case.call(base_url=server.url, headers=credential, allow_redirects=False)
            kinds[judged(answer.status_code, answer.text)] += 1
            read += bool(tenant) and secret[tenant] in answer.text
            others = [other for other in TENANTS if other != tenant]
            leaked += sum(secret[other] in answer.text for other in others)
            promised = [not_a_server_error] if answer.status_code == 500 else []  # 503 is an answer of ours
            case.validate_response(answer, checks=[*promised, response_schema_conformance, status_code_conformance])

        once()

    for operation in operations:
        ask(operation, operation.as_strategy(GenerationMode.POSITIVE), 100)
        if operation.path_parameters or operation.query or operation.body:
            ask(operation, operation.as_strategy(GenerationMode.NEGATIVE), 20)  # most of what is made up fits after all
    assert read, "no tenant read what it wrote: nothing could have leaked"
    told(Row("two tenants ask for all of the document", kinds, 0.0, 0, leaked))
